"""Cameras' raw files, developed by LibRaw where its extra is installed."""

from __future__ import annotations

import importlib
import io
import re
from typing import Any

from PIL import ExifTags, Image

from batch_removebg.errors import INSTALL, SourceError

from .colour import srgb_profile
from .format import STARTS
from .header import Header, Stored, unheard
from .tiff import read_tags

_REMEDY = "develop it to TIFF or JPEG first"


def _rawpy() -> Any:
    try:
        return importlib.import_module("rawpy")
    except ImportError as error:
        raise SourceError(f"is a camera's raw file: {_REMEDY}, or {INSTALL.format('raw')}") from error


def _unread(error: Exception) -> SourceError:
    said = b"".join(part for part in error.args if isinstance(part, bytes)).decode("utf-8", "replace")
    return SourceError(f"is a camera's raw file that LibRaw can't read ({said or error}): {_REMEDY}")


def open_header(data: bytes) -> Header:
    """The header of a raw file, its size the developed picture's; raises SourceError."""
    rawpy = _rawpy()
    try:
        with unheard():
            source = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawError as error:
        raise _unread(error) from error
    size = source.sizes.iwidth, source.sizes.iheight
    exif = read_tags(data) if re.match(STARTS["TIFF"], data) else Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    turned = size[::-1] if source.sizes.flip in (5, 6) else size
    return Header(format="RAW", data=data, source=source, size=turned, exif=exif, icc=srgb_profile(), deep=True)


def stored(header: Header) -> Stored:
    """The pixels: 16 bits, upright, in sRGB, the white balance as the camera noted it; raises SourceError."""
    try:
        with unheard():
            return Stored(header.source.postprocess(use_camera_wb=True, output_bps=16, gamma=(2.4, 12.92)))
    except _rawpy().LibRawError as error:
        raise _unread(error) from error
