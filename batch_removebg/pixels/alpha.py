"""The alpha: taken out of what a provider returned, and kept for another day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, nan

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch_removebg.errors import OutputBroken, SourceError

from .header import decoding, open_image
from .layers import unpack
from .png_write import write
from .spec import Limits

Alpha = npt.NDArray[np.uint8]
"""H×W, 0 background to 255 subject."""

_PEAK = "batch-removebg:peak"
"""Keyword of the PNG's tEXt chunk that holds the peak."""
_EFFORT = 0
"""Of a PNG that is kept: a quarter of the time that the default takes, for a sixth more bytes."""
_ASPECT_TOLERANCE = 0.02
_DEFAULT = Limits()


@contextmanager
def as_output() -> Iterator[None]:
    """Blame what can't be decoded on the provider: SourceError becomes OutputBroken."""
    try:
        yield
    except SourceError as error:
        raise OutputBroken(f"the output {error}") from error


def alpha_of(data: bytes, *, width: int, height: int, limits: Limits) -> Alpha:
    """The alpha (H×W, uint8) of what a provider returned for an input of `width`×`height` pixels.

    The alpha channel, or a picture in grey as a whole: a mask. It may be of another size (some models shrink), as
    long as the aspect agrees within 2 % or one pixel. Raises OutputBroken otherwise, and if it is not a picture, is
    cut short, has no alpha, or is larger than `limits` allow.
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
    return np.asarray(mask)


def encode_alpha(alpha: Alpha, peak: float | None = None) -> bytes:
    """An alpha as lossless 8-bit grey PNG, with the network's confidence in it: the map's raw peak, 0–1."""
    return write(alpha, effort=_EFFORT, texts=None if peak is None else {_PEAK: f"{peak:.6g}"})


def peak_of(data: bytes, limits: Limits = _DEFAULT) -> float | None:
    """The peak that `encode_alpha` was given; None where the picture tells none. Raises OutputBroken if it is none."""
    with as_output():
        told = open_image(data, limits).info.get(_PEAK)
    try:
        peak = float(told) if isinstance(told, str) else nan
    except ValueError:
        return None
    return peak if isfinite(peak) else None


def decode_alpha(data: bytes, limits: Limits = _DEFAULT) -> Alpha:
    """What `encode_alpha` was given; raises OutputBroken if a single bit of the file's content is damaged."""
    with as_output():
        image = _verify(data, limits)
        if (image.format, image.mode) != ("PNG", "L"):
            raise SourceError("is not a kept alpha, which is a PNG in grey")
        return np.asarray(unpack(data, limits).base)


def _verify(data: bytes, limits: Limits) -> Image.Image:
    """Check a PNG's checksums, which decoding alone does not; other formats pass. Returns the opened header."""
    image = open_image(data, limits)
    with decoding():
        image.verify()
    return image


def _same_aspect(size: tuple[int, int], expected: tuple[int, int]) -> bool:
    scale = max(size) / max(expected)
    pairs = [(got, want * scale) for got, want in zip(size, expected, strict=True)]
    return all(abs(got - want) <= max(1.0, _ASPECT_TOLERANCE * want) for got, want in pairs)
