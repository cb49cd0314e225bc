"""TIFF files put together by hand: pages, pictures inside of pages, either byte order, either size, any tag."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

BYTE, ASCII, SHORT, LONG, RATIONAL, SIGNED_RATIONAL, LONG8 = 1, 2, 3, 4, 5, 10, 16
_FORMS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_RATIONAL: "i", LONG8: "Q"}
_SIGNED, _FLOAT = 2, 3
Tag = tuple[int, Sequence[float] | bytes]
"""A type, and the values."""


@dataclass(frozen=True)
class Page:
    """A picture without compression, H×W or H×W×C; `tags` stand above those that describe it, empty ones left out."""

    pixels: npt.NDArray[Any]
    tags: Mapping[int, Tag] = field(default_factory=dict)
    inside: Sequence[Page] = ()


def tiff_of(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A TIFF, or BigTIFF, in the byte order of `struct`."""
    wide = LONG8 if big else LONG
    offset = order + _FORMS[wide]
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    file = bytearray({"<": b"II", ">": b"MM"}[order] + version)
    following = len(file)
    file += bytes(struct.calcsize(offset))

    def add(page: Page) -> tuple[int, int]:
        """Where its directory stands, and where the next one's offset has to."""
        samples = page.pixels.reshape(*page.pixels.shape[:2], -1)
        height, width, count = samples.shape
        inside = [add(inner)[0] for inner in page.inside]
        at = len(file)
        file.extend(samples.astype(samples.dtype.newbyteorder(order)).tobytes())
        kind = {"f": _FLOAT, "i": _SIGNED}.get(samples.dtype.kind, 1)
        tags: dict[int, Tag] = {
            256: (LONG, [width]),
            257: (LONG, [height]),
            258: (SHORT, [8 * samples.itemsize] * count),
            259: (SHORT, [1]),
            262: (SHORT, [2 if count > 2 else 1]),
            273: (wide, [at]),
            277: (SHORT, [count]),
            278: (LONG, [height]),
            279: (wide, [samples.nbytes]),
            339: (SHORT, [kind] * count),
            **({330: (wide, inside)} if inside else {}),
            **page.tags,
        }
        entries = []
        for tag, (form, values) in sorted((tag, held) for tag, held in tags.items() if len(held[1])):
            body = _packed(order, form, values)
            number = (
                len(body) // struct.calcsize("=" + _FORMS[form]) // (2 if form in (RATIONAL, SIGNED_RATIONAL) else 1)
            )
            if len(body) > struct.calcsize(offset):
                where = len(file)
                file.extend(body + bytes(len(body) % 2))
                body = struct.pack(offset, where)
            entry = struct.pack(order + ("HHQ" if big else "HHI"), tag, form, number)
            entries.append(entry + body.ljust(struct.calcsize(offset), b"\0"))
        start = len(file)
        file.extend(struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries))
        end = len(file)
        file.extend(bytes(struct.calcsize(offset)))
        return start, end

    for page in pages:
        start, end = add(page)
        struct.pack_into(offset, file, following, start)
        following = end
    return bytes(file)


def _packed(order: str, form: int, values: Sequence[float] | bytes) -> bytes:
    if isinstance(values, bytes):
        return values
    if form in (RATIONAL, SIGNED_RATIONAL):
        parts = [part for value in values for part in (round(value * 10_000), 10_000)]
        return struct.pack(f"{order}{len(parts)}{_FORMS[form]}", *parts)
    return struct.pack(f"{order}{len(values)}{_FORMS[form]}", *values)


def dng(mosaic: npt.NDArray[np.uint16], *, orientation: int = 1, order: str = "<") -> bytes:
    """A camera's raw file: red, green, green and blue in squares of four, in linear light of sRGB's primaries.

    As cameras do, it has a small developed picture as its first page.
    """
    from_xyz = (3.2405, -1.5371, -0.4985, -0.9693, 1.876, 0.0416, 0.0556, -0.204, 1.0572)
    sensor = {
        254: (LONG, [0]),
        262: (SHORT, [32803]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),
        50714: (SHORT, [0]),
        50717: (LONG, [65535]),
    }
    camera = {
        254: (LONG, [1]),
        271: (ASCII, b"Camera of Somebody\0"),
        272: (ASCII, b"One\0"),
        274: (SHORT, [orientation]),
        50706: (BYTE, [1, 4, 0, 0]),
        50707: (BYTE, [1, 1, 0, 0]),
        50708: (ASCII, b"Camera of Somebody One\0"),
        50721: (SIGNED_RATIONAL, from_xyz),
        50728: (RATIONAL, [1, 1, 1]),
        50778: (SHORT, [21]),
    }
    return tiff_of(Page(np.zeros((4, 6, 3), np.uint8), camera, [Page(mosaic, sensor)]), order=order)
