"""The formats that pictures are written in, and the bounds of what is read: plain values, free of image libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from batch_removebg.errors import ItemError, SettingsError

Colour = tuple[int, int, int]  # sRGB, 0–255 a channel
EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg", "tiff": "tiff", "avif": "avif"}
"""The formats a finished picture can have, and how its name ends."""
LONGEST = {"webp": 16383, "jpeg": 65500, "avif": 32768}
"""Longest side the format (WebP: 14 bits) or its library (libjpeg: JPEG_MAX_DIMENSION; libavif) can hold."""
Metadata = Literal["strip", "keep"]
QUALITY = range(1, 101)
EFFORT = range(10)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused from the header alone, before any pixel is decoded."""

    max_pixels: int = 120_000_000
    """Width times height; four times this many bytes is one decoded picture."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture's file is written."""

    format: str = "png"
    """One of `EXTENSIONS`."""
    quality: int = 90
    """1–100, for what is written with loss."""
    lossless: bool = True
    """WebP without loss."""
    effort: int = 2
    """0–9: how long to try for a smaller file of the same picture."""

    @property
    def deep(self) -> bool:
        """Whether the format can hold 16 bits a channel."""
        return self.format in ("png", "tiff")

    def require_room(self, width: int, height: int) -> None:
        """Raise ItemError for a picture of more pixels a side than the format can hold."""
        longest = LONGEST.get(self.format, max(width, height))
        if max(width, height) > longest:
            raise ItemError(
                f"is {width}×{height} pixels, and {self.format} can't hold more than {longest} a side: "
                "choose --format png"
            )


def parse_colour(text: str) -> Colour:
    """The opaque colour of a name (`white`), `#rrggbb`, `rgb(r,g,b)` or the like; raises SettingsError for others."""
    from PIL import ImageColor  # settings are read for `--help` too, which need not wait for Pillow

    refused = SettingsError(f"{text!r} is not a colour: give a name such as white, or #rgb, #rrggbb, rgb(255,255,255)")
    try:
        channels = ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise refused from error
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        raise refused
    return channels[0], channels[1], channels[2]
