"""GIF, AVIF, BMP, JPEG 2000, PPM, PSD and HEIC, and some kinds of TIFF, read by Pillow."""

from __future__ import annotations

import contextlib
import importlib
import io
import re

import numpy as np
from PIL import ExifTags, Image, ImageFile

from batch_removebg.errors import INSTALL, SourceError

from . import read_psd, tiff
from .arrays import fit
from .colour import lab_to_srgb, srgb_profile
from .declared import by_nclx, embedded_profile, has_gain_map, stored_bits
from .header import UNREADABLE, Header, Stored, decoding, unheard, unknown_pixels

_UNKNOWN_KIND = re.compile(r"unknown pixel mode|Missing dimensions|\(\d+, (16|32)\)")
"""Pillow's words for a sound TIFF that it has no mode for, or a BigTIFF that it takes for a small one; of a PSD, the
colour mode and bits that it doesn't know."""
_X, _Y = ExifTags.Base.XResolution, ExifTags.Base.YResolution


def open_header(name: str, data: bytes, page: tiff.Page | None) -> Header:
    """The header of a picture in a format that Pillow reads; `page` of a TIFF. Raises SourceError."""
    image = _opened(name, read_psd.for_pillow(data) if name == "PSD" else data)
    xmp = image.info.pop("xmp", None)  # of which the orientation counts nowhere but for Pillow
    if page is None:
        # The base class's method: a plugin's own may decode the picture in search of it.
        with contextlib.suppress(*UNREADABLE):
            Image.Image.getexif(image)  # where it raises, the next call returns what could be read
    else:  # Pillow gives a TIFF's upright size, and turns the pixels as it loads them
        tags = page.exif
        if tags.get(ExifTags.Base.Orientation, 1) >= 5 and _X in tags and _Y in tags:
            tags[_X], tags[_Y] = tags[_Y], tags[_X]
        tags[ExifTags.Base.Orientation] = 1
    deep = (name == "PSD" and data[22:24] == b"\0\x10") or image.mode in ("I", "F") or image.mode.startswith("I;16")
    with decoding():
        frames = 1 if name == "PSD" else int(getattr(image, "n_frames", 1))  # which are layers
    return Header(
        format=name,
        data=data,
        source=image,
        size=(image.width, image.height),
        frames=frames,
        exif=page.exif if page else Image.Image.getexif(image),
        xmp=xmp,
        icc=srgb_profile() if image.mode == "LAB" else image.info.get("icc_profile") or embedded_profile(name, data),
        density=None if page else image.info.get("dpi"),
        deep=deep,
        lost_bits=8 if deep else stored_bits(name, data),
        other_colours=by_nclx(data) if name in ("AVIF", "HEIF") else None,
        gain_map=has_gain_map(name, data),
        remarks=page.remarks if page else (),
        tags=page.tags if page else {},
    )


def stored(header: Header) -> Stored:
    """The pixels, decoded."""
    image = header.source
    if header.format == "PSD" and (merged := read_psd.stored(header.data, *header.size)):
        return merged
    with unheard() if header.tags else contextlib.nullcontext():
        image.load()
    if header.deep:
        values, notes = fit(np.asarray(image), tiff.bits(header.tags) if header.tags else 16)
        if header.tags and tiff.photometric(header.tags) == 0:  # white is zero, which Pillow minds in 8 bits only
            values = ~values
        return Stored(values, notes=notes)
    if image.mode == "LAB":  # whose bytes are signed: it can't be resized as it is
        return Stored(np.asarray(lab_to_srgb(image)))
    if image.has_transparency_data:
        return Stored(np.asarray(image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")), alpha=True)
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return Stored(np.asarray(image))


def _opened(name: str, data: bytes) -> ImageFile.ImageFile:
    # Not Image.open: that warns from 89 million pixels on, by a process-wide number and a process-wide filter.
    # Our limit stands in for it, and the host program's setting stays as it is.
    Image.init()
    if name == "HEIF" and name not in Image.OPEN:
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ImportError as error:
            raise SourceError(f"is a HEIC picture, which needs a plugin: {INSTALL.format('heic')}") from error
    factory, _ = Image.OPEN.get(name, (None, None))
    if factory is None:
        raise SourceError(f"can't be read here: this Pillow has no reader for {name}")
    try:
        with unheard() if name == "TIFF" else contextlib.nullcontext():
            return factory(io.BytesIO(data), "")
    except Image.DecompressionBombError as error:  # asked by plugins that allocate as they open
        raise SourceError(f"is too large: {error}") from error
    except UNREADABLE as error:
        if name in ("TIFF", "PSD") and _UNKNOWN_KIND.fullmatch(str(error)):
            raise unknown_pixels(name) from error
        raise SourceError(f"looks like {name}, but its header is damaged or cut short: {error}") from error
