"""What a shop's rules ask of a finished file, measured on what a reader makes of it.

JPEG moves white near the subject: within 13 pixels, with subsampled colours within 23, and at quality 90 by 23 levels
at most. So white is judged exactly from 24 pixels on, and with a tolerance nearer to the subject.
"""

from __future__ import annotations

from functools import reduce
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from batch_removebg.imaging import jpeg
from batch_removebg.imaging.arrays import Samples, to_8_bits, upright
from batch_removebg.imaging.colour import means_srgb
from batch_removebg.imaging.format import Limits, format_name
from batch_removebg.imaging.header import Header, decoding
from batch_removebg.imaging.probe import probe, unpack
from batch_removebg.imaging.vips import as_array
from batch_removebg.matting.regions import Mask, span

from .compliance import Facts

_WHITE, _WHITE_NEAR = 255, 232  # the darkest that white may be, far from the subject and near it
_BLOCK, _NEAR = 8, 3  # pixels of a JPEG's block; so many blocks around the subject are near
_BAND = 50  # the border is one part in so many of a side
_SEEN = 10  # level of alpha above which a pixel is the subject's
_PLAIN = 243  # where there is no alpha, what is darker in some channel is the subject's
_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}  # by channels
_OTHER = "another"


def measure_file(data: bytes, limits: Limits, *, name: PurePath | None = None, alpha: Samples | None = None) -> Facts:
    """What rules may want to know; raises SourceError where the file is no sound picture.

    `alpha` is the subject's, H×W, where that is known.
    """
    header = probe(data, limits)
    with decoding():
        stored = unpack(header)
        pixels = np.atleast_3d(to_8_bits(upright(as_array(stored.pixels), header.orientation)))
    inks = pixels.shape[2] - stored.alpha
    own = pixels[..., -1] if stored.alpha and pixels[..., -1].min() < _WHITE else None
    # Of the ground the file alone tells, as to the shop.
    shown = _darker(pixels, inks) if own is None else own > _SEEN
    alpha = own if alpha is None else alpha
    seen = shown if alpha is None else to_8_bits(alpha) > _SEEN
    (ground, told), (fill, share) = _ground(_border(pixels), shown, inks), _fill(seen)
    subject: str | None = "a subject" if seen.any() and shown.any() else "nothing but ground"
    if alpha is None and ground != "white":
        fill = subject = None
        share = "can't be told: there is no alpha, and the ground isn't white"
    srgb = inks == 1 or (inks == 3 if header.icc is None else means_srgb(header.icc))
    values = _of_header(header, name) | {
        "bytes": len(data),
        "mode": _MODES[inks] + " with alpha" * stored.alpha + " of 16 bits" * header.deep,
        "profile": "sRGB" if srgb else _OTHER,
        "background": ground,
        "fill": fill,
        "subject": subject,
    }
    return Facts(values, {"background": told, "fill": share} | ({} if subject else {"subject": share}))


def _of_header(header: Header, name: PurePath | None) -> dict[str, float | str | None]:
    width, height = header.upright
    kind, suffix = header.format.lower(), None if name is None else name.suffix[1:].lower() or "nothing"
    fits = suffix is None or format_name(suffix) in (kind, "heic")
    return {
        "longest": max(width, height),
        "shortest": min(width, height),
        "width": width,
        "height": height,
        "megapixels": width * height / 1e6,
        "aspect": f"{width}:{height}",
        "frames": header.frames,
        "format": kind if fits else f"{kind}, though its name ends in {suffix}",
        "quality": jpeg.quality(header.data) if kind == "jpeg" else None,
        "suffix": suffix,
        "name": None if name is None else name.stem,
    }


def _inner(values: npt.NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns of a picture within its border."""
    rows, columns = (slice(at := -(-side // _BAND), max(at, side - at)) for side in values.shape[:2])
    return rows, columns


def _border(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values of the border, in one row."""
    rows, columns = _inner(values)
    within = values[rows]
    parts = values[: rows.start], values[rows.stop :], within[:, : columns.start], within[:, columns.stop :]
    return np.concatenate([part.reshape(-1, *values.shape[2:]) for part in parts])


def _darkest(pixels: npt.NDArray[Any], inks: int) -> npt.NDArray[Any]:
    """The least of each pixel's colours; of four inks, white has none."""
    colours = np.moveaxis(pixels, -1, 0)[:inks]
    return _WHITE - reduce(np.maximum, colours) if inks == 4 else reduce(np.minimum, colours)


def _darker(pixels: Samples, inks: int) -> Mask:
    """What is taken for the subject where no alpha tells: what is darker than white, within the border."""
    seen, inner = np.zeros(pixels.shape[:2], np.bool_), _inner(pixels)
    seen[inner] = _darkest(pixels[inner], inks) < _PLAIN
    return seen


def _near(seen: Mask) -> Mask:
    """What is near the subject, or part of it: in whole blocks."""
    blocks, (height, width) = seen, seen.shape
    for axis, side in enumerate(seen.shape):
        blocks = np.logical_or.reduceat(blocks, range(0, side, _BLOCK), axis)
    blocks = np.pad(blocks, _NEAR)
    for axis in (0, 1):
        blocks = np.any(sliding_window_view(blocks, 2 * _NEAR + 1, axis), axis=-1)
    return blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[:height, :width]


def _ground(border: Samples, seen: Mask, inks: int) -> tuple[str, str]:
    """The border: white, transparent, or another; and in words. What the file's own alpha shows is left out."""
    free = ~_border(seen)
    if not free.any():
        return _OTHER, "the subject takes all of the border"
    if border.shape[1] > inks and (alpha := border[free, -1]).min() < _WHITE:
        clear = alpha.max() == 0
        return ("transparent", "transparent") if clear else (_OTHER, "neither opaque nor wholly transparent")
    darkest = _darkest(border, inks)
    if (wrong := free & (darkest < _WHITE)).any():
        wrong &= ~_border(_near(seen)) | (darkest < _WHITE_NEAR)
    if not wrong.any():
        return "white", "255 in every channel all along the border"
    count, level = f"{wrong.sum():,} of {free.sum():,}", darkest[wrong].min()
    return _OTHER, f"{count} pixels of the border aren't 255 in every channel, the darkest is {level}"


def _fill(seen: Mask) -> tuple[float | None, str]:
    """The longest side of the subject's box ÷ the frame's side along it, and in words."""
    boxes = (span(line, 0) if line.any() else slice(0, 0) for line in (np.any(seen, axis) for axis in (1, 0)))
    lengths = [box.stop - box.start for box in boxes]
    axis = lengths.index(max(lengths))
    share, area = lengths[axis] / seen.shape[axis], np.count_nonzero(seen) / seen.size
    return share, f"{share:.2%} of the {('height', 'width')[axis]} ({area:.0%} of the area)"
