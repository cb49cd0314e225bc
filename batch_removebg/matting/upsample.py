"""Linear models on a small grid, evaluated at the pixels of a photo tile by tile."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from batch_removebg.imaging.deep import Samples

from .box_filter import Floats
from .matte import Alpha
from .regions import Mask

TILE = 16
"""Side of what is worked on at once, pixels of the small grid."""

ENDS = 3
"""Levels of 255 that count as 0 and as 255: nobody sees them, and they would be two fifths of the mixed pixels."""
_GAIN = np.float32(255 * 255 / (255 - 2 * ENDS))


def upsample(models: Floats, guide: Samples, sure: Alpha, active: Mask) -> Alpha:
    """The alpha (H×W, 0–255) that models α = r·red + g·green + b·blue + c give for a photo (H×W×3 or H×W grey).

    `models`: 4×h×w, the factors of colours of 0–1 and the constant of an alpha of 0–1; overwritten. `active` (tiles
    down × across): where they are evaluated; elsewhere a tile is as `sure` (the same shape) says.
    """
    down, across = (_tiles(full, small) for full, small in zip(guide.shape[:2], models.shape[1:], strict=True))
    widths, heights = ([pixels.stop - pixels.start for pixels, _, _ in tiles] for tiles in (across, down))
    result = np.repeat(np.repeat(sure, widths, axis=1), heights, axis=0)
    models[:3] *= _GAIN / np.float32(np.iinfo(guide.dtype).max)
    models[3] *= _GAIN
    models[3] += np.float32(0.5 + 127.5) - _GAIN / 2
    for row, column in np.argwhere(active).tolist():
        (rows, around_rows, to_rows), (columns, around_columns, to_columns) = down[row], across[column]
        *factors, total = to_rows @ models[:, around_rows, around_columns] @ to_columns.T
        colours = guide[rows, columns]
        for channel, product in enumerate(factors):
            product *= colours[..., channel] if guide.ndim == 3 else colours
            total += product
        np.copyto(result[rows, columns], total.clip(0, 255, out=total), casting="unsafe")
    return result


def _tiles(full: int, small: int) -> list[tuple[slice, slice, Floats]]:
    """Of each tile along one side: its pixels in the photo, the grid's pixels around it, the weights of these in those.

    A pixel belongs to the tile that its centre lies in; weights are linear.
    """
    count = -(-small // TILE)
    bounds = np.ceil(np.minimum(np.arange(count + 1) * TILE, small) * (full / small) - 0.5).astype(int)
    at = ((np.arange(full) + 0.5) * (small / full) - 0.5).clip(0, small - 1)
    before = np.minimum(at.astype(int), max(small - 2, 0))
    share = (at - before).astype(np.float32)
    found = []
    for begin, end in pairwise(bounds.tolist()):
        near, line = before[begin:end], np.arange(end - begin)
        first, last = (int(near[0]), int(near[-1]) + 2) if end > begin else (0, 1)
        weights = np.zeros((end - begin, last - first), np.float32)
        weights[line, near - first] = 1 - share[begin:end]
        weights[line, near - first + 1] = share[begin:end]
        last = min(last, small)
        found.append((slice(begin, end), slice(first, last), weights[:, : last - first]))
    return found
