"""A provider's PNG judged by its own checksums: nothing is decoded, and no image library is loaded.

Chunks, their order and their CRC-32 are those of the PNG specification (third edition, sections 5, 11 and 13). The
pixels' zlib stream has a checksum of its own; those of the chunks reveal damage in transit just as well.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from batch_removebg.errors import OutputBroken
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.png import CHUNKS, SIGNATURE

from .options import Finish, Finished

_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits a channel by colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""
_WITH_ALPHA = frozenset({4, 6})
_PALETTE = 3
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_BEFORE_PIXELS = frozenset({b"PLTE", b"tRNS"})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PRIVATE_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
_LARGEST = (1 << 31) - 1


@dataclass(slots=True)
class Walked:
    """What a sound PNG's chunks say."""

    width: int
    height: int
    colour_type: int
    alpha: bool
    """An alpha channel, or a transparent colour or palette (tRNS)."""
    plain: bool = True
    """A single frame, and nothing about the camera, the place or the maker."""


def as_it_is(data: bytes, finish: Finish, limits: Limits) -> Finished | None:
    """A provider's cutout as the finished file, byte for byte; None where it must be decoded, or refused, first.

    Raises OutputBroken for a PNG that is damaged or cut short.
    """
    found = walk(data)
    if found is None or not (found.plain and found.alpha):
        return None
    if (finish.format, finish.mask_only, finish.background) != ("png", False, None):
        return None
    if found.width * found.height > limits.max_pixels:
        return None
    return Finished(data, found.width, found.height)


def walk(data: bytes) -> Walked | None:
    """What the chunks of a PNG say, every checksum verified; None where the data isn't a PNG.

    Raises OutputBroken if it is damaged or cut short.
    """
    if not data.startswith(SIGNATURE):
        return None
    view = memoryview(data)
    kind, body, at = _chunk(view, len(SIGNATURE))
    found = _header(kind, body)
    seen = {kind}
    for _ in range(CHUNKS - 1):
        last = kind
        kind, body, at = _chunk(view, at)
        _add(found, kind, body, seen, last)
        if kind == b"IEND":
            found.plain = found.plain and at == len(view)  # what follows the end belongs to no picture
            return found
        seen.add(kind)
    raise _damaged(f"it has more than {CHUNKS} chunks")


def _chunk(view: memoryview, at: int) -> tuple[bytes, memoryview, int]:
    """The chunk that begins at `at`: its kind, its body, and where the next one begins; raises OutputBroken."""
    if at + 12 > len(view):
        raise _damaged("it has no end")
    length = int.from_bytes(view[at : at + 4], "big")
    end = at + 8 + length
    if end + 4 > len(view):
        raise _damaged("a chunk reaches beyond its end")
    if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
        raise _damaged(f"a checksum is wrong ({bytes(view[at + 4 : at + 8])!r})")
    return bytes(view[at + 4 : at + 8]), view[at + 8 : end], end + 4


def _header(kind: bytes, body: memoryview) -> Walked:
    if kind != b"IHDR" or len(body) != 13:
        raise _damaged("it has no header")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    sound = depth in _DEPTHS.get(colour, ()) and (compression, filtering) == (0, 0) and interlace in (0, 1)
    if not (sound and 0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise _damaged("its header makes no sense")
    return Walked(width, height, colour, alpha=colour in _WITH_ALPHA)


def _add(found: Walked, kind: bytes, body: memoryview, seen: set[bytes], last: bytes) -> None:
    """Record one chunk after the header; `seen` are the kinds before it, `last` the one right before."""
    if kind == b"IDAT":
        if b"IDAT" in seen and last != b"IDAT":
            raise _damaged("its pixels are torn apart")
        if found.colour_type == _PALETTE and b"PLTE" not in seen:
            raise _damaged("it has no palette")
    elif kind == b"IEND":
        if b"IDAT" not in seen:
            raise _damaged("it has no pixels")
    elif kind == b"IHDR" or (kind in _BEFORE_PIXELS and (kind in seen or b"IDAT" in seen)):
        raise _damaged(f"its chunks are out of order ({kind!r})")
    elif kind == b"tRNS":
        found.alpha = True
    elif kind == b"acTL" or kind == b"eXIf" or (kind in _TEXTS and bytes(body[:24]).startswith(_PRIVATE_TEXTS)):
        found.plain = False
    elif not kind[0] & 0x20 and kind not in _CRITICAL:
        raise _damaged(f"it has a critical chunk that no decoder knows ({kind!r})")


def _damaged(how: str) -> OutputBroken:
    return OutputBroken(f"the output is damaged or cut short: {how}")
