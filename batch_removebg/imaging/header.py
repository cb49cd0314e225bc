"""What a picture's file says before its pixels are decoded."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import ExifTags, Image

from batch_removebg.errors import SourceError

from .directories import Tags
from .vips import vips

_PYTHONS = OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError
# What Pillow raises for damaged data:
UNREADABLE: tuple[type[Exception], ...] = (*_PYTHONS, struct.error, zlib.error, Image.DecompressionBombError)
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
_ONE_AT_A_TIME = threading.Lock()
T = TypeVar("T")
_NO_MEMORY = "needs more memory to decode than there is: lower the concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A picture that has been opened and not decoded."""

    format: str  # of `format.STARTS`
    data: bytes
    source: Any  # the picture of its library: pyvips.Image, or Pillow's ImageFile
    size: tuple[int, int]  # width and height as stored: EXIF orientation not applied
    frames: int = 1
    exif: Image.Exif
    xmp: bytes | None = None
    icc: bytes | None = None
    density: tuple[float, float] | None = None  # dots per inch by the format's own field; EXIF may have others
    deep: bool = False  # more than 8 bits a channel are handed over
    lost_bits: int = 8  # bits a channel in the file where the library hands over 8
    other_colours: str | None = None  # what the file says of its colours, other than by a profile, unless it is sRGB
    gain_map: bool = False  # whether one of the pictures says how much brighter a screen may show the first
    remarks: tuple[str, ...] = ()  # what was wrong with the file, or chosen of it, in words
    tags: Tags = field(default_factory=dict)  # of a TIFF's page
    fail_on: str = "error"  # what libvips refuses

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1–8; 1 where there is none."""
        value = self.exif.get(ExifTags.Base.Orientation, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height with the EXIF orientation applied."""
        return self.turned(*self.size)

    def turned(self, across: T, down: T) -> tuple[T, T]:
        """Values for the stored width and height, in the order of the upright picture."""
        return (down, across) if self.orientation >= 5 else (across, down)

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch of the upright picture, horizontally and vertically; None unless both make sense."""
        tags, scale = self.exif, 1.0
        try:
            if not self.density:
                scale = {2: 1.0, 3: 2.54}[tags.get(ExifTags.Base.ResolutionUnit, 2)]  # inch, centimetre, or neither
            stored = self.density or (tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution])
            x, y = (float(value) * scale for value in stored)
        except UNREADABLE:
            return None
        return self.turned(x, y) if 1 <= x <= 65535 and 1 <= y <= 65535 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the picture won't reach the result, as far as the header says."""
        notes = [*self.remarks]
        map_note = "an HDR gain map is left out"
        if self.frames > 1 and self.format in _ANIMATED:
            notes.append(f"animated, first of {self.frames} frames taken")
        elif self.frames > 1 and self.format == "TIFF":
            notes.append(f"first of {self.frames} pages taken")
        elif self.frames > 1 and self.format == "JPEG":
            notes.append(f"first of {self.frames} pictures taken" + f" ({map_note})" * self.gain_map)
        elif self.gain_map:
            notes.append(map_note)
        if self.lost_bits > 8:
            notes.append(f"{self.lost_bits} bits a channel reduced to 8")
        if self.other_colours and not self.icc:
            notes.append(f"its colours are {self.other_colours}, and no profile says so: taken for sRGB")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture's pixels as stored: not turned, colours not converted, perhaps not decoded yet."""

    pixels: Any  # a libvips picture or an array of 8 or 16 bits: 1 channel of grey, 3 of RGB or 4 of CMYK, then alpha
    alpha: bool = False  # whether there is one
    notes: tuple[str, ...] = ()


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what the libraries raise for damaged data into SourceError."""
    try:
        yield
    except MemoryError as error:
        raise SourceError(_NO_MEMORY) from error
    except UNREADABLE as error:
        raise SourceError(f"is damaged or cut short: {error}") from error
    except vips().Error as error:
        said = complaint(error)
        why = _NO_MEMORY if "out of memory" in said.lower() else f"is damaged or cut short: {said}"
        raise SourceError(why) from error


@contextmanager
def unheard() -> Iterator[None]:
    """Keep what a library prints from the terminal, and what else is printed meanwhile."""
    with _ONE_AT_A_TIME, open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # no path of ours
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def complaint(error: Exception) -> str:
    """What libvips says is wrong, in one line, without the name of the operation."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("unable to")]
    return "; ".join(dict.fromkeys(line.strip() for line in lines)) or str(error).strip()


def unknown_pixels(name: str) -> SourceError:
    """The error for a sound file whose kind of pixels nothing here can read."""
    remedy = "save it as grey or RGB of 8 or 16 bits a channel, with one alpha channel at most, as PNG for instance"
    return SourceError(f"is a {name} with pixels of a kind that can't be read here: {remedy}")
