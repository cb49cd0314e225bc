"""TIFF: tags that are read, with the kinds of pixels that libvips misreads, and files from arrays of 8 or 16 bits.

Written are baseline TIFF 6.0, Deflate (Adobe's technical note of 2002) and horizontal differencing (section 14): Pillow
writes no colour of 16 bits, and libvips no EXIF.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from batch_removebg.errors import SourceError

from .arrays import Picture, Samples, joined
from .deflate import compressor
from .directories import Directories, Tags
from .header import UNREADABLE, unknown_pixels

_PLANES = 2  # PlanarConfiguration of channels one after the other (section 8)
_COLOURS = {0: 1, 1: 1, 5: 4}  # channels of colour by PhotometricInterpretation: grey and CMYK; three for all others
_RGB, _YCBCR, _CIELAB, _OTHER_LABS = 2, 6, 8, (9, 10)
_JPEG = 7
_BY_VIPS = {1, 2, 3, 4, 5, 7, 8, 32771, 32773, 32946, 34676, 34677, 50001}  # compression (section 3; libtiff's tiff.h)
_BY_PILLOW = {6, 34925, 50000}  # old JPEG, LZMA and Zstandard, which the wheel of libvips lacks
_NAMES = {34712: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL"}
_RAW = {32803, 34892}  # PhotometricInterpretation of what a camera's sensor saw (TIFF/EP; DNG 1.7)
_RAW_PACKED = {32767, 34713}  # compression by Sony and Nikon
_LESS = 1 | 4  # NewSubfileType (section 8): smaller than another picture of the file, a mask
_PAGES = 10  # that are looked at for the picture, and in each as many SubIFDs
_STRIP = 1 << 19  # bytes of samples in a strip
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a TIFF that is the picture."""

    data: bytes  # the file, with it as the first page
    tags: Tags
    exif: Image.Exif  # the first page's tags, with the page's own orientation
    remarks: tuple[str, ...] = ()


def find_page(data: bytes) -> Page | None:
    """The first page that is no thumbnail and no mask, or what its SubIFDs hold larger; None of a camera's raw file."""
    file = Directories(data)
    pages = [{at: file.tags(at)} for at in file.chain(_PAGES)] or [{0: Tags()}]
    for page in pages:
        (tags,) = page.values()
        page |= {at: file.tags(at) for at in tags.get(ExifTags.Base.SubIFDs, ())[:_PAGES]}
    every = [tags for page in pages for tags in page.values()]
    if any(photometric(tags) in _RAW or _value(tags, TiffImagePlugin.COMPRESSION, 1) in _RAW_PACKED for tags in every):
        return None
    chosen = next((page for page in pages if any(map(_area, page.values()))), pages[0])
    at = max(chosen, key=lambda each: _area(chosen[each]))
    exif, first = read_tags(data), next(iter(pages[0]))
    if ExifTags.Base.Orientation in chosen[at]:
        exif[ExifTags.Base.Orientation] = _value(chosen[at], ExifTags.Base.Orientation, 1)
    if at == first:
        return Page(data, chosen[at], exif)
    remark = "its first page is a thumbnail or a mask: the full picture was taken"
    return Page(file.with_first(at), chosen[at], exif, (remark,))


def read_tags(data: bytes) -> Image.Exif:
    """The tags of the first page, which are what EXIF is made of; none where Pillow can't read them."""
    tags, file = Image.Exif(), Directories(data)
    tags.endian, tags.bigtiff = "<" if file.order == "little" else ">", file.big
    if tags.endian == "<" or not file.big:  # which Pillow takes for a small one
        with contextlib.suppress(*UNREADABLE):
            tags.load_from_fp(io.BytesIO(data), next(file.chain(1), 0))
    return tags


def _value(tags: Tags, tag: int, otherwise: int) -> int:
    return (tags.get(tag) or (otherwise,))[0]


def _area(tags: Tags) -> int:
    """Pixels of a picture that is whole."""
    less = _value(tags, ExifTags.Base.NewSubfileType, 0) & _LESS or _value(tags, ExifTags.Base.SubfileType, 1) == 2
    return 0 if less else _value(tags, ExifTags.Base.ImageWidth, 0) * _value(tags, ExifTags.Base.ImageLength, 0)


def photometric(tags: Tags) -> int:
    """What the values mean (PhotometricInterpretation)."""
    return _value(tags, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)


def bits(tags: Tags) -> int:
    """Bits of the deepest channel."""
    return max(tags.get(TiffImagePlugin.BITSPERSAMPLE) or (1,))


def _in_planes(tags: Tags) -> bool:
    planes = _value(tags, TiffImagePlugin.PLANAR_CONFIGURATION, 1) == _PLANES
    return planes and _value(tags, TiffImagePlugin.SAMPLESPERPIXEL, 1) > 1


def is_for_pillow(tags: Tags) -> bool:
    """Whether Pillow alone can read it: CIELAB of 8 bits, grey of 12, YCbCr, rare compression, planes of tiles.

    Raises SourceError for compression that neither of them knows.
    """
    meaning, depth, packed = photometric(tags), bits(tags), _value(tags, TiffImagePlugin.COMPRESSION, 1)
    if packed not in _BY_VIPS | _BY_PILLOW:
        name = _NAMES.get(packed, f"method {packed}")
        raise SourceError(f"is a TIFF compressed by {name}, which can't be read here: save it with LZW or Deflate")
    plain, planes = ExifTags.Base.ExtraSamples not in tags, _in_planes(tags)
    if meaning == _CIELAB and depth == 8:
        return plain and not planes
    tiles = planes and TiffImagePlugin.TILEOFFSETS in tags and meaning == _RGB and plain
    grey = meaning in (0, 1)
    if meaning == _YCBCR and packed != _JPEG:  # which libvips takes for RGB
        return True
    return (grey and depth == 12) or (packed in _BY_PILLOW and (grey or depth <= 8)) or (tiles and depth == 8)


def layout(image: Any, tags: Tags) -> tuple[int, bool]:
    """How many channels of a libvips picture are colour, and whether the next is alpha; raises SourceError."""
    colours, planes = _COLOURS.get(photometric(tags), 3), _in_planes(tags)
    mixed = planes and colours == 1 and image.bands > 1  # libvips takes one channel's rows for another's
    tiles = planes and TiffImagePlugin.TILEOFFSETS in tags
    extra = _value(tags, ExifTags.Base.ExtraSamples, 2)
    inks = colours == 4 and image.format != "uchar" and extra == 1  # libvips takes 255 for the most of 16 bits, too
    if mixed or tiles or inks or image.bands < colours or photometric(tags) in _OTHER_LABS:
        raise unknown_pixels("TIFF")
    return colours, image.bands > colours and extra != 0  # a fourth channel beside RGB may be something else


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
