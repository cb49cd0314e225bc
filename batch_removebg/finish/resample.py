"""Pictures at another size, resampled where colours count as much as they show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples, joined, split, strips
from batch_removebg.imaging.vips import as_array, as_image

from .cut import over_white, white_of, wide

_KERNEL = "cubic"  # Catmull-Rom; Lanczos leaves rings of alpha along hard edges, 6 of 255 outside and 7 inside


def resampled(pixels: Samples, alpha: Samples | None, width: int, height: int) -> tuple[Samples, Samples | None]:
    """Colours (H×W×3, or H×W grey) and their alpha (H×W, as deep), if they have one, at another size."""
    if alpha is None:
        return _resized(pixels, width, height), None
    whole, white = joined(pixels, alpha), white_of(alpha)
    for strip, at, share in _mixed(whole, alpha):
        for values in strip.T[:-1]:  # one at a time, which is faster
            values[at] = over_white(wide(values[at]) * share, alpha)
    colours, alpha = split(_resized(whole, width, height), whole.shape[2] - 1)
    for strip, at, share in _mixed(colours, alpha):
        for values in strip.T:
            values[at] = np.minimum((wide(values[at]) * white + wide(share) // 2) // share, white)
    return colours, alpha


def _resized(pixels: Samples, width: int, height: int) -> Samples:
    """Channels (H×W or H×W×C), each by itself, at another size."""
    image, narrow = as_image(pixels), pixels.dtype == np.uint8
    image = image if narrow else image.cast("float")  # whole numbers of 16 bits would be resampled to 11
    image = image.resize(width / pixels.shape[1], vscale=height / pixels.shape[0], kernel=_KERNEL)
    return as_array(image if narrow else image.rint().cast("ushort"))


def _mixed(pixels: Samples, alpha: Samples) -> Iterator[tuple[Samples, npt.NDArray[np.intp], Samples]]:
    """By strip: its pixels, n×C, which of them are neither opaque nor clear, and the alpha of these."""
    for rows in strips(alpha):
        share = alpha[rows].ravel()
        at = np.flatnonzero((share != 0) & (share != white_of(alpha)))
        yield pixels[rows].reshape(share.size, -1), at, share[at]


def shrunk(values: Samples, step: int) -> npt.NDArray[np.float32]:
    """Means, 0–1 of white, of squares of that side (h×w); nothing is beyond the edges (H×W)."""
    even = np.pad(values, [(0, -side % step) for side in values.shape])
    means: npt.NDArray[np.float32] = as_array(as_image(even).cast("float").shrink(step, step))
    return means / np.float32(white_of(values))
