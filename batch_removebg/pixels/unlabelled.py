"""Colours that something else than a profile tells to be others than sRGB's; only a profile is followed here."""

from __future__ import annotations

from PIL import ExifTags, ImageFile

_HEAD = 1 << 16
"""Bytes from the start in which the boxes that tell it lie."""
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
"""Of ITU-T H.273, table 2; 1 are sRGB's, and 2 are not told."""
_SRGB_GAMMA = range(45_000, 46_001)
"""gAMA ÷ 100,000 that stands for sRGB's curve (PNG specification, 11.3.2.2: 45455)."""


def told_colours(image: ImageFile.ImageFile, data: bytes) -> str | None:
    """What an opened picture without a profile says of its colours, unless it is sRGB; before its pixels are loaded."""
    if image.info.get("icc_profile"):
        return None
    if image.format in ("AVIF", "HEIF"):
        return _nclx(data[:_HEAD])
    if image.format == "PNG":
        return _png_chunks(data)
    if image.format in ("JPEG", "MPO"):
        return _interoperability(image)
    return None


def _nclx(head: bytes) -> str | None:
    """The box `colr` of the kind `nclx`: primaries in two bytes (ISO/IEC 14496-12, 12.1.5)."""
    at = head.find(b"colrnclx")
    if at < 0:
        return None
    name = _PRIMARIES.get(int.from_bytes(head[at + 8 : at + 10], "big"))
    return name and f"{name} by its nclx box"


def _png_chunks(data: bytes) -> str | None:
    """cICP, or a gAMA that is not sRGB's; sRGB before both (PNG specification, third edition, 4.3)."""
    at, gamma = 8, None
    while at + 8 <= len(data) and (kind := data[at + 4 : at + 8]) != b"IDAT":
        length, body = int.from_bytes(data[at : at + 4], "big"), at + 8
        if kind == b"cICP" and (name := _PRIMARIES.get(data[body] if body < len(data) else 0)):
            return f"{name} by its cICP chunk"
        if kind == b"sRGB":
            return None
        if kind == b"gAMA":
            gamma = int.from_bytes(data[body : body + 4], "big")
        at = body + length + 4
    return f"of gamma {gamma / 100_000:g} by its gAMA chunk" if gamma and gamma not in _SRGB_GAMMA else None


def _interoperability(image: ImageFile.ImageFile) -> str | None:
    """Adobe RGB's mark in EXIF (DCF 2.0, the index R03)."""
    index = image.getexif().get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    return "Adobe RGB by its EXIF" if str(index).startswith("R03") else None
