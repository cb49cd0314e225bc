"""The formats that are read, and how a file shows which one it has."""

from __future__ import annotations

import itertools
import re

STARTS = {
    # Read by libvips:
    "JPEG": rb"\xff\xd8\xff",  # which it decodes at a fraction of the size for the proxy
    "PNG": rb"\x89PNG\r\n\x1a\n",  # 16 bits in colour; half of Pillow's time
    "WEBP": rb"RIFF....WEBP",  # row by row, so that the proxy needs less memory
    "TIFF": rb"II[*+]\0|MM\0[*+]",  # 16 bits in colour
    "GIF": rb"GIF8[79]a",  # in the time that Pillow needs, without its palettes
    # Read by Pillow, since the libvips wheel has no reader but for AVIF, for which it takes 3.4 times as long, and
    # interpolates no chroma:
    "BMP": rb"BM",
    "AVIF": rb"....ftypavi[fs]",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[0-6fy]",
    "PSD": rb"8BPS",
}
"""How a file of each format begins. Photographs come in these, and in HEIC, for which Pillow needs a plugin.

Others stay closed: some start programs (EPS) or hide a picture in a picture (ICO).
"""

_BRANDS = {
    "HEIF": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"},
    "AVIF": {b"avif", b"avis"},
}


def identify(data: bytes) -> str | None:
    """The format of a file by its first bytes, of `STARTS` or HEIF; None for what is no picture in any of these."""
    brands = _brands(data)
    branded = (name for name, known in _BRANDS.items() if brands & known)
    begun = (name for name, start in STARTS.items() if re.match(start, data, re.DOTALL))
    return next(itertools.chain(branded, begun), None)


def _brands(data: bytes) -> set[bytes]:
    """Of an ISO 14496-12 `ftyp` box: size, type, major brand, minor version, compatible brands."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[at : at + 4] for at in (8, *range(16, end, 4))}
