"""What a shop's rules ask of a finished file, measured on what a reader makes of it.

JPEG moves white near the subject: within 13 pixels, with subsampled colours within 23, and at quality 90 by 23 levels
at most. So white is judged exactly from 24 pixels on, and with a tolerance nearer to the subject.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial, reduce
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
from batch_removebg.imaging.vips import as_array, as_image, vips
from batch_removebg.matting.regions import Mask, span

from .compliance import Facts

_WHITE, _WHITE_NEAR = 255, 232  # the darkest that white may be, far from the subject and near it
_BLOCK, _NEAR = 8, 3  # pixels of a JPEG's block; so many blocks around the subject are near
_BAND = 50  # the border is one part in so many of a side
_SEEN = 10  # level of alpha above which a pixel is the subject's
_PLAIN = 243  # where there is no alpha, what is darker in some channel is the subject's
_MODES = {1: "grey", 3: "RGB", 4: "CMYK"}  # by channels
_STRIP = 64  # rows that are decoded at once
_OTHER = "another"


def measure_file(
    data: bytes, asked: Set[str], limits: Limits, *, name: PurePath | None = None, alpha: Samples | None = None
) -> Facts:
    """What the rules that are asked for want to know; a file is decoded once, and only if one needs its pixels.

    `alpha` is the subject's, H×W, where that is known. Raises SourceError where the file is no sound picture.
    """
    header = probe(data, limits)
    values, words = _of_header(header, name) | {"bytes": len(data)}, dict[str, str]()
    seen, guessed, border = None if alpha is None else to_8_bits(alpha) > _SEEN, False, None
    with decoding():
        stored = unpack(header)
        image = as_image(stored.pixels)
        colours = image.bands - stored.alpha
        values["mode"] = _MODES[colours] + " with alpha" * stored.alpha + " of 16 bits" * header.deep
        srgb = colours == 1 or (colours == 3 if header.icc is None else means_srgb(header.icc))
        values["profile"] = "sRGB" if srgb else "another"
        if seen is None and asked & {"background", "fill"}:
            whole = np.atleast_3d(to_8_bits(upright(as_array(image), header.orientation)))
            guessed = not stored.alpha or int(whole[..., -1].min()) == _WHITE
            seen = _darker(whole, inks=colours) if guessed else whole[..., -1] > _SEEN
            border = _border(lambda start, end: whole[start:end], whole.shape)
        elif seen is not None and "background" in asked:
            border = to_8_bits(_border(partial(_lines, vips().Region.new(image), image), seen.shape))
    if border is not None and seen is not None:
        values["background"], words["background"] = _ground(border, seen, colours, guessed=guessed)
    if guessed and values["background"] != "white":
        words["fill"] = "can't be told: there is no alpha, and the ground isn't white"
    elif seen is not None:
        values["fill"], words["fill"] = _fill(seen)
    return Facts(values, words)


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


def _inner(shape: tuple[int, ...], margin: int = 0) -> tuple[slice, slice]:
    """What is within the border of a picture, by a margin."""
    least = (-(-side // _BAND) + margin for side in shape[:2])
    rows, columns = (slice(at, max(at, side - at)) for at, side in zip(least, shape, strict=False))
    return rows, columns


def _border(lines: Callable[[int, int], npt.NDArray[Any]], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The values of the border, in one row; `lines` gives rows of the picture from one up to another."""
    rows, columns = _inner(shape)
    parts = [lines(0, rows.start)]
    for at in range(rows.start, rows.stop, _STRIP):
        strip = lines(at, min(at + _STRIP, rows.stop))
        parts.append(np.concatenate((strip[:, : columns.start], strip[:, columns.stop :]), axis=1))
    if rows.stop < shape[0]:
        parts.append(lines(rows.stop, shape[0]))
    return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])


def _lines(region: Any, image: Any, start: int, end: int) -> Samples:
    """Rows of a picture of libvips, which decodes no more than it is asked for."""
    packed = region.fetch(0, start, image.width, end - start)
    return np.frombuffer(packed, vips().vimage.FORMAT_TO_TYPESTR[image.format]).reshape(-1, image.width, image.bands)


def _darkest(pixels: npt.NDArray[Any], inks: int) -> npt.NDArray[Any]:
    """The least of each pixel's colours; of four inks, white has none."""
    colours = np.moveaxis(pixels, -1, 0)[:inks]
    return _WHITE - reduce(np.maximum, colours) if inks == 4 else reduce(np.minimum, colours)


def _darker(whole: Samples, inks: int) -> Mask:
    """What is taken for the subject where no alpha tells: what is darker than white, within the border."""
    seen, inner = np.zeros(whole.shape[:2], np.bool_), _inner(whole.shape)
    seen[inner] = _darkest(whole[inner], inks) < _PLAIN
    return seen


def _near(seen: Mask) -> Mask:
    """Where the border is near the subject, or part of it: in whole blocks."""
    if np.count_nonzero(seen[_inner(seen.shape, _BLOCK * (_NEAR + 1))]) == np.count_nonzero(seen):
        return np.zeros(1, np.bool_)
    height, width = seen.shape
    whole = np.pad(seen, ((0, -height % _BLOCK), (0, -width % _BLOCK)))
    rows = np.any(whole.reshape(-1, _BLOCK, whole.shape[1]), axis=1)
    blocks = np.pad(np.any(rows.reshape(len(rows), -1, _BLOCK), axis=2), _NEAR)
    for axis in (0, 1):
        blocks = np.any(sliding_window_view(blocks, 2 * _NEAR + 1, axis), axis=-1)
    around = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    return _border(lambda start, end: around[start:end, :width], seen.shape)


def _ground(border: Samples, seen: Mask, colours: int, *, guessed: bool) -> tuple[str, str]:
    """The border: white, transparent, or another; and in words. What is known to be the subject's is left out."""
    subject = _border(lambda start, end: seen[start:end], seen.shape)
    free = np.ones_like(subject) if guessed else ~subject
    if not free.any():
        return _OTHER, "the subject takes all of the border"
    if border.shape[1] > colours and (alpha := border[free, -1]).min() < _WHITE:
        clear = alpha.max() == 0
        return ("transparent", "transparent") if clear else (_OTHER, "neither opaque nor wholly transparent")
    darkest = _darkest(border, colours)
    wrong = free & (darkest < np.where(_near(seen), _WHITE_NEAR, _WHITE))
    if not wrong.any():
        return "white", "255 in every channel all along the border"
    count, level = f"{wrong.sum():,} of {free.sum():,}", darkest[wrong].min()
    return _OTHER, f"{count} pixels of the border aren't 255 in every channel, the darkest is {level}"


def _fill(seen: Mask) -> tuple[float, str]:
    """The longest side of the subject's box ÷ the frame's side along it, and in words."""
    height, width = (span(line, 0) if line.any() else slice(0, 0) for line in (np.any(seen, axis) for axis in (1, 0)))
    sides = ((height, "height", seen.shape[0]), (width, "width", seen.shape[1]))
    longest, side, frame = max(sides, key=lambda each: each[0].stop - each[0].start)
    share, area = (longest.stop - longest.start) / frame, np.count_nonzero(seen) / seen.size
    return share, f"{share:.2%} of the {side} ({area:.0%} of the area)"
