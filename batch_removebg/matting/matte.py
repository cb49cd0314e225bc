"""The alpha, read from what a provider returned, and its file in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.layers import unpack
from batch_removebg.imaging.png_write import write
from batch_removebg.imaging.probe import decoding, open_image
from batch_removebg.model import Matte

Alpha = npt.NDArray[np.uint8]
"""H×W, 0 background to 255 subject."""

_PEAK, _ENGINE = "batch-removebg:peak", "batch-removebg:engine"
"""Keywords of the PNG's tEXt chunks."""
_LONGEST_NAME = 100
_EFFORT = 0
"""For cached PNGs: a quarter of the time that the default takes, for a sixth more bytes."""
_ASPECT_TOLERANCE = 0.02


@contextmanager
def as_output() -> Iterator[None]:
    """Turn a SourceError into OutputBroken: what can't be decoded came from the provider."""
    try:
        yield
    except SourceError as error:
        raise OutputBroken(f"the output {error}") from error


def matte_of(data: bytes, *, width: int, height: int, limits: Limits) -> Matte:
    """The matte (H×W, uint8) in what a provider returned for an input of `width`×`height` pixels.

    Its alpha channel, or a grey picture as a whole. It may be of another size (some models shrink), as long as the
    aspect ratio agrees within 2 % or one pixel. Raises OutputBroken if it doesn't, and for what isn't a picture, is cut
    short, has no alpha, or is larger than `limits` allow.
    """
    with as_output():
        _verify(data, limits)
        layers = unpack(data, limits)
    mask = layers.alpha or layers.base
    if mask.mode != "L":
        raise OutputBroken("the output has no alpha: the model gave back a picture without transparency")
    if not _same_aspect(mask.size, (width, height)):
        raise OutputBroken(
            f"the output is {mask.width}×{mask.height} pixels, which does not fit an input of {width}×{height}"
        )
    return Matte(np.asarray(mask))


def encode_matte(matte: Matte) -> bytes:
    """A matte as lossless 8-bit grey PNG, its peak and engine in text chunks."""
    peak = None if matte.peak is None else f"{matte.peak:.6g}"
    texts = {name: text for name, text in ((_PEAK, peak), (_ENGINE, matte.engine)) if text is not None}
    return write(matte.alpha, effort=_EFFORT, texts=texts)


def decode_matte(data: bytes) -> Matte:
    """The matte in a file that `encode_matte` made; raises OutputBroken if a single bit of its content is damaged."""
    with as_output():
        image = _verify(data, limits := Limits())
        if (image.format, image.mode) != ("PNG", "L"):
            raise SourceError("is not a kept alpha, which is a PNG in grey")
        alpha = np.asarray(unpack(data, limits).base)
    peak, engine = (str(image.info.get(name, "")) for name in (_PEAK, _ENGINE))
    sound = engine.isascii() and engine.isprintable() and 0 < len(engine) <= _LONGEST_NAME
    return Matte(alpha, _number(peak), engine if sound else None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _verify(data: bytes, limits: Limits) -> Image.Image:
    """The opened picture, a PNG's checksums verified, which decoding alone doesn't do."""
    image = open_image(data, limits)
    with decoding():
        image.verify()
    return image


def _same_aspect(size: tuple[int, int], expected: tuple[int, int]) -> bool:
    scale = max(size) / max(expected)
    pairs = [(got, want * scale) for got, want in zip(size, expected, strict=True)]
    return all(abs(got - want) <= max(1.0, _ASPECT_TOLERANCE * want) for got, want in pairs)
