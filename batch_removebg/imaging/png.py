"""PNG's chunks, as far as a reader of heads needs them (PNG specification, third edition, section 5)."""

from __future__ import annotations

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = 1 << 17
"""Chunks that are walked through: a picture of 120 megapixels in pieces of 8 kB has half as many."""
_BEHIND = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"})
"""What tells how a picture is to be turned, what its colours mean and what it is of; some put it behind the pixels."""


def metadata_in_front(data: bytes) -> bytes:
    """A PNG with the profile, the EXIF and the texts behind its pixels moved before them, for who reads its head alone.

    Anything else as it is, and a PNG of more chunks than are walked through.
    """
    if not data.startswith(SIGNATURE):
        return data
    pixels, moved, at = 0, [], len(SIGNATURE)
    for _ in range(CHUNKS):
        end, kind = at + 12 + int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IEND" or end > len(data):
            break
        if kind == b"IDAT":
            pixels = pixels or at
        elif pixels and kind in _BEHIND and zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]):
            moved.append((at, end))
        at = end
    if not moved:
        return data
    gaps = zip([pixels, *(end for _, end in moved)], [*(begin for begin, _ in moved), len(data)], strict=True)
    return b"".join([data[:pixels], *(data[a:b] for a, b in moved), *(data[a:b] for a, b in gaps)])
