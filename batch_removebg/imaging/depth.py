"""How many bits a channel are stored, where Pillow hands over eight and does not say: AVIF, HEIF, JPEG 2000, PPM."""

from __future__ import annotations

import re

_HEAD = 1 << 16
"""Bytes from the start in which the boxes and markers that tell it lie."""
_PPM = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+\d+){2}(?:\s|#[^\n]*\n)+(\d{1,5})\s")
"""Of a netpbm header: width, height and the largest value, with white space and comments between."""
_SIZ = b"\xff\x4f\xff\x51"
"""JPEG 2000: start of codestream, then the marker of its sizes (ITU-T T.800, A.5.1)."""
_COMPONENTS = 40
"""Bytes from there to the number of components; each then has three bytes, the first its depth less one, and sign."""


def stored_bits(kind: str | None, data: bytes) -> int:
    """Bits of the deepest channel in a file of that kind (Pillow's name); 8 where it is another kind, or says nothing.

    Never below 8.
    """
    head = data[:_HEAD]
    if kind in ("AVIF", "HEIF"):
        return max([8, *_pixi(head)])
    if kind == "JPEG2000":
        return max([8, *_siz(head)])
    if kind == "PPM" and (found := _PPM.match(head)):
        return max(8, int(found[1]).bit_length())
    return 8


def _pixi(head: bytes) -> list[int]:
    """Of each channel of each item: the box `pixi` has version and flags, a count, and as many depths.

    ISO/IEC 23008-12, 6.5.6.
    """
    depths: list[int] = []
    at = head.find(b"pixi")
    while at >= 0:
        count = at + 8
        depths += head[count + 1 : count + 1 + min(4, head[count])] if count < len(head) else b""
        at = head.find(b"pixi", at + 4)
    return [depth for depth in depths if depth <= 16]


def _siz(head: bytes) -> list[int]:
    at = head.find(_SIZ)
    if at < 0 or len(head) < at + _COMPONENTS + 2:
        return []
    first = at + _COMPONENTS + 2
    count = min(4, int.from_bytes(head[first - 2 : first], "big"))
    return [(depth & 0x7F) + 1 for depth in head[first : first + 3 * count : 3]]
