"""What a picture's header tells, and nothing decoded: format, upright size, frames, and whether to refuse it.

A SourceError raised here is a predicate without its subject ("is empty (0 bytes)"): the caller knows the name.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from batch_removebg.errors import SourceError

from .depth import stored_bits
from .format import Limits
from .png import metadata_in_front
from .unlabelled import told_colours

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "PSD")
"""Photographs come in these; HEIF needs a plugin. Pillow's others stay closed: some start programs (EPS) or hide a
picture in a picture (ICO)."""

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's plugins raise for damaged data."""

_UNKNOWN_PIXELS = re.compile(r"unknown pixel mode|\(\d+, (16|32)\)")
"""Pillow's words for a sound TIFF that it has no mode for; of a PSD, the colour mode and bits that it does not know."""
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
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
    """Pillow's name: JPEG, MPO, PNG, …"""
    width: int
    """Upright: the EXIF orientation has been reckoned with."""
    height: int
    mode: str
    """Pillow's name for the pixels as stored: RGB, CMYK, I;16, …"""
    frames: int = 1
    notes: tuple[str, ...] = ()
    deep: bool = False
    """16 bits a channel or more."""


def probe(data: bytes, limits: Limits) -> Probe:
    """What the header of a picture says; no pixel is decoded.

    Raises SourceError if it is empty, not a picture, or larger than `limits` allow.
    """
    image = open_image(data, limits)
    width, height = upright_size(image)
    deep = image.mode in ("I", "F") or has_deep_channels(image)
    return Probe(image.format or "", width, height, image.mode, _frames(image), header_notes(image, data), deep)


def cost(probe: Probe, form: str | None = None) -> int:
    """Estimated peak in bytes while such a picture is decoded, finished and encoded as `form`; for a budget of memory.

    The file's own bytes, which the caller holds, are not in it.
    """
    per_pixel = _BYTES_PER_DEEP_PIXEL if probe.deep else _BYTES_IN.get(probe.format, _BYTES_PER_PIXEL)
    if form is not None:
        per_pixel = max(per_pixel, _BYTES_OUT.get(form, 0))
    return probe.width * probe.height * per_pixel


def open_image(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """The picture with its header read and its pixels still packed; raises SourceError like `probe`."""
    if not data:
        raise SourceError("is empty (0 bytes)")
    if _is_heic(data):
        _register_heif()
        image = _identify(data, ("HEIF",))
    else:
        image = _identify(metadata_in_front(data), FORMATS)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise SourceError(
            f"has {width}×{height} pixels ({width * height / 1e6:.0f} million), more than the limit of "
            f"{limits.max_pixels / 1e6:.0f} million: raise it with --max-pixels if the picture is meant"
        )
    return image


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what Pillow raises for damaged data into SourceError."""
    try:
        yield
    except UNREADABLE as error:
        raise SourceError(f"is damaged or cut short: {error}") from error
    except MemoryError as error:
        raise SourceError("needs more memory to decode than there is: lower the concurrency") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1–8; 1 where there is none or it can't be read."""
    try:
        # The base class's method: PNG's own would decode the whole picture in search of it.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """(width, height) as people see the picture; before its pixels are loaded."""
    width, height = image.size
    sideways = orientation(image) >= 5 and image.format != "TIFF"  # there Pillow has turned the size already
    return (height, width) if sideways else (width, height)


def header_notes(image: ImageFile.ImageFile, data: bytes) -> tuple[str, ...]:
    """What of the picture will not reach the result, as far as the header tells; before its pixels are loaded."""
    notes = []
    frames = _frames(image)
    if frames > 1 and image.format in _ANIMATED:
        notes.append(f"animated, first of {frames} frames taken")
    elif frames > 1 and image.format == "TIFF":
        notes.append(f"first of {frames} pages taken")
    bits = stored_bits(image.format, data)
    if bits > 8 and image.mode != "I" and not has_deep_channels(image):
        notes.append(f"{bits} bits a channel reduced to 8")
    with contextlib.suppress(*UNREADABLE):
        if told := told_colours(image, data):
            notes.append(f"its colours are {told}, and no profile says so: taken for sRGB")
    return tuple(notes)


def has_deep_channels(image: ImageFile.ImageFile) -> bool:
    """Whether the stored channels have more than 8 bits and no more than 16, also where Pillow hands over 8 of them."""
    if image.format == "TIFF":  # of planes of their own, Pillow's layout does not say it
        return 8 < max(tiff_values(image, TiffImagePlugin.BITSPERSAMPLE, 1)) <= 16
    if image.mode.startswith("I;16"):
        return True
    layouts = (tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in image.tile)
    return any(isinstance(layout, str) and ";16" in layout for layout in layouts)


def tiff_values(image: Image.Image, tag: int, otherwise: int) -> tuple[int, ...]:
    """What a TIFF's tag says, one value or several; `otherwise` where it says nothing, or is no TIFF."""
    found = getattr(image, "tag_v2", {}).get(tag)
    if found is None or found == ():
        return (otherwise,)
    return found if isinstance(found, tuple) else (found,)


def _frames(image: ImageFile.ImageFile) -> int:
    with decoding():
        return int(getattr(image, "n_frames", 1))


def unknown_pixels(name: str) -> str:
    """What there is to say of a sound file of that format whose kind of pixels nothing here can read."""
    return (
        f"is a {name} with pixels of a kind that can't be read here: save it as grey or RGB of 8 or 16 bits a channel, "
        "with one alpha channel at most, as PNG for instance"
    )


def _identify(data: bytes, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    # Not Image.open: that warns from 89 million pixels on, by a process-wide number and a process-wide filter.
    # Our limit stands in for it, and the host program's setting stays as it is.
    Image.init()
    for name in formats:
        factory, accept = Image.OPEN.get(name, (None, None))
        claim = accept(data[:16]) if accept else False
        if isinstance(claim, str):
            raise SourceError(f"can't be read here: {claim}")
        if factory and claim:
            try:
                return factory(io.BytesIO(data), "")
            except Image.DecompressionBombError as error:  # asked by plugins that allocate as they open: WebP, GIF
                raise SourceError(f"is too large: {error}") from error
            except UNREADABLE as error:
                if name in ("TIFF", "PSD") and _UNKNOWN_PIXELS.fullmatch(str(error)):
                    raise SourceError(unknown_pixels(name)) from error
                raise SourceError(f"looks like {name}, but its header is damaged or cut short: {error}") from error
    raise SourceError(f"is not a picture (it starts with {data[:8]!r}); readable are {', '.join(FORMATS)} and HEIC")


def _is_heic(data: bytes) -> bool:
    """ISO 14496-12 `ftyp` box: size, type, major brand, minor version, compatible brands."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), 256)
    return any(data[at : at + 4] in _HEIC_BRANDS for at in (8, *range(16, end, 4)))


def _register_heif() -> None:
    if "HEIF" in Image.OPEN:
        return
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise SourceError("is a HEIC picture, which needs a plugin: pip install 'batch-removebg[heic]'") from error
    plugin.register_heif_opener()
