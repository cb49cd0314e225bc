"""libvips, loaded by the first who needs it, and its pictures as arrays."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import strips

_TALL = 1 << 14
_LARGE = 1 << 20
_STRIP = 1 << 15  # pixels that are decoded at once of a picture of more than so many, unless it has more rows than that


@cache
def vips() -> Any:
    """The module pyvips; importing it takes some 50 ms."""
    import pyvips

    # It logs pictures at DEBUG, whose repr logs again: with two handlers, two threads lock each other out for ever.
    logging.getLogger("pyvips").setLevel(logging.INFO)
    pyvips.cache_set_max(0)  # kept operations would keep the pictures that they were made from
    pyvips.block_untrusted_set(True)
    pyvips.concurrency_set(1)  # pictures are worked on side by side in threads of our own
    return pyvips


def as_array(image: Any) -> npt.NDArray[Any]:
    """The pixels of a libvips picture, H×W or H×W×C, decoded now; an array stays as it is."""
    if isinstance(image, np.ndarray):
        return image
    shape, dtype = (image.height, image.width, image.bands), vips().vimage.FORMAT_TO_TYPESTR[image.format]
    if image.width * image.height <= _LARGE or image.height > _TALL:
        pixels = np.frombuffer(image.write_to_memory(), dtype).reshape(shape)
    else:  # memory of numpy's own comes in huge pages, which makes all later work an eighth quicker
        pixels = np.empty(shape, dtype)
        region = vips().Region.new(image)
        for rows in strips(pixels[..., 0], _STRIP):
            strip = pixels[rows]
            packed = region.fetch(0, rows.start, image.width, len(strip))
            strip[...] = np.frombuffer(packed, pixels.dtype).reshape(strip.shape)
    return pixels[..., 0] if image.bands == 1 else pixels


def as_image(pixels: Any) -> Any:
    """A libvips picture of an array (H×W or H×W×C, uint8 or uint16); what is one already stays one."""
    return vips().Image.new_from_array(pixels) if isinstance(pixels, np.ndarray) else pixels
