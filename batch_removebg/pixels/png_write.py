"""PNG files from arrays of 8 or 16 bits, fast and small; `png` is about judging those of others.

Chunks are those of the PNG specification (third edition, section 11). Two compressors: ISA-L's is by far the quickest
and falls behind only on smooth pictures, which are quick for any; there it is zlib-ng's.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from zlib_ng import zlib_ng

from .png import SIGNATURE
from .png_filters import UP, Rows, filtered, row_by_row, smaller

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by the number of channels."""
_INCH = 0.0254
_SMOOTH = 0.37
"""Bytes compressed ÷ bytes of what is not background, below which ISA-L falls behind by more than a tenth."""
_ROW_BY_ROW = 4
"""The effort from which on each row has a filter of its own, and zlib-ng that level."""


class _Compressor(Protocol):
    def compress(self, data: Any, /) -> bytes: ...

    def flush(self) -> bytes: ...


def write(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    effort: int,
    icc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    texts: Mapping[str, str] | None = None,
) -> bytes:
    """A PNG file of `pixels`: H×W grey, or H×W×C with C = 2 (grey, alpha), 3 or 4; uint8 or uint16, straight alpha.

    `effort`: 0–9. `dpi`: dots per inch, across and down. `exif`: TIFF header and what follows. `texts` by keyword (1–79
    characters of Latin-1). It spends its time outside of the interpreter's lock.
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
    for keyword, text in (texts or {}).items():
        parts += _text(keyword, text)
    for piece in _compressed(Rows(pixels), effort):
        parts += _chunk(b"IDAT", piece)
    return b"".join([*parts, *_chunk(b"IEND", b"")])


def _compressed(rows: Rows, effort: int) -> list[bytes]:
    """The zlib stream of the filtered rows, in pieces."""
    kinds: list[int] = []
    packed = seen = 0
    if 0 < effort < _ROW_BY_ROW:
        for first, end in rows.bands():
            kind, size, bytes_seen = smaller(rows.with_one_above(first, end), rows.bytes_per_pixel)
            kinds.append(kind)
            packed += size
            seen += bytes_seen
    compressor = _compressor(effort, smooth=packed < _SMOOTH * seen)
    pieces = []
    for place, (first, end) in enumerate(rows.bands()):
        out = np.empty((end - first, rows.bytes_per_row + 1), np.uint8)
        band = rows.with_one_above(first, end)
        if effort < _ROW_BY_ROW:
            filtered(band, kinds[place] if kinds else UP, rows.bytes_per_pixel, out)
        else:
            row_by_row(band, rows.bytes_per_pixel, out)
        pieces.append(compressor.compress(out.data))
    pieces.append(compressor.flush())
    return [piece for piece in pieces if piece]


def _compressor(effort: int, *, smooth: bool) -> _Compressor:
    if effort < 2:
        return isal_zlib.compressobj(1 + effort)
    if effort < _ROW_BY_ROW:
        return zlib_ng.compressobj(3) if smooth or effort == 3 else isal_zlib.compressobj(2)
    # From level 7 on zlib-ng takes what is filtered for what it is: without this, noise comes out larger than at 6.
    strategy = zlib_ng.Z_FILTERED if effort >= 7 else zlib_ng.Z_DEFAULT_STRATEGY
    return zlib_ng.compressobj(effort, strategy=strategy)


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
