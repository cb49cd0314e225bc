"""TIFF: tags that are read, with the kinds of pixels that libvips misreads, and files from arrays of 8 or 16 bits.

Written are baseline TIFF 6.0, Deflate (Adobe's technical note of 2002) and horizontal differencing (section 14): Pillow
writes no colour of 16 bits, and libvips no EXIF.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from .arrays import Picture, Samples, joined
from .deflate import compressor
from .header import UNREADABLE, unknown_pixels

_PLANES = 2  # PlanarConfiguration of channels one after the other (section 8)
_COLOURS = {0: 1, 1: 1, 5: 4}  # channels of colour by PhotometricInterpretation: grey and CMYK; three for all others
_CIELAB = (8, 9)
_NOT_IN_THE_WHEEL = (34925, 50000)  # compression by LZMA and Zstandard
_STRIP = 1 << 19  # bytes of samples in a strip
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


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


def layout(image: Any, tags: Image.Exif) -> tuple[int, bool]:
    """How many channels of a libvips picture are colour, and whether the next is alpha; raises SourceError."""
    colours = _COLOURS.get(photometric(tags), 3)
    planes = values(tags, TiffImagePlugin.PLANAR_CONFIGURATION, 1)[0] == _PLANES
    mixed = planes and colours == 1 and image.bands > 1  # libvips takes one channel's rows for another's
    odd = image.format not in ("uchar", "ushort") and image.bands > 1
    if mixed or odd or image.bands < colours:
        raise unknown_pixels("TIFF")
    unspecified = values(tags, TiffImagePlugin.EXTRASAMPLES, 1)[0] == 0  # as a fourth channel beside RGB may be
    return colours, image.bands > colours and not unspecified


def write(picture: Picture, effort: int) -> bytes:
    """The TIFF file of a finished picture, whose EXIF becomes the file's own tags; `effort`: 0–9."""
    samples, alpha, dpi = picture.pixels, picture.alpha, picture.dpi
    height, width = samples.shape[:2]
    count = (samples.shape[2] if samples.ndim == 3 else 1) + (alpha is not None)
    rows = max(1, _STRIP // (width * count * samples.itemsize))
    parts = (slice(at, at + rows) for at in range(0, height, rows))
    strips = [_strip(joined(samples[part], None if alpha is None else alpha[part]), effort) for part in parts]
    sizes = [len(strip) for strip in strips]
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    exif = Image.Exif()
    if picture.exif is not None:
        exif.load(b"Exif\0\0" + picture.exif)
    for tag, value in (
        *((tag, exif.get_ifd(tag) if tag in _DIRECTORIES else value) for tag, value in exif.items()),
        (TiffImagePlugin.IMAGEWIDTH, width),
        (TiffImagePlugin.IMAGELENGTH, height),
        (TiffImagePlugin.BITSPERSAMPLE, (8 * samples.itemsize,) * count),
        (TiffImagePlugin.COMPRESSION, 8),
        (TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 2 if count > 2 else 1),
        # Counted from the end of the directory: `save` adds where that is.
        (TiffImagePlugin.STRIPOFFSETS, tuple(sum(sizes[:at]) for at in range(len(sizes)))),
        (TiffImagePlugin.SAMPLESPERPIXEL, count),
        (TiffImagePlugin.ROWSPERSTRIP, rows),
        (TiffImagePlugin.STRIPBYTECOUNTS, tuple(sizes)),
        (TiffImagePlugin.X_RESOLUTION, dpi and dpi[0]),
        (TiffImagePlugin.Y_RESOLUTION, dpi and dpi[1]),
        (TiffImagePlugin.PLANAR_CONFIGURATION, 1),
        (TiffImagePlugin.RESOLUTION_UNIT, dpi and 2),
        (TiffImagePlugin.PREDICTOR, 2),
        (TiffImagePlugin.EXTRASAMPLES, 2 if count in (2, 4) else None),
        (TiffImagePlugin.XMP, picture.xmp),
        (TiffImagePlugin.ICCPROFILE, picture.icc),
    ):
        if value is not None:
            tags[tag] = value
    file = io.BytesIO()
    tags.save(file)
    return b"".join([file.getvalue(), *strips])


def _strip(samples: Samples, effort: int) -> bytes:
    differences = samples.astype(samples.dtype.newbyteorder("<"))
    differences[:, 1:] -= samples[:, :-1]
    packer = compressor(effort)
    return b"".join((packer.compress(differences.data), packer.flush()))
