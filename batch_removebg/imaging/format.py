"""The formats: how a file shows which one it has, and what reads and writes each; no image library is loaded here.

JPEG      libvips  Pillow           AVIF                         Pillow  Pillow
PNG       libvips  png_write        GIF BMP JPEG2000 PPM PSD     Pillow  —
WEBP      libvips  Pillow           HEIF                         a plugin of Pillow's  —
TIFF      libvips  tiff             some TIFF (`is_for_pillow`)  Pillow  (tiff)
RAW       LibRaw, an extra  —
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from batch_removebg.errors import ItemError, SettingsError

Colour = tuple[int, int, int]  # sRGB, 0–255 a channel
EXTENSIONS = {"png": "png", "webp": "webp", "jpeg": "jpg", "tiff": "tiff", "avif": "avif"}
"""The formats a finished picture can have, and how its name ends."""
LONGEST = {"webp": 16383, "jpeg": 65500, "avif": 32768}
"""Longest side the format (WebP: 14 bits) or its library (libjpeg: JPEG_MAX_DIMENSION; libavif) can hold."""
Metadata = Literal["strip", "keep"]
Format = Literal["png", "webp", "jpeg", "tiff", "avif"]
QUALITY = range(1, 101)
EFFORT = range(10)
STARTS = {
    # Of cameras, other than by the tags of a TIFF:
    "RAW": rb"II\*\0....CR|FUJIFILMCCD-RAW|II(R[OS]|U\0)|MMOR|\0MRM|FOVb|II....HEAPCCDR|....ftypcrx ",  # by LibRaw
    # Read by libvips (`read_vips.LOADERS`):
    "JPEG": rb"\xff\xd8\xff",  # which it decodes at a fraction of the size for the proxy
    "PNG": rb"\x89PNG\r\n\x1a\n",  # 16 bits in colour; half of Pillow's time
    "WEBP": rb"RIFF....WEBP",  # row by row, so that the proxy needs less memory
    "TIFF": rb"II[*+]\0|MM\0[*+]",  # 16 bits in colour
    # Read by Pillow: the libvips wheel has no reader but for GIF, of which it takes cut data for whole, and AVIF, for
    # which it takes 3.4 times as long and interpolates no chroma:
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "HEIF": rb"....ftyp(....)*?he[iv][cmsx]",  # by a plugin
    "AVIF": rb"....ftyp(....)*?avi[fs]",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[0-6fy]",
    "PSD": rb"8BPS\0\x01",
}
"""How a file of each format begins; others stay closed: some start programs (EPS) or hide a picture in one (ICO)."""
UNREAD = {
    "JPEG XL": rb"\xff\n|\0\0\0\x0cJXL ", "JPEG XR": b"II\xbc", "OpenEXR": rb"v/1\x01", "Radiance's HDR": rb"#\?R",
    "PSB": rb"8BPS\0\x02", "ICO": rb"\0\0\x01\0", "DDS": b"DDS ", "PAM": rb"P7\n", "colour PFM": rb"PF\s",
}  # fmt: skip
"""How files begin that are pictures, and nothing here reads."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused from the header alone, before any pixel is decoded."""

    max_pixels: int = 120_000_000  # width times height; four times this many bytes is one decoded picture


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture's file is written."""

    format: str = "png"  # one of `EXTENSIONS`
    quality: int = 90  # 1–100, for what is written with loss
    lossless: bool = True  # WebP without loss
    effort: int = 2  # 0–9: how long to try for a smaller file of the same picture

    @property
    def deep(self) -> bool:
        """Whether the format can hold 16 bits a channel."""
        return self.format in ("png", "tiff")

    @property
    def lossy(self) -> bool:
        """Whether its quality decides about the file."""
        return self.format in ("jpeg", "avif") or (self.format == "webp" and not self.lossless)

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

    try:
        bare = re.fullmatch(r"\(?([\d\s,]+)\)?", text.strip(), re.ASCII)  # as `255,255,255` or `255 255 255`
        channels = ImageColor.getrgb(f"rgb({','.join(re.findall('[0-9]+', bare[1]))})" if bare else text.strip())
        if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
            raise ValueError
    except ValueError as error:
        why = "is not a colour: give a name such as white, or #rgb, #rrggbb, 255,255,255"
        raise SettingsError(f"{text!r} {why}") from error
    return channels[0], channels[1], channels[2]


def format_name(text: str) -> str:
    """The name in `EXTENSIONS` that a word means, in any case: `JPG` is jpeg, `tif` is tiff."""
    return {"jpg": "jpeg", "tif": "tiff"}.get(text.lower(), text.lower())


def loses_nothing(data: bytes) -> bool:
    """Whether a file that this program has written holds a cutout whole: its format loses no detail, and has alpha."""
    if data[8:12] == b"WEBP":
        return b"VP8L" in data and b"ALPH" not in data
    return identify(data) == "TIFF" or (identify(data) == "PNG" and data[25] in (4, 6))


def identify(data: bytes) -> str | None:
    """The format of a file by its first bytes; None for what is no picture, or in none of `STARTS`."""
    # Of an ISO 14496-12 `ftyp` box: its size, its type, major brand, minor version, compatible brands.
    head = data[: max(12, min(int.from_bytes(data[:4], "big"), 256))] if data[4:8] == b"ftyp" else data
    return next((name for name, start in STARTS.items() if re.match(start, head, re.DOTALL)), None)
