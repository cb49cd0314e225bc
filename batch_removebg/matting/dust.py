"""Dust: faint alpha away from the subject, which would show as ghosts on a background."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .matte import Alpha

TILES, LEAST = 128, 8  # tiles along the longest side, and the least side of one, pixels


def cleaned(alpha: Alpha, below: int) -> Alpha:
    """The alpha (H×W, 0–255) without what is fainter than `below` and away from all that isn't.

    What lies within a tile (1/128 of the longest side) of a level of `below` or more stays bit for bit, as the ends of
    hair do; from there it fades to 0 over one tile more.
    """
    height, width = alpha.shape
    side = max(LEAST, -(-max(height, width) // TILES))
    whole = np.pad(alpha, ((0, -height % side), (0, -width % side)))
    down, across = (length // side for length in whole.shape)
    most = whole.reshape(down, side, -1).max(axis=1).reshape(down, across, side).max(axis=2)
    near = sliding_window_view(np.pad(most >= below, 1), (3, 3)).any(axis=(2, 3))
    dusty = ~near & (most > 0)
    if not dusty.any():
        return alpha
    corners = sliding_window_view(np.pad(near, 1), (2, 2)).any(axis=(2, 3))  # of the tiles: where nothing fades
    ramp = (np.arange(side, dtype=np.float32) + 0.5) / side
    weights = np.stack([1 - ramp, ramp], axis=1)
    tiles = whole.reshape(down, side, across, side).swapaxes(1, 2)
    tiles[dusty] = tiles[dusty] * (weights @ sliding_window_view(corners, (2, 2))[dusty] @ weights.T)
    return np.ascontiguousarray(whole[:height, :width])
