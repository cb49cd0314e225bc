"""What a photo says about itself: kept where that is asked for, and never the place.

Left out always: GPS, the thumbnail (which may show what was cropped away), the maker's note (which may hold both), and
what describes the stored pixels. The orientation becomes 1.
"""

from __future__ import annotations

import re
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from PIL import ExifTags, Image

from .header import UNREADABLE, Header

_EXIF = ExifTags.IFD.Exif
_TAGS = frozenset(  # of the first directory, about the picture; the rest says how its pixels are stored
    {
        *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software),
        *(ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.HostComputer, ExifTags.Base.Copyright),
        *(ExifTags.Base.Rating, ExifTags.Base.RatingPercent),
        *range(0x9C9B, 0x9CA0),  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
    }
)
_NOT_OF_EXIF = frozenset({0x927C, 0xA001, 0xA002, 0xA003, 0xA005})
"""Maker's note, colour space, the stored pixels' size, and the directory of interoperability."""
_LARGEST_PACKET = 1 << 20
_PLACE = re.compile(  # XMP's names, in any namespace, of the place in numbers and words (IPTC Photo Metadata 2023.2)
    r"^gps|latitude|longitude|^thumbnails$|^(city|state|country|countrycode|location|sublocation|locationcreated"
    r"|locationshown)$",
    re.IGNORECASE,
)
_PACKET = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}<?xpacket end="w"?>'


def collect(header: Header) -> tuple[bytes | None, bytes | None, tuple[str, ...]]:
    """What may be kept of a picture's EXIF and of its XMP, as `Picture` has them; notes about what couldn't be read."""
    exif, notes = None, list[str]()
    try:
        exif = _exif(header.exif)
    except UNREADABLE as error:
        notes.append(f"EXIF is damaged and was left out: {error}")
    xmp = clean_xmp(header.xmp) if header.xmp else None
    if header.xmp and xmp is None:
        notes.append("XMP can't be read and was left out")
    return exif, xmp, tuple(notes)


def _exif(found: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    for tag in _TAGS & set(found):
        kept[tag] = found[tag]
    inner = {tag: value for tag, value in found.get_ifd(_EXIF).items() if tag not in _NOT_OF_EXIF}
    if not inner and not len(kept):
        return None
    kept[ExifTags.Base.Orientation] = 1
    kept.get_ifd(_EXIF).update(inner)
    return kept.tobytes().removeprefix(b"Exif\0\0")


def clean_xmp(packet: bytes) -> bytes | None:
    """A packet without place and thumbnails, its orientation 1; None where it can't be read."""
    start, end = packet.find(b"<"), packet.rfind(b">")
    if len(packet) > _LARGEST_PACKET or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return None
    try:
        document = minidom.parseString(packet[max(0, start) : end + 1])  # noqa: S318  # no entities, see above
        root: Any = document.documentElement
        for element in (root, *root.getElementsByTagName("*")):
            for attribute in list((element.attributes or {}).values()):
                if _PLACE.search(attribute.localName or ""):
                    element.removeAttributeNode(attribute)
                elif attribute.localName == "Orientation":
                    attribute.value = "1"
            if _PLACE.search(element.localName or ""):
                element.parentNode.removeChild(element)
            elif element.localName == "Orientation" and element.firstChild is not None:
                element.firstChild.data = "1"
        return _PACKET.format(root.toxml()).encode()
    except (ExpatError, ValueError, AttributeError, RecursionError):
        return None
