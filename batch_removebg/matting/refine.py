"""A small alpha fitted to its photo at full size, the photo itself saying where the edges are.

`models` finds, on the alpha's own grid, how alpha follows colour; `spread` lays that over the photo's pixels, tile by
tile (He and Sun, "Fast Guided Filter", arXiv:1505.00996), and only where the alpha is not plain 0 or 255 all around.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from batch_removebg.imaging.arrays import Samples, to_8_bits

from .box_filter import Floats
from .guided_filter import CLEAR, RADIUS, REACH, models_of
from .matte import Alpha
from .upsample import TILE, Spread

LARGER = 1.5
"""How many times the size of its alpha a photo has to be: an alpha as large as its photo has seen the edges itself."""
SMALL, LARGE = 1 << 17, 1 << 20
"""Pixels of an alpha that is refined whatever its photo's size, since it is a network's own grid, and of none."""


def refine(guide: Samples, alpha: Alpha) -> Alpha:
    """The alpha (h×w, 0–255) at the size of its photo (H×W×3 RGB or H×W grey, 8 or 16 bits), its edges the photo's.

    H×W, uint8. Soft edges and what is translucent stay so. An alpha that is nearly as large as its photo (`LARGER`,
    unless it is `SMALL`), or `LARGE`, is resized and no more.
    """
    height, width = guide.shape[:2]
    rows, columns = alpha.shape
    scale = min(height / rows, width / columns)
    if scale <= (LARGER if rows * columns > SMALL else 1) or rows * columns > LARGE:
        return resized(alpha, height, width)
    active = _active(alpha)
    spread = Spread(guide, alpha)
    if active.any():
        part = _around(active, rows, columns)
        small = np.ascontiguousarray(_reduced(guide, rows, columns)[:, *part])
        spread.follow(models_of(small, alpha[part].astype(np.float32) / np.float32(255)), part)
    for row, column in zip(*np.nonzero(active), strict=True):
        spread.tile(int(row), int(column))
    return spread.result


def resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """The alpha at another size (H×W), by Lanczos; itself where it has that size."""
    if alpha.shape == (height, width):
        return alpha
    return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.LANCZOS))


def _active(alpha: Alpha) -> npt.NDArray[np.bool_]:
    """Which tiles are to be worked on: all but those that are clear, and whose surroundings are alike."""
    low, high = _pooled(alpha, np.minimum, 255), _pooled(alpha, np.maximum, 0)
    return np.asarray(~((high <= CLEAR) | (low >= 255 - CLEAR)))


def _pooled(alpha: Alpha, pick: np.ufunc, neutral: int) -> Alpha:
    """The least or greatest alpha of each tile and of the pixels around it that a model's trust depends on."""
    margin = REACH + 1
    rows, columns = (-(-side // TILE) for side in alpha.shape)
    reach = TILE + 2 * margin
    padded = np.full((rows * TILE + 2 * margin, columns * TILE + 2 * margin), neutral, np.uint8)
    padded[margin : margin + alpha.shape[0], margin : margin + alpha.shape[1]] = alpha
    down = np.stack([pick.reduce(padded[at * TILE : at * TILE + reach], axis=0) for at in range(rows)])
    return np.stack([pick.reduce(down[:, at * TILE : at * TILE + reach], axis=1) for at in range(columns)], 1)


def _around(active: npt.NDArray[np.bool_], rows: int, columns: int) -> tuple[slice, slice]:
    """Rows and columns of what the models need: the active tiles and two windows around them."""
    margin = 2 * RADIUS

    def span(seen: npt.NDArray[np.bool_], most: int) -> slice:
        tiles = np.flatnonzero(seen)
        return slice(max(0, int(tiles[0]) * TILE - margin), min(most, (int(tiles[-1]) + 1) * TILE + margin))

    return span(np.asarray(active.any(axis=1)), rows), span(np.asarray(active.any(axis=0)), columns)


def _reduced(guide: Samples, rows: int, columns: int) -> Floats:
    """The photo on the alpha's grid: 3×rows×columns, 0–1."""
    image = Image.fromarray(to_8_bits(guide)).resize((columns, rows), Image.Resampling.BOX, reducing_gap=1.0)
    small = np.asarray(image, np.float32) / np.float32(255)
    return small.transpose(2, 0, 1) if small.ndim == 3 else np.broadcast_to(small, (3, *small.shape))
