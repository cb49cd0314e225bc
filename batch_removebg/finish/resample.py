"""Pictures at another size, resampled where colours count as much as they show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples, joined, split, strips
from batch_removebg.imaging.vips import as_array, as_image

from .cut import over_white, white_of, wide

_KERNEL = "cubic"  # Catmull-Rom; Lanczos leaves rings of alpha along hard edges, 6 of 255 outside and 7 inside


def resampled(pixels: Samples, alpha: Samples, width: int, height: int) -> tuple[Samples, Samples]:
    """Colours (H×W×3, or H×W grey) and their alpha (H×W, as deep) at another size."""
    whole = joined(pixels, alpha)
    _weighted(whole, alpha)
    small = resized(whole, width, height)
    colours, share = split(small, small.shape[2] - 1)
    _unweighted(colours, share)
    return colours, share


def resized(pixels: Samples, width: int, height: int) -> Samples:
    """Channels (H×W or H×W×C, 8 or 16 bits), each by itself, at another size."""
    image, factors = as_image(pixels), {"vscale": height / pixels.shape[0], "kernel": _KERNEL}
    if pixels.dtype == np.uint8:
        small: Samples = as_array(image.resize(width / pixels.shape[1], **factors))
    else:  # whole numbers of 16 bits would be resampled to 11
        small = as_array(image.cast("float").resize(width / pixels.shape[1], **factors).rint().cast("ushort"))
    return small


def _weighted(whole: Samples, alpha: Samples) -> None:
    """Multiply colours with the alpha behind them, in place; they are 0 already where that is."""
    for strip, mixed, share in _mixed(whole, alpha):
        for channel in range(whole.shape[2] - 1):
            values = strip[:, channel]
            values[mixed] = over_white(wide(values[mixed]) * share, alpha)


def _unweighted(colours: Samples, alpha: Samples) -> None:
    """Divide colours (H×W×C or H×W) by their alpha, in place."""
    white = white_of(alpha)
    for strip, mixed, share in _mixed(colours, alpha):
        half = wide(share) // 2
        for channel in range(strip.shape[1]):
            values = strip[:, channel]
            values[mixed] = np.minimum((wide(values[mixed]) * white + half) // share, white)


def _mixed(pixels: Samples, alpha: Samples) -> Iterator[tuple[Samples, npt.NDArray[np.intp], Samples]]:
    """By strip: its pixels, n×C, and of those that are neither opaque nor clear their numbers and their alpha."""
    white = white_of(alpha)
    for rows in strips(alpha):
        share = alpha[rows].ravel()
        mixed = np.flatnonzero((share != 0) & (share != white))
        yield pixels[rows].reshape(share.size, -1), mixed, share[mixed]
