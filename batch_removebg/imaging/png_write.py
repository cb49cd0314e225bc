"""PNG files from arrays of 8 or 16 bits, in half of libvips' time (PNG specification, third edition, section 11)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from itertools import repeat

import numpy as np

from .arrays import Picture
from .deflate import compressor
from .png import SIGNATURE
from .png_filters import UP, ScanLines, filtered, trials
from .vips import vips

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's colour type by the number of channels
_INCH = 0.0254
_ROW_BY_ROW = 4  # the effort from which libpng filters each row of a mask as it chooses: up to 7 % smaller


def write(picture: Picture, effort: int, texts: Mapping[str, str] | None = None) -> bytes:
    """The PNG file of a finished picture; `effort`: 0–9; `texts` in Latin-1 by keyword (1–79 characters)."""
    pixels = picture.pixels
    height, width = pixels.shape[:2]
    lines = ScanLines(pixels, picture.alpha)
    colours = _COLOUR_TYPES[lines.pixel // pixels.itemsize]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colours, 0, 0, 0)
    parts = [SIGNATURE, *_chunk(b"IHDR", header)]
    if picture.icc is not None:
        parts += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if picture.dpi is not None:
        parts += _chunk(b"pHYs", struct.pack(">IIB", *(round(value / _INCH) for value in picture.dpi), 1))
    if picture.exif is not None:
        parts += _chunk(b"eXIf", picture.exif)
    if picture.xmp is not None:
        parts += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp)
    for keyword, text in (texts or {}).items():
        parts += _chunk(b"tEXt", f"{keyword}\0{text}".encode("latin-1"))
    if lines.pixel > 1 or effort < _ROW_BY_ROW:
        return b"".join(parts + _compressed(lines, effort))
    mask = vips().Image.new_from_array(pixels).pngsave_buffer(compression=effort, filter="all", keep="none")
    # Behind the header, and a resolution that nobody gave.
    return b"".join([*parts, memoryview(mask)[mask.index(b"IDAT") - 4 :]])


def _compressed(lines: ScanLines, effort: int) -> list[bytes]:
    kinds, isal = trials(lines) if effort else (repeat(UP), True)
    packer = compressor(effort, isal=isal)
    pieces = []
    for (first, end), kind in zip(lines.bands(), kinds, strict=False):
        rows = lines.rows(first, end)
        out = np.empty((end - first, rows.shape[1] + 1), np.uint8)
        filtered(rows, kind, lines.pixel, out)
        pieces.append(packer.compress(out.data))
    pieces.append(packer.flush())
    return [part for piece in pieces if piece for part in _chunk(b"IDAT", piece)] + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> list[bytes]:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return [len(body).to_bytes(4, "big"), kind, body, checksum.to_bytes(4, "big")]
