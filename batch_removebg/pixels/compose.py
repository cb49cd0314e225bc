"""Alpha and source become the finished picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .alpha import Alpha
from .colour import Pixels, from_srgb, grey_to_rgb
from .decode import Picture
from .foreground import foreground
from .refine import refine, resized
from .spec import Colour, Finish, parse_colour

__all__ = ["Composed", "Finish", "compose", "parse_colour"]

_STRIP = 1 << 18
"""Samples that are worked on at once, so that they stay in a core's own cache."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A finished picture, not yet encoded."""

    pixels: npt.NDArray[np.uint8]
    """H×W grey, or H×W×C with C = 2 (grey, alpha), 3 (RGB) or 4 (RGBA); straight alpha."""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def compose(picture: Picture, alpha: Alpha, finish: Finish) -> Composed:
    """The source's own pixels with an alpha (H×W, any size) fitted to them.

    Always of the picture's size. Transparent: its colours untouched where they are opaque, and 0 where the alpha is;
    between, they are the subject's own as far as that can be told, or untouched as well (`finish.edges`). On a
    background: those colours·a + background·(1 − a), rounded. Mask only: the fitted alpha in grey.
    """
    mask = _fit(alpha, picture, finish)
    if finish.edges == "clean" and not finish.mask_only:
        # Before the source's own transparency comes in: nothing shines through its colours.
        picture = replace(picture, pixels=foreground(picture.pixels, mask))
    mask, notes = _with_own(mask, picture)
    notes = picture.notes + notes
    if finish.mask_only:
        return Composed(mask, None, picture.dpi, notes)
    if finish.backdrop is not None:
        pixels, icc = _lay_on(finish.backdrop, picture, mask)
        return Composed(pixels, icc, picture.dpi, notes)
    return Composed(_cut_out(picture.pixels, mask), picture.icc, picture.dpi, notes)


def _fit(alpha: Alpha, picture: Picture, finish: Finish) -> Alpha:
    height, width = picture.pixels.shape[:2]
    return resized(alpha, height, width) if finish.refine == "none" else refine(picture.pixels, alpha)


def _with_own(alpha: Alpha, picture: Picture) -> tuple[Alpha, tuple[str, ...]]:
    """The alpha times the source's own, and what is to be said of it."""
    notes = []
    if picture.alpha is not None and picture.alpha.min() < 255:
        alpha = _times(alpha, picture.alpha)
        notes.append("source had transparency: kept")
    if alpha.max() == 0:
        notes.append("nothing is left of the picture: the alpha is 0 everywhere")
    return alpha, tuple(notes)


def _times(alpha: Alpha, other: Alpha) -> Alpha:
    product = np.empty_like(alpha)
    for rows in _strips(alpha):
        product[rows] = _over_255(alpha[rows].astype(np.uint16) * other[rows])
    return product


def _cut_out(pixels: Pixels, alpha: Alpha) -> npt.NDArray[np.uint8]:
    channels = pixels[..., None] if pixels.ndim == 2 else pixels
    count = channels.shape[2]
    result = np.empty((*alpha.shape, count + 1), pixels.dtype)
    for rows in _strips(result):
        strip = result[rows]
        # A channel at a time: numpy is several times slower with an innermost axis of three.
        for channel in range(count):
            strip[..., channel] = channels[rows, :, channel]
        strip[..., count] = alpha[rows]
        whole = strip.view(f"i{result.itemsize * (count + 1)}")[..., 0]
        whole &= np.negative((alpha[rows] != 0).view(np.int8)).astype(whole.dtype)  # all bits where it shows, or none
    return result


def _lay_on(backdrop: Colour, picture: Picture, alpha: Alpha) -> tuple[Pixels, bytes | None]:
    pixels, icc = picture.pixels, picture.icc
    if pixels.ndim == 2 and len(set(backdrop)) > 1:
        pixels, icc = grey_to_rgb(pixels, icc)
    colour = from_srgb(backdrop, icc, "L" if pixels.ndim == 2 else "RGB")
    result = np.empty_like(pixels)
    source, target = (array[..., None] if array.ndim == 2 else array for array in (pixels, result))
    for rows in _strips(pixels):
        weight = alpha[rows].astype(np.uint16)
        for channel in range(source.shape[2]):
            mixed = source[rows, :, channel] * weight
            mixed += colour[channel] * (255 - weight)
            target[rows, :, channel] = _over_255(mixed)
    return result, icc


def _over_255(product: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """A product of two bytes (or a mean so weighted) / 255, rounded exactly; in place."""
    product += 128
    product += product >> 8
    product >>= 8
    return product


def _strips(array: npt.NDArray[np.generic]) -> Iterator[slice]:
    """Slices of rows that go through all of an array."""
    rows = max(1, _STRIP // max(1, array[0].size))
    yield from (slice(at, at + rows) for at in range(0, len(array), rows))
