"""PNG files from arrays of 8 or 16 bits, fast and small; `png` is about judging those of others.

Chunks are those of the PNG specification (third edition, section 11). With the default effort a few rows are tried
first: they choose the filter of each band, and tell the pictures on which ISA-L falls behind.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .deflate import compressor
from .png import SIGNATURE
from .png_filters import UP, Rows, Trial, filtered, row_by_row, smaller

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by the number of channels."""
_INCH = 0.0254
_SMOOTH = 0.25
"""Bytes compressed ÷ bytes of what is not background, below which ISA-L falls far behind on a band, …"""
_MOSTLY = 0.4
"""… so that the share of such bands must be less than this for it to be taken, …"""
_FULL = 0.36
"""… and the share of what is not zero more than this. Then its files are 1.03 to 1.14 × Pillow's (145 pictures)."""
_ROW_BY_ROW = 4
"""The effort from which on each row has a filter of its own, and zlib-ng that level."""


def write(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    effort: int,
    icc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    texts: Mapping[str, str] | None = None,
) -> bytes:
    """A PNG file of `pixels`: H×W grey, or H×W×C with C = 2 (grey, alpha), 3 or 4; uint8 or uint16, straight alpha.

    `effort`: 0–9. `dpi`: dots per inch, across and down. `exif`: TIFF header and what follows. `xmp`: a packet in
    UTF-8. `texts` by keyword (1–79 characters of Latin-1). It spends its time outside of the interpreter's lock.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, *_chunk(b"IHDR", header)]
    if icc is not None:
        parts += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if dpi is not None:
        parts += _chunk(b"pHYs", struct.pack(">IIB", *(round(value / _INCH) for value in dpi), 1))
    if exif is not None:
        parts += _chunk(b"eXIf", exif)
    if xmp is not None:
        parts += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    for keyword, text in (texts or {}).items():
        parts += _text(keyword, text)
    for piece in _compressed(Rows(pixels), effort):
        parts += _chunk(b"IDAT", piece)
    return b"".join([*parts, *_chunk(b"IEND", b"")])


def _compressed(rows: Rows, effort: int) -> list[bytes]:
    """The zlib stream of the filtered rows, in pieces."""
    trials = []
    if 0 < effort < _ROW_BY_ROW:
        trials = [smaller(rows.with_one_above(*band), rows.bytes_per_pixel) for band in rows.bands()]
    packer = compressor(effort, isal=_suits_isal(trials))
    pieces = []
    for place, (first, end) in enumerate(rows.bands()):
        out = np.empty((end - first, rows.bytes_per_row + 1), np.uint8)
        band = rows.with_one_above(first, end)
        if effort < _ROW_BY_ROW:
            filtered(band, trials[place].kind if trials else UP, rows.bytes_per_pixel, out)
        else:
            row_by_row(band, rows.bytes_per_pixel, out)
        pieces.append(packer.compress(out.data))
    pieces.append(packer.flush())
    return [piece for piece in pieces if piece]


def _suits_isal(trials: list[Trial]) -> bool:
    """Whether ISA-L makes files that are not much larger: not of what is smooth, or mostly background."""
    seen, total = sum(one.seen for one in trials), sum(one.total for one in trials)
    smooth = sum(one.seen for one in trials if one.packed < _SMOOTH * one.seen)
    return smooth < _MOSTLY * seen and sum(one.inhabited for one in trials) >= _FULL * total


def _text(keyword: str, text: str) -> list[bytes]:
    """A tEXt chunk, or iTXt where Latin-1 can't hold the text."""
    name = keyword.encode("latin-1") + b"\0"
    try:
        return _chunk(b"tEXt", name + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", name + b"\0\0\0\0" + text.encode())


def _chunk(kind: bytes, body: bytes) -> list[bytes]:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return [len(body).to_bytes(4, "big"), kind, body, checksum.to_bytes(4, "big")]
