"""What a picture's header says, with nothing decoded: format, upright size, frames, and whether to refuse it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.net import instead

from . import bounds, read_pillow, read_raw, read_vips, tiff
from .format import STARTS, UNREAD, Limits, identify
from .header import Header, Stored

_BYTES_PER_PIXEL = 20
_BYTES_PER_DEEP_PIXEL = 38
"""By source: measured, where nothing compresses, were 8 to 16 for JPEG, PNG and TIFF, 18 for WebP, 30 for 16 bits."""
_BYTES_IN = {"WEBP": 22, "JPEG2000": 28}
_BYTES_OUT = {"webp": 48, "avif": 60}  # by result, where its encoder takes more than all that; measured were 45 and 48


def probe(data: bytes, limits: Limits) -> Header:
    """What a picture's header says; raises SourceError for what is empty, no picture, or larger than `limits` allow."""
    if not data:
        raise SourceError("is empty (0 bytes)")
    name = identify(data)
    if name is None:
        names = ", ".join(name for name in STARTS if name not in ("HEIF", "RAW"))
        if other := next((other for other, start in UNREAD.items() if re.match(start, data)), None):
            raise SourceError(f"is a picture in {other}, which can't be read here: save it as PNG or TIFF")
        unknown = f"is not a picture (it starts with {data[:8]!r}); readable are {names} and HEIC"
        raise SourceError(instead.named(data) or unknown)
    bounds.require_few(name, data)
    page = tiff.find_page(data) if name == "TIFF" else None
    if name == "RAW" or (name == "TIFF" and page is None):
        header = read_raw.open_header(data)
    elif name in read_vips.LOADERS and not (page and tiff.is_for_pillow(page.tags)):
        header = read_vips.open_header(name, page.data if page else data, page)
    else:
        header = read_pillow.open_header(name, page.data if page else data, page)
    width, height = header.size
    if width * height > limits.max_pixels:
        limit = (
            f"the limit of {limits.max_pixels / 1e6:.0f} million: raise it with --max-pixels if the picture is meant"
        )
        raise SourceError(f"has {width}×{height} pixels ({width * height / 1e6:.0f} million), more than {limit}")
    return header


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run has to know of a picture before it is decoded."""

    width: int  # with the EXIF orientation applied
    height: int
    cost: int  # estimated peak in bytes while it is decoded, finished and encoded, without its file
    notes: tuple[str, ...]


def measure(data: bytes, limits: Limits, forms: Sequence[str] = ()) -> Measured:
    """The measures of a picture that is to become these `forms`; raises as `probe`."""
    header = probe(data, limits)
    per_pixel = _BYTES_PER_DEEP_PIXEL if header.deep else _BYTES_IN.get(header.format, _BYTES_PER_PIXEL)
    width, height = header.upright
    per_pixel = max([per_pixel, *(_BYTES_OUT.get(form, 0) for form in forms)])
    return Measured(width, height, width * height * per_pixel, header.notes)


def unpack(header: Header, shrink: int = 1) -> Stored:
    """The pixels, to be taken within `header.decoding`; of a JPEG at 1/2, 1/4 or 1/8 of its size where asked for."""
    if header.format == "RAW":
        return read_raw.stored(header)
    return read_pillow.stored(header) if isinstance(header.source, Image.Image) else read_vips.stored(header, shrink)
