"""How many parts a file may have: decoders spend time on each, however few bytes it takes and pixels it shows."""

from __future__ import annotations

import re
from typing import Literal

from batch_removebg.errors import SourceError

from .png import CHUNKS, walk

_BY_PYTHON = 16 << 20  # bytes of pixels as text or in BMP's run lengths, which Pillow decodes in Python: 6 MB a second
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")  # JPEG: the next one outside the pixels (ITU-T T.81, B.1.1)
_EOI, _SOS = 0xD9, 0xDA
_COUNTED = {"GIF": (b"\0,", "frames"), "WEBP": (b"ANMF", "frames"), "PSD": (b"8BIM", "blocks of data")}
"""What each part begins with; by chance, such bytes are never half as many as may be."""
_PARTS = 100_000
_SCANS = 100  # of a JPEG: most progressive ones have 10; each goes through all the pixels
_PAGES = 10_000
_COMMENTS = 1_000  # of a PPM as text: the time for them grows with their square


def require_few(name: str, data: bytes) -> None:
    """Raise SourceError for a file that has more parts than any picture needs; takes no longer than reading it."""
    found, most, what = 0, _PARTS, "parts"
    match name:
        case "JPEG" if data.count(b"\xff\xda") > _SCANS:  # by chance too, in what follows the picture
            found, most, what = _scans(data), _SCANS, "scans"
        case "PNG":
            found, most, what = sum(1 for _ in walk(data, CHUNKS + 1)), CHUNKS, "chunks"
        case "TIFF":
            found, most, what = _pages(data), _PAGES, "pages"
        case "PPM" if data[1:2] in b"123":
            found, most, what = data.count(b"#"), _COMMENTS, "comments"
        case "GIF" | "WEBP" | "PSD":
            start, what = _COUNTED[name]
            found = data.count(start)
    if found > most:
        raise SourceError(f"has more than {most:,} {what}, which keeps decoders busy: save it anew as PNG or JPEG")
    slow = (name == "PPM" and data[1:2] in b"123") or (name == "BMP" and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0"))
    if slow and len(data) > _BY_PYTHON:
        most = _BY_PYTHON >> 20
        raise SourceError(f"is a {name} of more than {most} MiB as text or run lengths: save it anew as PNG")


def _scans(data: bytes) -> int:
    """Scans before the end of a JPEG's picture."""
    count, at = 0, 2
    while found := _MARKER.search(data, at):
        at = found.end()
        if found[1][0] == _EOI:
            break
        count += found[1][0] == _SOS
        at += int.from_bytes(data[at : at + 2], "big")
    return count


def _pages(data: bytes) -> int:
    """Pages of a TIFF, up to the first that comes a second time or isn't there; no more than one above the bound."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = int.from_bytes(data[2:4], order) == 43
    # Bytes of a page's count of entries, of each entry, and of an offset (TIFF 6.0, section 2; BigTIFF).
    counted, entry, wide = (8, 20, 8) if big else (2, 12, 4)
    seen, at = set[int](), int.from_bytes(data[8:16] if big else data[4:8], order)
    while 0 < at < len(data) and at not in seen and len(seen) <= _PAGES:
        seen.add(at)
        end = at + counted + entry * int.from_bytes(data[at : at + counted], order)
        at = int.from_bytes(data[end : end + wide], order)
    return len(seen)
