"""A small alpha fitted to its photo at full size: the photo itself shows where the edges are.

`models_of` finds, on the alpha's own grid, how alpha follows colour; `upsample` evaluates that at the photo's pixels
(He and Sun, "Fast Guided Filter", arXiv:1505.00996), and only where the alpha isn't plain 0 or 255 all around.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from batch_removebg.imaging.deep import Samples, to_8_bits

from .box_filter import Floats
from .guided_filter import CLEAR, RADIUS, REACH, models_of
from .matte import Alpha
from .regions import Mask, extent
from .upsample import TILE, upsample

LARGER = 1.5
"""How many times the size of its alpha a photo must be: an alpha as large as its photo has seen the edges itself."""
SMALL, LARGE = 1 << 17, 1 << 20
"""Pixels up to which an alpha is refined whatever its photo's size (a network's own grid), and above which never."""


def refine(guide: Samples, alpha: Alpha) -> Alpha:
    """The alpha (h×w, 0–255) at the size of its photo (H×W×3 RGB or H×W grey, 8 or 16 bits), with the photo's edges.

    H×W, uint8. Soft edges and translucent areas stay so. An alpha that is nearly as large as its photo (`LARGER`,
    unless it is `SMALL`), or `LARGE`, is only resized.
    """
    height, width = guide.shape[:2]
    rows, columns = alpha.shape
    scale = min(height / rows, width / columns)
    if scale <= (LARGER if rows * columns > SMALL else 1) or rows * columns > LARGE:
        return resized(alpha, height, width)
    active = _active(alpha)
    models = np.zeros((4, rows, columns), np.float32)
    if active.any():
        # What the models need: the active tiles and two windows around them.
        part = extent(active.repeat(TILE, 0)[:rows].repeat(TILE, 1)[:, :columns], 2 * RADIUS)
        small = np.ascontiguousarray(_reduced(guide, rows, columns)[:, *part])
        models[:, *part] = models_of(small, alpha[part].astype(np.float32) / np.float32(255))
    sure = np.where(alpha[::TILE, ::TILE] < 128, 0, 255).astype(np.uint8)
    return upsample(models, guide, sure, active)


def resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """The alpha at another size (H×W), by Lanczos; itself where it has that size."""
    if alpha.shape == (height, width):
        return alpha
    return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.LANCZOS))


def _active(alpha: Alpha) -> Mask:
    """Which tiles are computed: all but those that are plain 0 or 255, as is all around them."""
    low, high = _pooled(alpha, np.minimum, 255), _pooled(alpha, np.maximum, 0)
    return np.asarray(~((high <= CLEAR) | (low >= 255 - CLEAR)))


def _pooled(alpha: Alpha, pick: np.ufunc, neutral: int) -> Alpha:
    """The lowest or highest alpha of each tile and of the pixels around it that a model's trust depends on."""
    margin = REACH + 1
    rows, columns = (-(-side // TILE) for side in alpha.shape)
    reach = TILE + 2 * margin
    padded = np.full((rows * TILE + 2 * margin, columns * TILE + 2 * margin), neutral, np.uint8)
    padded[margin : margin + alpha.shape[0], margin : margin + alpha.shape[1]] = alpha
    down = np.stack([pick.reduce(padded[at * TILE : at * TILE + reach], axis=0) for at in range(rows)])
    return np.stack([pick.reduce(down[:, at * TILE : at * TILE + reach], axis=1) for at in range(columns)], 1)


def _reduced(guide: Samples, rows: int, columns: int) -> Floats:
    """The photo on the alpha's grid: 3×rows×columns, 0–1."""
    image = Image.fromarray(to_8_bits(guide)).resize((columns, rows), Image.Resampling.BOX, reducing_gap=1.0)
    small = np.asarray(image, np.float32) / np.float32(255)
    return small.transpose(2, 0, 1) if small.ndim == 3 else np.broadcast_to(small, (3, *small.shape))
