"""JPEG, PNG, WebP and TIFF, read by libvips."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from batch_removebg.errors import SourceError

from . import png, tiff
from .arrays import fit, to_8_bits
from .declared import by_chunks, by_interoperability
from .header import UNREADABLE, Header, Stored, complaint, unknown_pixels
from .vips import as_array, vips

LOADERS = {"JPEG": "jpegload", "PNG": "pngload", "WEBP": "webpload", "TIFF": "tiffload"}
_UNKNOWN_KIND = re.compile(  # libvips's words for a sound TIFF whose pixels it can't read
    r"not \d+ bands|not photometric|not at least|not \d+ bits|unsupported|whole number|palette image|separate planes"
)
_ROWS = 100_000  # at most: libvips's time grows with their square, to 0.2 s for 200,000, minutes for ten million
_SEGMENT = re.compile(rb"\xff+([^\xff\xda])(..)", re.DOTALL)  # marker and length; the scan ends the header
_JFIF = re.compile(rb"JFIF\0..(.)(..)(..)", re.DOTALL)  # version, unit and two densities (ITU-T T.871, 10.1)
_PER_INCH = {b"\1": 1.0, b"\2": 2.54}  # inch and centimetre; 0 says a pixel's shape only


def open_header(name: str, data: bytes, tags: Image.Exif | None) -> Header:
    """The header of a picture in a format that libvips reads; `tags` of a TIFF. Raises SourceError."""
    chunks, texts = png.read_chunks(data) if name == "PNG" else ({}, {})
    try:
        # Of tiles, libvips leaves those black that it can't read, unless warnings count; of strips, warnings would
        # refuse every file with a tag that libtiff doesn't know.
        tiled = tags is not None and TiffImagePlugin.TILEOFFSETS in tags
        image = _load(name, data, fail_on="warning" if tiled else "error")
    except vips().Error as error:
        said = complaint(error)
        if name == "TIFF" and _UNKNOWN_KIND.search(said):
            raise unknown_pixels(name) from error
        raise SourceError(f"looks like {name}, but its header is damaged or cut short: {said}") from error
    if image.height > _ROWS:
        raise SourceError(f"is {image.width}×{image.height} pixels: more than {_ROWS} rows can't be read here")
    if tags is not None:
        tiff.layout(image, tags)
    xmp = texts.get(b"XML:com.adobe.xmp") or _field(image, "xmp-data")
    exif = _exif(chunks.get(b"eXIf") or _field(image, "exif-data"), xmp, texts.get(b"Raw profile type exif"))
    if tags is not None and ExifTags.Base.Orientation in exif:
        tags.setdefault(ExifTags.Base.Orientation, exif[ExifTags.Base.Orientation])
    pages = int.from_bytes(chunks[b"acTL"][:4], "big") if b"acTL" in chunks else _field(image, "n-pages")
    icc = png.profile(chunks) if name == "PNG" else _field(image, "icc-profile-data")
    return Header(
        format=name,
        data=data,
        source=image,
        size=(image.width, image.height),
        frames=pages or 1,
        exif=exif if tags is None else tags,
        xmp=xmp,
        icc=icc if icc and len(icc) >= int.from_bytes(icc[:4], "big") else None,  # unless a part of it is missing
        density=png.density(chunks) if name == "PNG" else _jfif_density(data) if name == "JPEG" else None,
        deep=image.format != "uchar",
        other_colours=by_chunks(chunks) if name == "PNG" else by_interoperability(exif) if name == "JPEG" else None,
    )


def stored(header: Header, shrink: int = 1) -> Stored:
    """The pixels, not decoded yet; of a JPEG at 1/2, 1/4 or 1/8 of its size where asked for."""
    image = header.source
    if header.format != "TIFF":
        if shrink > 1:
            width, height = (round(side / shrink) for side in header.size)
            image = _load(header.format, header.data, shrink=shrink, fail_on="error")
            # libvips leaves out a last pixel that isn't whole, be it nearly so: the picture would come out stretched.
            image = image.embed(0, 0, width, height, extend="copy")
        return Stored(image, image.hasalpha())
    colours, alpha = tiff.layout(image, header.exif)
    if image.bands > colours + alpha:
        image = image.extract_band(0, n=colours + alpha)
    if image.format not in ("uchar", "ushort"):
        values, notes = fit(as_array(image))
        return Stored(values, notes=notes)
    if colours == 4 and image.format == "ushort":
        return Stored(to_8_bits(as_array(image)), alpha, ("16 bits a channel reduced to 8",))
    return Stored(image, alpha)


def _load(name: str, data: bytes, **options: Any) -> Any:
    vips().vips_lib.vips_error_clear()  # what another picture left there would be said of this one
    return getattr(vips().Image, f"{LOADERS[name]}_buffer")(data, access="sequential", **options)


def _field(image: Any, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None


def _exif(packed: bytes | None, xmp: bytes | None, raw: bytes | None) -> Image.Exif:
    """EXIF as Pillow reads it: from its own place, from a text as ImageMagick writes it, its orientation from XMP."""
    about: dict[str | tuple[int, int], Any] = {"exif": packed, "xmp": xmp}
    if raw is not None:
        about["Raw profile type exif"] = raw.decode("latin-1")
    holder = Image.Image()
    holder.info = about
    with contextlib.suppress(*UNREADABLE):
        holder.getexif()
    return holder.getexif()


def _jfif_density(data: bytes) -> tuple[float, float] | None:
    """Dots per inch by a JPEG's JFIF segment; None where it has none."""
    at, found = 2, None
    while not found and (segment := _SEGMENT.match(data, at)):
        found = _JFIF.match(data, segment.end()) if segment[1] == b"\xe0" else None
        at = segment.start(2) + int.from_bytes(segment[2], "big")
    if not found or found[1] not in _PER_INCH:
        return None
    x, y = (int.from_bytes(number, "big") * _PER_INCH[found[1]] for number in found.group(2, 3))
    return x, y
