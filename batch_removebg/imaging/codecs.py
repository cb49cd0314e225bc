"""Which library reads each format and which writes it: one of each, and how a file shows what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Codec:
    """A format and its libraries."""

    format: str
    reader: Literal["libvips", "Pillow"]
    writer: Literal["own", "Pillow"] | None
    """`own`: png_write and tiff_write, in half or a third of libvips' time; libvips also rewrites EXIF or drops it."""
    why: str
    """Why that reader."""
    starts: re.Pattern[bytes] | None = None
    """How a file of it begins; None where the brands of its `ftyp` box say it."""


def _starting(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


CODECS = (
    Codec("JPEG", "libvips", "Pillow", "decodes at a fraction of the size for the proxy", _starting(rb"\xff\xd8\xff")),
    Codec("PNG", "libvips", "own", "16 bits in colour; half of Pillow's time", _starting(rb"\x89PNG\r\n\x1a\n")),
    Codec("WEBP", "libvips", "Pillow", "row by row, so that the proxy needs less memory", _starting(rb"RIFF....WEBP")),
    Codec("TIFF", "libvips", "own", "16 bits in colour", _starting(rb"II[*+]\0|MM\0[*+]")),
    Codec("GIF", "libvips", None, "in the time that Pillow needs, without its palettes", _starting(rb"GIF8[79]a")),
    Codec("BMP", "Pillow", None, "the libvips wheel has no reader", _starting(rb"BM")),
    Codec("AVIF", "Pillow", "Pillow", "libvips takes 3.4 times as long, and interpolates no chroma"),
    Codec(
        "JPEG2000", "Pillow", None, "no reader in the wheel", _starting(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n")
    ),
    Codec("PPM", "Pillow", None, "no reader in the wheel", _starting(rb"P[0-6fy]")),
    Codec("PSD", "Pillow", None, "no reader in the wheel", _starting(rb"8BPS")),
    Codec("HEIF", "Pillow", None, "no reader in the wheel; Pillow's is a plugin, the extra `heic`"),
)
"""Photographs come in these. Others stay closed: some start programs (EPS) or hide a picture in a picture (ICO)."""

_BRANDS = (
    ("HEIF", {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}),
    ("AVIF", {b"avif", b"avis"}),
)


def identify(data: bytes) -> Codec | None:
    """The codec for a file, by its first bytes; None for what is no picture, or in none of these formats."""
    brands = _brands(data)
    name = next((name for name, known in _BRANDS if brands & known), None)
    return next((c for c in CODECS if c.format == name or (c.starts is not None and c.starts.match(data))), None)


def _brands(data: bytes) -> set[bytes]:
    """Of an ISO 14496-12 `ftyp` box: size, type, major brand, minor version, compatible brands."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[at : at + 4] for at in (8, *range(16, end, 4))}
