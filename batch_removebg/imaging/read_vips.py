"""JPEG, PNG, WebP and TIFF, read by libvips."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from batch_removebg.errors import SourceError

from . import jpeg, png, tiff
from .arrays import fit, to_8_bits
from .colour import srgb_profile
from .declared import by_chunks, by_interoperability
from .header import UNREADABLE, Header, Stored, complaint, unknown_pixels
from .vips import as_array, vips

_LAB = ("lab", "labs")  # which needs no profile to say what it means
LOADERS = {"JPEG": "jpegload", "PNG": "pngload", "WEBP": "webpload", "TIFF": "tiffload"}
_UNKNOWN_KIND = re.compile(  # libvips's words for a sound TIFF whose pixels it can't read
    r"not \d+ bands|not photometric|not at least|not \d+ bits|unsupported|whole number|palette image|separate planes"
    r"|out of range|bad labq"
)
_ROWS = 100_000  # at most: libvips's time grows with their square, to 0.2 s for 200,000, minutes for ten million


def open_header(name: str, data: bytes, page: tiff.Page | None) -> Header:
    """The header of a picture in a format that libvips reads; `page` of a TIFF. Raises SourceError."""
    chunks, texts, damaged = png.read_chunks(data) if name == "PNG" else ({}, {}, ())
    tags, remarks = (page.tags, page.remarks) if page else ({}, ())
    if damaged:
        kinds = ", ".join(dict.fromkeys(kind.decode("latin-1") for kind, _, _ in damaged))
        data, remarks = png.without(data, damaged), (f"left out, since a checksum is wrong: {kinds}",)
    if name == "JPEG":
        jpeg.require_known(data)
    pictures, gain_map = jpeg.pictures(data) if name == "JPEG" else (0, False)
    if ended := jpeg.with_end(data) if name == "JPEG" else None:
        data, remarks = ended, ("the mark of its end is missing, and nothing else",)
    # Of tiles, libvips leaves those black that it can't read, unless warnings count; of strips, warnings would
    # refuse every file with a tag that libtiff doesn't know.
    fail_on = "warning" if ended or TiffImagePlugin.TILEOFFSETS in tags else "error"
    try:
        image = _load(name, data, fail_on=fail_on)
    except vips().Error as error:
        said = complaint(error)
        if name == "TIFF" and _UNKNOWN_KIND.search(said):
            raise unknown_pixels(name) from error
        raise SourceError(f"looks like {name}, but its header is damaged or cut short: {said}") from error
    if image.height > _ROWS:
        raise SourceError(f"is {image.width}×{image.height} pixels: more than {_ROWS} rows can't be read here")
    if page is not None:
        tiff.layout(image, tags)
    xmp = texts.get(b"XML:com.adobe.xmp") or _field(image, "xmp-data")
    packed = chunks.get(b"eXIf") or _field(image, "exif-data")
    exif = page.exif if page else _exif(packed, texts.get(b"Raw profile type exif"))
    pages = int.from_bytes(chunks[b"acTL"][:4], "big") if b"acTL" in chunks else _field(image, "n-pages")
    icc, ignored = _profile(image, chunks)
    return Header(
        format=name,
        data=data,
        source=image,
        size=(image.width, image.height),
        frames=pictures or pages or 1,
        exif=exif,
        xmp=xmp,
        icc=icc,
        density=png.density(chunks) if name == "PNG" else jpeg.density(data) if name == "JPEG" else None,
        deep=image.format != "uchar",
        other_colours=by_chunks(chunks) if name == "PNG" else by_interoperability(exif) if name == "JPEG" else None,
        gain_map=gain_map,
        remarks=remarks + ignored,
        tags=tags,
        fail_on=fail_on,
    )


def stored(header: Header, shrink: int = 1) -> Stored:
    """The pixels, not decoded yet; of a JPEG at 1/2, 1/4 or 1/8 of its size where asked for."""
    image = header.source
    if header.format != "TIFF":
        if shrink > 1 and header.fail_on == "error":
            width, height = (round(side / shrink) for side in header.size)
            image = _load(header.format, header.data, shrink=shrink, fail_on="error")
            # libvips leaves out a last pixel that isn't whole, be it nearly so: the picture would come out stretched.
            image = image.embed(0, 0, width, height, extend="copy")
        return Stored(image, image.hasalpha())
    colours, alpha = tiff.layout(image, header.tags)
    if image.bands > colours + alpha:
        image = image.extract_band(0, n=colours + alpha)
    if image.interpretation in _LAB:
        rgb = image.colourspace("lab")[:3].icc_export(output_profile="srgb", intent="relative", depth=16)
        image = rgb.bandjoin((image[3].cast("int") & 0xFFFF).cast("ushort")) if alpha else rgb
    if image.format not in ("uchar", "ushort"):
        values = as_array(image)
        seen, notes = fit(values[..., :colours] if alpha else values, profiled=header.icc is not None)
        return Stored(np.dstack((seen, fit(values[..., colours:])[0])) if alpha else seen, alpha, notes)
    if colours == 4 and image.format == "ushort":
        return Stored(to_8_bits(as_array(image)), alpha, ("16 bits a channel reduced to 8",))
    return Stored(image, alpha)


def _load(name: str, data: bytes, **options: Any) -> Any:
    vips().vips_lib.vips_error_clear()  # what another picture left there would be said of this one
    return getattr(vips().Image, f"{LOADERS[name]}_buffer")(data, access="sequential", **options)


def _profile(image: Any, chunks: dict[bytes, bytes]) -> tuple[bytes | None, tuple[str, ...]]:
    """The colour profile, a PNG's from its chunks; a note where it can't be used."""
    if image.interpretation in _LAB:
        return srgb_profile(), ()
    icc = png.profile(chunks) if b"IHDR" in chunks else _field(image, "icc-profile-data")
    broken = icc is None and b"iCCP" in chunks
    if broken or (icc and len(icc) < int.from_bytes(icc[:4], "big")):
        return None, ("colour profile ignored: it is damaged, or of more than 16 MiB",)
    return icc or None, ()


def _field(image: Any, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None


def _exif(packed: bytes | None, raw: bytes | None) -> Image.Exif:
    """EXIF as Pillow reads it: from its own place, or from a text as ImageMagick writes it."""
    about: dict[str | tuple[int, int], Any] = {"exif": packed}
    if raw is not None:
        about["Raw profile type exif"] = raw.decode("latin-1")
    holder = Image.Image()
    holder.info = about
    with contextlib.suppress(*UNREADABLE):
        holder.getexif()
    return holder.getexif()
