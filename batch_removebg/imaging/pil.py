"""Pictures as Pillow's images, for programs that have or want such."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as pillow
from PIL import ImageOps
from PIL.Image import Image as Image  # for those who may not import Pillow

from .arrays import Picture, to_8_bits

_AS_PNG = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")


def file_of(image: Image) -> bytes:
    """An image as a PNG, upright, with its profile."""
    data, shown = io.BytesIO(), ImageOps.exif_transpose(image)
    profile = shown.info.get("icc_profile") if shown.mode in _AS_PNG else None
    shown = shown if shown.mode in _AS_PNG else shown.convert("RGB")
    shown.save(data, "PNG", compress_level=1, icc_profile=profile)
    return data.getvalue()


def image_of(picture: Picture) -> Image:
    """A picture as an image of 8 bits a channel: L, RGB or RGBA; its profile is in `info`."""
    pixels = to_8_bits(picture.pixels)
    if picture.alpha is not None:
        colours = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        pixels = np.dstack((colours, to_8_bits(picture.alpha)))
    image = pillow.fromarray(pixels)
    image.info |= {"icc_profile": picture.icc} if picture.icc else {}
    return image
