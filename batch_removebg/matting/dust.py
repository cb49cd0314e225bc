"""Dust: faint alpha away from the subject, which would show as ghosts on a background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from .matte import Alpha

TILES, LEAST = 128, 8  # tiles along the longest side, and the least side of one, pixels


def cleaned(alpha: Alpha, below: int) -> Alpha:
    """The alpha (H×W, 0–255) without what is fainter than `below` and away from all that isn't.

    What lies within a tile (1/128 of the longest side) of a level of `below` or more stays bit for bit, as the ends of
    hair do; from there it fades to 0 over one tile more.
    """
    height, width = alpha.shape
    side = max(LEAST, -(-max(height, width) // TILES))
    lines = np.maximum.reduceat(alpha, np.arange(0, height, side), axis=0)
    most = np.maximum.reduceat(lines, np.arange(0, width, side), axis=1)
    down, across = most.shape
    solid = np.pad(most >= below, 1)
    near = np.any([solid[y : y + down, x : x + across] for y in range(3) for x in range(3)], axis=0)
    if not most[~near].any():
        return alpha
    share = Image.fromarray(near.astype(np.uint8) * np.uint8(255))
    full = share.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0, width / side, height / side))
    return np.asarray(ImageChops.multiply(Image.fromarray(alpha), full))
