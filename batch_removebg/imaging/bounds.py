"""How many parts a file may have: decoders spend time on each, however few bytes it takes and pixels it shows."""

from __future__ import annotations

from batch_removebg.errors import SourceError

from .directories import Directories
from .jpeg import SOS, segments
from .png import CHUNKS, walk

_BY_PYTHON = 16 << 20  # bytes of pixels as text or in BMP's run lengths, which Pillow decodes in Python: 6 MB a second
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
            found, most, what = sum(marker == SOS for marker, _, _ in segments(data)), _SCANS, "scans"
        case "PNG":
            found, most, what = sum(1 for _ in walk(data, CHUNKS + 1)), CHUNKS, "chunks"
        case "TIFF":
            found, most, what = sum(1 for _ in Directories(data).chain(_PAGES + 1)), _PAGES, "pages"
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
