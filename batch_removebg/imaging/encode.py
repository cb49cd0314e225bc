"""A finished picture as a file: PNG and TIFF by writers of our own, the rest by Pillow.

libvips takes twice the time or more for PNG and TIFF, and in every format rewrites EXIF, or drops it.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from batch_removebg.errors import ItemError

from . import png_write, tiff
from .arrays import Picture, joined
from .colour import convert
from .format import Encoding

_LOSSLESS_WEBP = ((0, 0), (1, 20), (1, 20), (2, 30), (3, 40), (4, 50), (4, 60), (4, 75), (5, 90), (6, 100))
"""`method` and `quality` by effort; without loss quality is effort too, and all come within some per cent."""
_LOSSY_WEBP = (0, 1, 2, 3, 4, 4, 5, 5, 6, 6)  # `method` by effort


def encode(picture: Picture, encoding: Encoding) -> bytes:
    """The picture's file; raises ItemError if it is too large for the format or its encoder."""
    height, width = picture.pixels.shape[:2]
    encoding.require_room(width, height)
    match encoding.format:
        case "png":
            return png_write.write(picture, encoding.effort)
        case "tiff":
            return tiff.write(picture, encoding.effort)
    pixels, icc, exif = picture.pixels, picture.icc, picture.exif
    if pixels.ndim == 2 and encoding.format in ("webp", "avif"):
        # WebP has no grey, AVIF is read back as RGB, and neither may have a grey profile.
        pixels, icc, _ = convert(pixels, icc)
    about = {"icc_profile": icc, "dpi": picture.dpi, "exif": exif and b"Exif\0\0" + exif, "xmp": picture.xmp}
    options = _options(encoding) | {name: value for name, value in about.items() if value is not None}
    buffer = io.BytesIO()
    try:
        Image.fromarray(joined(pixels, picture.alpha)).save(buffer, encoding.format.upper(), **options)
    except (ValueError, OSError) as error:  # such as lossy WebP of 100 megapixels, in which a partition overflows
        raise ItemError(f"can't be written as {encoding.format} ({error}): choose --format png") from error
    return buffer.getvalue()


def _options(encoding: Encoding) -> dict[str, Any]:
    match encoding.format:
        case "webp" if encoding.lossless:
            # Colours under transparent pixels are 0 already; `exact` keeps the encoder from inventing others.
            method, quality = _LOSSLESS_WEBP[encoding.effort]
            return {"lossless": True, "exact": True, "method": method, "quality": quality}
        case "webp":
            return {"quality": encoding.quality, "method": _LOSSY_WEBP[encoding.effort]}
        case "avif":
            speed = 10 - encoding.effort
            # One thread: pictures are worked on side by side already.
            return {"quality": encoding.quality, "subsampling": "4:4:4", "speed": speed, "max_threads": 1}
        case _:
            return {"quality": encoding.quality, "subsampling": "4:4:4", "optimize": encoding.effort > 3}
