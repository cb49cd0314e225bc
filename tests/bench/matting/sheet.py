"""truth.png: the worst, the median and the best picture beside each other, whole and at the place that is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.bench.matting import verdict
from tests.bench.matting.drawing import blurred
from tests.bench.matting.methods import BASELINE, OURS
from tests.bench.matting.record import Record
from tests.bench.matting.scoring import cutout, truth

CELL, GAP, CAPTION = 216, 4, 16
GROUNDS = ((255, 255, 255), (255, 0, 255))
Pixels = NDArray[np.uint8]


def cases(record: Record) -> list[tuple[str, str]]:
    """A caption and a picture: where ours is furthest behind rembg, in the middle, and furthest ahead."""
    names = record.pictures(BASELINE, OURS)
    pairs = zip(record.values(OURS, "band", names), record.values(BASELINE, "band", names), names, strict=True)
    order = sorted((verdict.ratio(ours, theirs), name) for ours, theirs, name in pairs)
    if not order:
        return []
    chosen = {"worst": order[-1], "median": order[len(order) // 2], "best": order[0]}
    return [(f"{what}: {name}, band error {times:.2f} times rembg's", name) for what, (times, name) in chosen.items()]


def draw(record: Record, folder: Path, path: Path) -> bool:
    """Write the sheet; False where there is nothing to compare."""
    shown = cases(record)
    if not shown:
        return False
    columns = 1 + 3 * len(GROUNDS)
    row = 2 * (CELL + GAP) + 2 * CAPTION
    sheet = Image.new("RGB", (columns * (CELL + GAP), row * len(shown)), (250, 250, 250))
    pen = ImageDraw.Draw(sheet)
    heads = [
        "photograph",
        *(f"{who}, on {ground}" for who in ("truth", "rembg", "ours") for ground in ("white", "magenta")),
    ]
    for number, (caption, name) in enumerate(shown):
        top = number * row
        pen.text((2, top + 2), caption, (0, 0, 0))
        for column, (head, pictures) in enumerate(zip(heads, _cells(name, folder), strict=True)):
            left = column * (CELL + GAP)
            pen.text((left + 2, top + CAPTION + 2), head, (90, 90, 90))
            for line, picture in enumerate(pictures):
                sheet.paste(picture, (left, top + 2 * CAPTION + line * (CELL + GAP)))
    sheet.save(path, optimize=True)
    return True


def _cells(name: str, folder: Path) -> list[tuple[Image.Image, Image.Image]]:
    """The photograph, then truth, rembg and ours on each ground: the subject, and a piece of its edge enlarged."""
    known = truth(folder, name)
    exact = np.dstack([known.colour, np.round(known.alpha * 255).astype(np.uint8)])
    results = [cutout(folder / "cutouts" / method / f"{name}.png") for method in (BASELINE, OURS)]
    subject = _subject(known.alpha16)
    piece = _piece(known.band, results[0][..., 3], results[1][..., 3])
    cells = [(_fit(known.photo, subject), _fit(known.photo, piece))]
    for rgba in (exact, *results):
        cells += [(_fit(rgba, subject, ground), _fit(rgba, piece, ground)) for ground in GROUNDS]
    return cells


def _subject(alpha: NDArray[np.uint16]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero((alpha > 0).any(axis=1)), np.flatnonzero((alpha > 0).any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _piece(band: NDArray[np.bool_], one: Pixels, other: Pixels, side: int = 72) -> tuple[slice, slice]:
    """Where in the band the two differ most, over the size of the piece; any place of it where they are alike."""
    weight = np.abs(one.astype(np.float32) - other) * band + band * np.float32(1e-3)
    step = 16
    height, width = (n // step * step for n in weight.shape)
    coarse = weight[:height, :width].reshape(height // step, step, width // step, step).sum(axis=(1, 3))
    row, column = np.unravel_index(blurred(coarse, side / step / 3).argmax(), coarse.shape)
    top = min(max(0, int(row) * step + step // 2 - side // 2), band.shape[0] - side)
    left = min(max(0, int(column) * step + step // 2 - side // 2), band.shape[1] - side)
    return slice(top, top + side), slice(left, left + side)


def _fit(pixels: Pixels, window: tuple[slice, slice], ground: tuple[int, int, int] | None = None) -> Image.Image:
    part = pixels[window]
    if ground is not None:
        alpha = part[..., 3:].astype(np.float32) / 255
        part = np.round(part[..., :3] * alpha + np.asarray(ground, np.float32) * (1 - alpha)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(part))
    scale = CELL / max(picture.size)
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), resample)
