"""The alpha, read from what a provider returned, and its file in the cache."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch_removebg.errors import NoAlpha, OutputBroken, SourceError
from batch_removebg.imaging import png
from batch_removebg.imaging.arrays import Picture, to_8_bits
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.png_write import write
from batch_removebg.model import Box, Matte

Alpha = npt.NDArray[np.uint8]  # H×W, 0 background to 255 subject

# Keywords of the PNG's tEXt chunks.
_NAMES = ("peak", "engine", "doubt", "suspect", "part")
_KEYWORDS = _PEAK, _ENGINE, _DOUBT, _SUSPECT, _PART = [f"batch-removebg:{name}" for name in _NAMES]
_NUMBER = re.compile(r"\d+(\.\d+)?(e-\d+)?", re.ASCII)
_BOX = re.compile(" ".join([r"([01]\.\d{3,9})"] * 4), re.ASCII)
_FRAME = 1024  # side of the square that an alpha of a part is laid into to be judged
MOST_BOXES = 3  # that are kept
_LONGEST_NAME = 100
_EFFORT = 0  # for cached PNGs: a quarter of the time that the default takes, for a sixth more bytes
_ASPECT_TOLERANCE = 0.02


def read_output(data: bytes, limits: Limits) -> Picture:
    """A picture that came from a provider; raises OutputBroken if it is refused, cut short or damaged."""
    try:
        png.require_sound(data)
        return read(data, limits, hollow=True)
    except SourceError as error:
        raise OutputBroken(f"the output {error}") from error


def matte_of(data: bytes, *, width: int, height: int, limits: Limits) -> Matte:
    """The matte (H×W, uint8) in what a provider returned for an input of `width`×`height` pixels; raises OutputBroken.

    Its alpha, or all of a grey picture, of any size whose aspect ratio agrees within 2 % or one pixel.
    """
    picture = read_output(data, limits)
    mask = picture.pixels if picture.alpha is None else picture.alpha
    if mask.ndim != 2:
        raise NoAlpha("the output has no alpha: the model gave back a picture without transparency")
    rows, columns = mask.shape
    scale = max(rows, columns) / max(width, height)
    pairs = (columns, width * scale), (rows, height * scale)
    if any(abs(got - want) > max(1.0, _ASPECT_TOLERANCE * want) for got, want in pairs):
        raise OutputBroken(f"the output is {columns}×{rows} pixels, which does not fit an input of {width}×{height}")
    return Matte(to_8_bits(mask))


def encode_matte(matte: Matte) -> bytes:
    """A matte as lossless 8-bit grey PNG, what else is known of it in text chunks."""
    peak, doubt = (None if value is None else f"{value:.6g}" for value in (matte.peak, matte.doubt))
    suspect = ",".join(" ".join(f"{value:.3f}" for value in box) for box in matte.suspect)
    part = " ".join(f"{value:.9f}" for value in matte.part or ())
    told = {_PEAK: peak, _ENGINE: matte.engine, _DOUBT: doubt, _SUSPECT: suspect, _PART: part}
    return write(Picture(matte.alpha), _EFFORT, {name: text for name, text in told.items() if text})


def decode_matte(data: bytes) -> Matte:
    """The matte in a file that `encode_matte` made; raises OutputBroken if a single bit of its content is damaged."""
    picture = read_output(data, Limits())
    alpha = picture.pixels
    if not data.startswith(png.SIGNATURE) or picture.alpha is not None or alpha.ndim != 2 or alpha.dtype != "uint8":
        raise OutputBroken("the output is not a kept alpha, which is a PNG in grey")
    texts = png.read_chunks(data)[1]
    peak, engine, doubt, suspect, part = (texts.get(name.encode(), b"").decode("latin-1") for name in _KEYWORDS)
    sound = engine.isascii() and engine.isprintable() and 0 < len(engine) <= _LONGEST_NAME
    known = _number(peak), engine if sound else None, _number(doubt), _boxes(suspect)
    return Matte(to_8_bits(alpha), *known, next(iter(_boxes(part)), None))


def pixels_of(part: Box | None, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a part, one at least, in a picture of that size; all where it is None."""
    left, top, across, down = part or (0.0, 0.0, 1.0, 1.0)

    def span(start: float, length: float, side: int) -> slice:
        first = min(round(start * side), side - 1)
        return slice(first, min(max(first + 1, round((start + length) * side)), side))

    return span(top, down, height), span(left, across, width)


def framed(matte: Matte) -> Matte:
    """The same with an alpha of all the picture, to be judged; itself where it has that."""
    if matte.part is None:
        return matte
    alpha = np.zeros((_FRAME, _FRAME), np.uint8)
    rows, columns = pixels_of(matte.part, _FRAME, _FRAME)
    size = columns.stop - columns.start, rows.stop - rows.start
    alpha[rows, columns] = np.asarray(Image.fromarray(matte.alpha).resize(size, Image.Resampling.BOX))
    return replace(matte, alpha=alpha, part=None)


def _boxes(text: str) -> tuple[Box, ...]:
    return tuple((float(x), float(y), float(w), float(h)) for x, y, w, h in _BOX.findall(text)[:MOST_BOXES])


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
