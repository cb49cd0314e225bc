"""The formats, how a file shows which one it has, and what reads and writes each.

JPEG      libvips  Pillow           AVIF                         Pillow  Pillow
PNG       libvips  png_write        GIF BMP JPEG2000 PPM PSD     Pillow  —
WEBP      libvips  Pillow           HEIF                         a plugin of Pillow's  —
TIFF      libvips  tiff             CIELAB and old-JPEG TIFF     Pillow  (tiff)
"""

from __future__ import annotations

import re

STARTS = {
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
    "PSD": rb"8BPS",
}
"""How a file of each format begins; others stay closed: some start programs (EPS) or hide a picture in one (ICO)."""


def identify(data: bytes) -> str | None:
    """The format of a file by its first bytes; None for what is no picture, or in none of `STARTS`."""
    # Of an ISO 14496-12 `ftyp` box: its size, its type, major brand, minor version, compatible brands.
    head = data[: max(12, min(int.from_bytes(data[:4], "big"), 256))] if data[4:8] == b"ftyp" else data
    return next((name for name, start in STARTS.items() if re.match(start, head, re.DOTALL)), None)
