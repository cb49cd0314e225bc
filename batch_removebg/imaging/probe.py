"""What a picture's header says, with nothing decoded: format, upright size, frames, and whether to refuse it.

A SourceError raised here is a predicate without its subject ("is empty (0 bytes)"): the caller knows the name.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from batch_removebg.errors import SourceError

from . import read_pillow, read_vips, tiff
from .codecs import CODECS, identify
from .format import Limits
from .header import Header, Stored

_BYTES_PER_PIXEL = 20
_BYTES_PER_DEEP_PIXEL = 38
"""By source: measured, where nothing compresses, were 8 to 16 for JPEG, PNG and TIFF, 18 for WebP, 30 for 16 bits."""
_BYTES_IN = {"WEBP": 22, "JPEG2000": 28}
_BYTES_OUT = {"webp": 44, "avif": 60}
"""By result, where its encoder takes more than all that; measured were 40 and 45."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the header says."""

    format: str
    """One of `codecs.CODECS`."""
    width: int
    """With the EXIF orientation applied."""
    height: int
    frames: int = 1
    notes: tuple[str, ...] = ()
    deep: bool = False
    """16 bits a channel or more."""


def probe(data: bytes, limits: Limits) -> Probe:
    """What the header of a picture says; no pixel is decoded.

    Raises SourceError if it is empty, not a picture, or larger than `limits` allow.
    """
    header = open_header(data, limits)
    width, height = header.turned((header.width, header.height))
    return Probe(header.codec.format, width, height, header.frames, header.notes, header.deep)


def cost(probe: Probe, form: str | None = None) -> int:
    """Estimated peak in bytes while such a picture is decoded, finished and encoded as `form`; for a budget of memory.

    The file's own bytes, which the caller holds, are not in it.
    """
    per_pixel = _BYTES_PER_DEEP_PIXEL if probe.deep else _BYTES_IN.get(probe.format, _BYTES_PER_PIXEL)
    if form is not None:
        per_pixel = max(per_pixel, _BYTES_OUT.get(form, 0))
    return probe.width * probe.height * per_pixel


def open_header(data: bytes, limits: Limits) -> Header:
    """A picture with its header read and its pixels still packed; raises SourceError like `probe`."""
    if not data:
        raise SourceError("is empty (0 bytes)")
    codec = identify(data)
    if codec is None:
        names = ", ".join(codec.format for codec in CODECS if codec.format != "HEIF")
        raise SourceError(f"is not a picture (it starts with {data[:8]!r}); readable are {names} and HEIC")
    tags = tiff.read_tags(data) if codec.format == "TIFF" else None
    by_vips = codec.reader == "libvips" and not (tags is not None and tiff.is_for_pillow(tags))
    header = read_vips.open_header(codec, data, tags) if by_vips else read_pillow.open_header(codec, data, tags)
    if header.width * header.height > limits.max_pixels:
        raise SourceError(
            f"has {header.width}×{header.height} pixels ({header.width * header.height / 1e6:.0f} million), more than "
            f"the limit of {limits.max_pixels / 1e6:.0f} million: raise it with --max-pixels if the picture is meant"
        )
    return header


def unpack(header: Header, shrink: int = 1) -> Stored:
    """The pixels of an opened picture; of a JPEG at 1/2, 1/4 or 1/8 of its size where asked for.

    To be called, and its pixels to be taken, within `header.decoding`.
    """
    return read_pillow.stored(header) if isinstance(header.source, Image.Image) else read_vips.stored(header, shrink)
