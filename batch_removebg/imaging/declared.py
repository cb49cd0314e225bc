"""What a file says of itself that its library does not hand over: its depth, its profile, colours that aren't sRGB."""

from __future__ import annotations

import re
import struct

from PIL import ExifTags, Image

_HEAD = 1 << 16  # bytes from the start in which the boxes and markers that tell it lie
_PPM = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+\d+){2}(?:\s|#[^\n]*\n)+(\d{1,5})\s")
"""Of a netpbm header: width, height and the largest value, with white space and comments between."""
_PIXI = re.compile(rb"pixi.{4}(.)(.{0,4})", re.DOTALL)
"""Of each item: version and flags, the number of channels, and the depth of each (ISO/IEC 23008-12, 6.5.6)."""
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{36}(..)(.{0,12})", re.DOTALL)
"""JPEG 2000: the number of components, and three bytes for each: its depth less one, and sign (ITU-T T.800, A.5.1)."""
_COLR = re.compile(rb"(.{4})colr[\2\3]..", re.DOTALL)
"""JPEG 2000, a profile's box: length, kind, method (restricted, any), precedence, approximation (I.5.3.3; T.801)."""
_NCLX = re.compile(rb"colrnclx(..)(..)", re.DOTALL)  # primaries and curve (ISO/IEC 14496-12, 12.1.5)
_BMP = struct.Struct("<14xI52x4s52xII")
"""The header's size, bV5CSType, bV5ProfileData (counted from behind the file's own 14 bytes) and bV5ProfileSize."""
_GAIN_MAP = re.compile(rb"infe.{4}..\0\0tmap|:aux:hdrgainmap\0", re.DOTALL)
"""An item that is derived by one (ISO/IEC 23008-12, amendment 1), and an auxiliary picture as Apple writes it."""
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}  # of ITU-T H.273, table 2; 1 are sRGB's, and 2 are not told
_SRGB = 1, 13  # its primaries and its curve there
_CURVES = {8: "linear light", 16: "PQ", 18: "HLG"}  # of its table 3, those that look nothing like sRGB's
_SRGB_POINTS = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
"""cHRM of sRGB: x and y of white, red, green and blue × 100,000 (PNG specification, 11.3.2.1)."""
_NEAR = 1_000  # how far each may be off and still be sRGB's, rounded or adapted
_SRGB_GAMMA = range(45_000, 46_001)  # gAMA ÷ 100,000 that stands for sRGB's curve (PNG specification, 11.3.2.2: 45455)


def stored_bits(name: str, data: bytes) -> int:
    """Bits of the deepest channel in a file of that format; 8, and never less, where it is another or says nothing."""
    head = data[:_HEAD]
    depths: list[int] = []
    if name in ("AVIF", "HEIF"):
        depths = [depth for item in _PIXI.finditer(head) for depth in item[2][: item[1][0]] if depth <= 16]
    elif name == "JPEG2000" and (found := _SIZ.search(head)):
        depths = [(depth & 0x7F) + 1 for depth in found[2][: 3 * int.from_bytes(found[1], "big") : 3]]
    elif name == "PPM" and (found := _PPM.match(head)):
        depths = [int(found[1]).bit_length()]
    return max([8, *depths])


def embedded_profile(name: str, data: bytes) -> bytes | None:
    """The ICC profile in a JPEG 2000 or BMP; None where it is another format, or there is none, or not all of it."""
    start = end = 0
    if name == "JPEG2000" and (found := _COLR.search(data, 0, data.find(b"jp2c"))):
        start, end = found.end(), found.start() + int.from_bytes(found[1], "big")
    elif name == "BMP":
        header, space, at, size = _BMP.unpack(data[: _BMP.size].ljust(_BMP.size, b"\0"))
        if header >= 124 and space == b"DEBM":  # BITMAPV5HEADER, and "MBED" as a number: the profile is in the file
            start, end = 14 + at, 14 + at + size
    return data[start:end] if start < end <= len(data) else None


def by_nclx(data: bytes) -> str | None:
    """By the `colr` box of an AVIF or HEIC: what its colours are, unless they are sRGB."""
    found = _NCLX.search(data, 0, _HEAD)
    name = found and _named(*(int.from_bytes(number, "big") for number in found.groups()))
    return name and f"{name} by its nclx box"


def _named(primaries: int, curve: int) -> str | None:
    """What two numbers of ITU-T H.273 stand for; None where that is about sRGB."""
    name, bent = _PRIMARIES.get(primaries), _CURVES.get(curve)
    return f"{name or 'RGB'} in {bent}" if bent else name


def has_gain_map(name: str, data: bytes) -> bool:
    """Whether an AVIF or HEIC holds a map of how much brighter a screen may show each place."""
    return name in ("AVIF", "HEIF") and _GAIN_MAP.search(data, 0, _HEAD) is not None


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
