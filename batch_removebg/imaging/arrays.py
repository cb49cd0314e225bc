"""Pillow's pictures as arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_STRIP = 1 << 18
"""Pixels that are copied at once."""


def as_array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """A copy of the pixels of an 8-bit picture: H×W, or H×W×C.

    In strips: `np.asarray` puts the whole picture together twice, in memory that the system has to hand out anew each
    time, and takes four times as long.
    """
    width, height = image.size
    bands = len(image.getbands())
    pixels = np.empty((height, width, bands) if bands > 1 else (height, width), np.uint8)
    rows = max(1, _STRIP // width)
    for at in range(0, height, rows):
        end = min(at + rows, height)
        pixels[at:end] = np.asarray(image.crop((0, at, width, end)))
    return pixels
