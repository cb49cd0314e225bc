"""What a JPEG's segments say besides its pixels (ITU-T T.81, annex B; CIPA DC-007 for several pictures in a file)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, takewhile

from batch_removebg.errors import SourceError

from .directories import Directories

SOS, EOI = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")  # the next one outside the pixels (B.1.1)
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2, 0xCA
_HIERARCHICAL = (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_UNREAD = {
    0xCB: "lossless arithmetic JPEG",
    0xF7: "JPEG-LS picture",
    **dict.fromkeys(_HIERARCHICAL, "hierarchical JPEG"),
}
_JFIF = re.compile(rb"JFIF\0..(.)(..)(..)", re.DOTALL)  # version, unit and two densities (ITU-T T.871, 10.1)
_PER_INCH = {b"\1": 1.0, b"\2": 2.54}  # inch and centimetre; 0 says a pixel's shape only
_PREVIEWS = (0x010001, 0x010002)  # kinds of pictures that only show the first one smaller (CIPA DC-007, 5.2.3.3.1)
_GAIN_MAP = re.compile(rb"hdrgm:Version|:ts:21496:-1|HDRGainMap|hdrgainmap")
"""Marks of Ultra HDR's, ISO 21496-1's and Apple's maps of how much brighter a screen may show each place."""
_HEAD = 1 << 16
_LIGHTNESS = 3688  # sum of the steps in table K.1
_MOST = 100_000  # segments that are looked at


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the body of each segment, up to the picture's end."""
    at = 2
    while found := _MARKER.search(data, at):
        start = found.end() + 2
        at = found.end() + int.from_bytes(data[found.end() : start], "big")
        yield found[1][0], start, at
        if found[1][0] == EOI:
            return


def _header(data: bytes, *markers: int) -> Iterator[bytes]:
    """Bodies of the segments with those markers before the pixels, each with its marker in front."""
    for marker, start, end in takewhile(lambda segment: segment[0] != SOS, islice(segments(data), _MOST)):
        if marker in markers:
            yield bytes([marker]) + data[start:end]


def require_known(data: bytes) -> None:
    """Raise SourceError for a sound JPEG of a kind that no library here reads."""
    for frame in _header(data, *_FRAMES):
        kind = _UNREAD.get(frame[0])
        if kind or frame[1:2] not in (b"\x08", b""):
            kind = kind or f"JPEG of {frame[1]} bits a channel"
            raise SourceError(f"is a {kind}, which can't be read here: save it as PNG, or as JPEG of 8 bits")


def density(data: bytes) -> tuple[float, float] | None:
    """Dots per inch by the JFIF segment; None where there is none."""
    found = next((match for body in _header(data, 0xE0) if (match := _JFIF.match(body, 1))), None)
    if not found or found[1] not in _PER_INCH:
        return None
    x, y = (int.from_bytes(number, "big") * _PER_INCH[found[1]] for number in found.group(2, 3))
    return x, y


def with_end(data: bytes) -> bytes | None:
    """The file with the mark of its end, where that alone is missing; None where it isn't.

    Whether the last scan is whole, decoding tells. Raises SourceError where another is missing.
    """
    if data.endswith(b"\xff\xd9") or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda"):
        return None
    missing = set[tuple[int, int]]()  # component, and coefficient of which the last bit has not come yet
    for marker, start, end in islice(segments(data), _MOST):
        body = data[start:end]
        if marker == EOI:  # of the first picture, and another one follows
            return None
        if marker in _FRAMES:
            places = range(64 if marker in _PROGRESSIVE else 1)
            missing = {(component, place) for component in body[6::3] for place in places}
        elif marker == SOS and body:
            to, (first, last, bits) = 1 + 2 * body[0], body[1 + 2 * body[0] :].ljust(3, b"\1")[:3]
            last_bit = not bits & 15
            missing -= {(one, place) for one in body[1:to:2] for place in range(first, last + 1) if last_bit}
    if missing:
        raise SourceError("is damaged or cut short: its last scans are missing")
    return data.rstrip(b"\0") + b"\xff\xd9"  # the pixels end in bits that are set


def pictures(data: bytes) -> tuple[int, bool]:
    """How many pictures there are in a JPEG, other than previews, and whether an HDR gain map is one of them."""
    count = 1
    for body in _header(data, 0xE2):
        if body[1:5] == b"MPF\0":
            index = Directories(body[5:])
            table = bytes(index.tags(next(index.chain(1), 0)).get(0xB002, ()))
            kinds = [int.from_bytes(table[at : at + 4], index.order) & 0xFFFFFF for at in range(0, len(table), 16)]
            count = max(1, sum(kind not in _PREVIEWS for kind in kinds))
    gain_map = _GAIN_MAP.search(data, 0, len(data) if count > 1 else _HEAD)
    return count, gain_map is not None


def quality(data: bytes) -> int | None:
    """The quality, 1–100, that libjpeg would have to be asked for to get tables like those of a JPEG; None without any.

    Of the first table, which is that of lightness, scaled from the example in annex K.1.
    """
    table = next((body[1:] for body in _header(data, 0xDB) if len(body) > 64), b"")
    if not table:
        return None
    deep = table[0] >> 4  # 16 bits a step, else 8
    steps = [int.from_bytes(table[at : at + 1 + deep], "big") for at in range(1, 65 * (1 + deep) - deep, 1 + deep)]
    scale = 100 * sum(steps) / _LIGHTNESS
    return max(1, min(100, round(100 - scale / 2 if scale <= 100 else 5000 / scale)))
