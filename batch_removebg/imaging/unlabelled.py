"""What a file without a profile says of its colours, unless they are sRGB; only a profile is followed here."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image

_HEAD = 1 << 16
"""Bytes from the start in which the boxes that tell it lie."""
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
"""Of ITU-T H.273, table 2; 1 are sRGB's, and 2 are not told."""
_SRGB = 1, 13
"""Its primaries and its curve there."""
_CURVES = {8: "linear light", 16: "PQ", 18: "HLG"}
"""Of its table 3, those that look nothing like sRGB's."""
_SRGB_POINTS = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
"""cHRM of sRGB: x and y of white, red, green and blue × 100,000 (PNG specification, 11.3.2.1)."""
_NEAR = 1_000
"""How far each may be off and still be sRGB's, rounded or adapted."""
_SRGB_GAMMA = range(45_000, 46_001)
"""gAMA ÷ 100,000 that stands for sRGB's curve (PNG specification, 11.3.2.2: 45455)."""


def by_nclx(data: bytes) -> str | None:
    """By a `colr` box of the kind `nclx`: primaries and curve in two bytes each (ISO/IEC 14496-12, 12.1.5)."""
    head = data[:_HEAD]
    at = head.find(b"colrnclx")
    if at < 0:
        return None
    name = _named(*(int.from_bytes(head[at + start : at + start + 2], "big") for start in (8, 10)))
    return name and f"{name} by its nclx box"


def _named(primaries: int, curve: int) -> str | None:
    """What two numbers of ITU-T H.273 stand for; None where that is about sRGB."""
    name, bent = _PRIMARIES.get(primaries), _CURVES.get(curve)
    return f"{name or 'RGB'} in {bent}" if bent else name


def by_chunks(found: dict[bytes, bytes]) -> str | None:
    """By a PNG's cICP, or a gAMA or cHRM that isn't sRGB's; sRGB before both (PNG, third edition, 4.3)."""
    primaries, curve = found.get(b"cICP", b"")[:2].ljust(2, b"\0")
    if name := _named(primaries, curve):
        return f"{name} by its cICP chunk"
    if b"sRGB" in found or (primaries, curve) == _SRGB:
        return None
    gamma = int.from_bytes(found.get(b"gAMA", b""), "big")
    if gamma and gamma not in _SRGB_GAMMA:
        return f"of gamma {gamma / 100_000:g} by its gAMA chunk"
    points = struct.iter_unpack(">I", found.get(b"cHRM", b"")[:32])
    if any(abs(point - srgb) > _NEAR for (point,), srgb in zip(points, _SRGB_POINTS, strict=False)):
        return "of other primaries by its cHRM chunk"
    return None


def by_interoperability(exif: Image.Exif) -> str | None:
    """By Adobe RGB's mark in EXIF (DCF 2.0, the index R03)."""
    index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    return "Adobe RGB by its EXIF" if str(index).startswith("R03") else None
