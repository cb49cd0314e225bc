"""A TIFF's tags (TIFF 6.0), and the kinds of pixels that libvips misreads."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from PIL import Image, TiffImagePlugin

from .header import UNREADABLE, unknown_pixels

_PLANES = 2
"""PlanarConfiguration of channels one after the other (section 8)."""
_COLOURS = {0: 1, 1: 1, 5: 4}
"""Channels of colour by PhotometricInterpretation: grey and CMYK; three for all others."""
_CIELAB = (8, 9)
_NOT_IN_THE_WHEEL = (34925, 50000)
"""Compression by LZMA and Zstandard."""


def read_tags(data: bytes) -> Image.Exif:
    """The tags of the first page, which are what EXIF is made of; none where they can't be read."""
    tags = Image.Exif()
    tags.endian = "<" if data[:2] == b"II" else ">"
    order: Any = "little" if tags.endian == "<" else "big"
    tags.bigtiff = int.from_bytes(data[2:4], order) == 43
    offset = int.from_bytes(data[8:16] if tags.bigtiff else data[4:8], order)
    with contextlib.suppress(*UNREADABLE):
        tags.load_from_fp(io.BytesIO(data), offset)
    return tags


def values(tags: Image.Exif, tag: int, otherwise: int) -> tuple[Any, ...]:
    """The values of a tag; `otherwise` where there are none."""
    found = tags.get(tag, ())
    return (found if isinstance(found, tuple) else (found,)) or (otherwise,)


def photometric(tags: Image.Exif) -> int:
    """What the values mean (PhotometricInterpretation)."""
    meaning: int = values(tags, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)[0]
    return meaning


def is_for_pillow(tags: Image.Exif) -> bool:
    """Whether libvips can't read what Pillow can: CIELAB, grey of 12 bits, and compression that its wheel lacks."""
    bits = set(values(tags, TiffImagePlugin.BITSPERSAMPLE, 1))
    grey = photometric(tags) in (0, 1)
    packed = values(tags, TiffImagePlugin.COMPRESSION, 1)[0] in _NOT_IN_THE_WHEEL
    return photometric(tags) in _CIELAB or (grey and bits == {12}) or (packed and (grey or max(bits) <= 8))


def is_tiled(tags: Image.Exif) -> bool:
    """Whether pixels lie in tiles rather than strips."""
    return TiffImagePlugin.TILEOFFSETS in tags


def layout(image: Any, tags: Image.Exif) -> tuple[int, bool]:
    """How many channels of a libvips picture are colour, and whether the next one is its alpha.

    Raises SourceError for kinds of pixels that would come out wrong.
    """
    colours = _COLOURS.get(photometric(tags), 3)
    planes = values(tags, TiffImagePlugin.PLANAR_CONFIGURATION, 1)[0] == _PLANES
    mixed = planes and colours == 1 and image.bands > 1  # libvips takes one channel's rows for another's
    odd = image.format not in ("uchar", "ushort") and image.bands > 1
    if mixed or odd or image.bands < colours:
        raise unknown_pixels("TIFF")
    unspecified = values(tags, TiffImagePlugin.EXTRASAMPLES, 1)[0] == 0  # as a fourth channel beside RGB may be
    return colours, image.bands > colours and not unspecified
