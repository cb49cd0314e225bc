"""Pictures made small by Lanczos's filter, on libvips: a third of what the same takes in Pillow."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

_GAP = 3
"""Times the size aimed at that boxes of pixels leave for the filter: no eye and no network tells it from none."""


def lanczos(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture (8 bits a channel) at another width and height, exactly; to enlarge it is left to Pillow."""
    enlarged = image.width < size[0] or image.height < size[1]
    if image.size == size or enlarged or image.mode == "LAB":  # whose bytes are signed
        return image.resize(size, Image.Resampling.LANCZOS)
    boxes = image.width // (_GAP * size[0]), image.height // (_GAP * size[1])
    if max(boxes) > 1:
        image = image.reduce((max(1, boxes[0]), max(1, boxes[1])))
    pixels = np.asarray(image)
    stored = _vips().Image.new_from_memory(pixels, image.width, image.height, len(image.getbands()), "uchar")
    across, down = size[0] / image.width, size[1] / image.height
    small = stored.resize(across, vscale=down, kernel="lanczos3", gap=0).numpy()
    return Image.frombytes(image.mode, size, small.tobytes())


@cache
def _vips() -> Any:
    import pyvips  # some 50 ms, which what needs no proxy is spared

    pyvips.cache_set_max(0)  # kept operations would keep the pictures that they were made from
    return pyvips
