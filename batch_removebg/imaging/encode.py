"""A finished picture as the bytes of a file: its profile and resolution go in, and what is kept of its metadata."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from batch_removebg.errors import ItemError

from . import png_write, tiff_write
from .colour import convert
from .format import Encoding
from .metadata import Metadata
from .picture import Composed

_LOSSLESS_WEBP = ((0, 0), (1, 20), (1, 20), (2, 30), (3, 40), (4, 50), (4, 60), (4, 75), (5, 90), (6, 100))
"""`method` and `quality` by effort; without loss quality is effort too, and all come within some per cent."""
_LOSSY_WEBP = (0, 2, 4, 4, 4, 5, 5, 6, 6, 6)
"""`method` by effort."""
_EXIF = b"Exif\0\0"


def encode(composed: Composed, encoding: Encoding) -> bytes:
    """The file: PNG and TIFF without loss, JPEG and AVIF 4:4:4, WebP without loss unless on a background or asked for.

    Raises ItemError if the picture is too large for the format or its encoder.
    """
    height, width = composed.pixels.shape[:2]
    encoding.require_room(width, height)
    kept = composed.metadata or Metadata()
    if encoding.format == "png":
        return png_write.write(
            composed.pixels,
            effort=encoding.effort,
            icc=composed.icc,
            dpi=composed.dpi,
            exif=kept.exif,
            xmp=kept.xmp,
        )
    if encoding.format == "tiff":
        exif = None
        if kept.exif is not None:
            exif = Image.Exif()
            exif.load(_EXIF + kept.exif)
        return tiff_write.write(
            composed.pixels, effort=encoding.effort, icc=composed.icc, dpi=composed.dpi, exif=exif, xmp=kept.xmp
        )
    return _by_pillow(composed, kept, encoding)


def _by_pillow(composed: Composed, kept: Metadata, encoding: Encoding) -> bytes:
    if encoding.format in ("webp", "avif"):
        composed = _without_grey(composed)
    image = Image.fromarray(composed.pixels)
    options = _options(image, encoding)
    for name, value in (
        ("icc_profile", composed.icc),
        ("dpi", composed.dpi),
        ("exif", kept.exif and _EXIF + kept.exif),
        ("xmp", kept.xmp),
    ):
        if value is not None:
            options[name] = value
    buffer = io.BytesIO()
    try:
        image.save(buffer, encoding.format.upper(), **options)
    except (ValueError, OSError) as error:  # such as WebP with loss of 100 megapixels, in which a partition overflows
        raise ItemError(f"can't be written as {encoding.format} ({error}): choose --format png") from error
    return buffer.getvalue()


def _options(image: Image.Image, encoding: Encoding) -> dict[str, Any]:
    match encoding.format:
        case "webp" if encoding.lossless:
            # Colours under transparent pixels are 0 already; `exact` keeps the encoder from inventing others.
            method, quality = _LOSSLESS_WEBP[encoding.effort]
            return {"lossless": True, "exact": True, "method": method, "quality": quality}
        case "webp":
            return {"quality": encoding.quality, "method": _LOSSY_WEBP[encoding.effort]}
        case "avif":
            # One thread: pictures are worked on side by side already.
            return {
                "quality": encoding.quality,
                "subsampling": "4:4:4",
                "speed": 10 - encoding.effort,
                "max_threads": 1,
            }
        case _:
            return {"quality": encoding.quality, "subsampling": "4:4:4", "optimize": encoding.effort > 3}


def _without_grey(composed: Composed) -> Composed:
    """WebP knows no grey, and AVIF is read back as RGB; a grey profile can't stay on RGB pixels."""
    pixels = composed.pixels
    if pixels.ndim == 2:
        rgb, icc, _ = convert(pixels, composed.icc)
        return replace(composed, pixels=rgb, icc=icc)
    if pixels.shape[2] == 2:
        rgb, icc, _ = convert(np.ascontiguousarray(pixels[..., 0]), composed.icc)
        return replace(composed, pixels=np.dstack([rgb, pixels[..., 1]]), icc=icc)
    return composed
