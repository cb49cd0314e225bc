"""Pictures at another size, resampled where colours count as much as they show."""

from __future__ import annotations

import numpy as np

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
    white = white_of(alpha)
    for rows in strips(alpha):
        share, strip = alpha[rows].ravel(), whole[rows].reshape(-1, whole.shape[2])
        mixed = np.flatnonzero((share != 0) & (share != white))
        strip[mixed, :-1] = over_white(wide(strip[mixed, :-1]) * share[mixed, None], alpha)


def _unweighted(colours: Samples, alpha: Samples) -> None:
    """Divide colours by their alpha, in place."""
    white = white_of(alpha)
    for rows in strips(alpha):
        share = alpha[rows].ravel()
        strip = colours[rows].reshape(share.size, -1)
        mixed = np.flatnonzero((share != 0) & (share != white))
        part = wide(share[mixed, None])
        strip[mixed] = np.minimum((wide(strip[mixed]) * white + part // 2) // part, white)
