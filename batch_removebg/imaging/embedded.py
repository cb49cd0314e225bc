"""Colour profiles that lie in a file and that Pillow does not hand over: JPEG 2000's and BMP's."""

from __future__ import annotations

from collections.abc import Iterator

_V5 = 124
"""Bytes of the BMP header that can tell of a profile, BITMAPV5HEADER, behind the file's own 14."""
_FILE_HEADER = 14
_COLOUR_SPACE, _PROFILE = _FILE_HEADER + 56, _FILE_HEADER + 112
"""Where bV5CSType lies, and bV5ProfileData with bV5ProfileSize, counted from the file's start."""
_ICC = (b"\2", b"\3")
"""Methods of a JPEG 2000 `colr` box that are an ICC profile: restricted, and any (ITU-T T.800, I.5.3.3; T.801)."""


def embedded_profile(kind: str | None, data: bytes) -> bytes | None:
    """The ICC profile in a file of that kind (Pillow's name); None where it is another kind, or there is none."""
    if kind == "BMP":
        return _bmp(data)
    return _jpeg_2000(data) if kind == "JPEG2000" else None


def _bmp(data: bytes) -> bytes | None:
    if int.from_bytes(data[_FILE_HEADER : _FILE_HEADER + 4], "little") < _V5:
        return None
    if data[_COLOUR_SPACE : _COLOUR_SPACE + 4] != b"DEBM":  # "MBED" as a number: the profile is in the file
        return None
    start, size = (int.from_bytes(data[at : at + 4], "little") for at in (_PROFILE, _PROFILE + 4))
    found = data[_FILE_HEADER + start : _FILE_HEADER + start + size]
    return found if found and len(found) == size else None


def _jpeg_2000(data: bytes) -> bytes | None:
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, at, past in _boxes(data, start, end):
                if inner == b"colr" and data[at : at + 1] in _ICC:
                    return data[at + 3 : past]  # behind method, precedence and approximation
    return None


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box (ITU-T T.800, I.4): length, kind, and a longer length for 1."""
    while at + 8 <= end:
        length, head = int.from_bytes(data[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        past = end if length == 0 else at + length
        if (length and length <= head) or past > end:
            return
        yield data[at + 4 : at + 8], at + head, past
        at = past
