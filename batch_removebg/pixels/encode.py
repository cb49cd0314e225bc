"""A finished picture as the bytes of a file: its profile and resolution go in, nothing else about the source does."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from batch_removebg.errors import ItemError

from .colour import to_srgb
from .compose import Composed
from .spec import Finish

_LONGEST = {"webp": 16383, "jpeg": 65500}
"""Longest side the format (WebP: 14 bits) or its library (libjpeg: JPEG_MAX_DIMENSION) can hold."""

_TIFF_PREDICTOR = {317: 2}


def encode(composed: Composed, finish: Finish) -> bytes:
    """The file: PNG and TIFF without loss, JPEG 4:4:4, WebP without loss unless it lies on a background.

    Raises ItemError if the picture is too large for the format.
    """
    image, icc = composed.image, composed.icc
    longest = _LONGEST.get(finish.format, max(image.size))
    if max(image.size) > longest:
        raise ItemError(
            f"is {image.width}×{image.height} pixels, and {finish.format} can't hold more than {longest} a side: "
            "choose --format png"
        )
    if finish.format == "webp" and image.mode in ("L", "LA"):
        image, icc = _grey_to_rgb(image, icc)
    options = _options(image, finish)
    if icc is not None:
        options["icc_profile"] = icc
    if composed.dpi is not None:
        options["dpi"] = composed.dpi
    buffer = io.BytesIO()
    image.save(buffer, finish.format.upper(), **options)
    return buffer.getvalue()


def _options(image: Image.Image, finish: Finish) -> dict[str, Any]:
    match finish.format:
        case "png":
            # A cutout of 6 megapixels: level 2 takes a sixth of the time of level 6, and 12 % more bytes.
            return {"compress_level": 2}
        case "webp":
            if image.mode == "RGBA" or finish.mask_only:
                # `exact` keeps the colours under transparent pixels. More effort than this: 0.2 % smaller, 6× slower.
                return {"lossless": True, "exact": True, "method": 1, "quality": 20}
            return {"quality": finish.quality}
        case "jpeg":
            return {"quality": finish.quality, "subsampling": "4:4:4"}
        case _:
            return {"compression": "tiff_adobe_deflate", "tiffinfo": _TIFF_PREDICTOR}


def _grey_to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """WebP knows no grey; a grey profile can't stay on RGB pixels."""
    rgb, icc, _ = to_srgb(image.getchannel("L"), icc)
    if image.mode == "LA":
        rgb.putalpha(image.getchannel("A"))
    return rgb, icc
