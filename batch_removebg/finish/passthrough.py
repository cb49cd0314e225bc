"""A provider's PNG judged by its chunks alone, undecoded (PNG specification, third edition, sections 5, 11 and 13)."""

from __future__ import annotations

import struct
from collections import Counter
from itertools import groupby

from batch_removebg.errors import OutputBroken
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.png import CHUNKS, SIGNATURE, TEXTS, is_sound, walk

from .options import Finish, Finished

_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits a channel by colour type: grey, RGB, palette, grey with alpha, RGB with alpha."""
_WITH_ALPHA = frozenset({4, 6})
_PALETTE = 3
_ONCE_BEFORE_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS"})
_PRIVATE = frozenset({b"acTL", b"eXIf"})
_PRIVATE_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
_LARGEST = (1 << 31) - 1


def as_it_is(data: bytes, finish: Finish, limits: Limits) -> Finished | None:
    """A provider's cutout as the finished file, byte for byte; None where it must be decoded, or refused, first.

    Passed on is a single frame with alpha (a channel, or tRNS) that says nothing about camera, place or maker. Raises
    OutputBroken for a PNG that is damaged or cut short.
    """
    if not data.startswith(SIGNATURE):
        return None
    width = height = colour = 0
    kinds, at, plain = list[bytes](), len(SIGNATURE), True
    for kind, start, end in walk(data):
        if not is_sound(data, start, end):
            raise _damaged(f"a checksum is wrong ({kind!r})")
        if not kinds:
            width, height, colour = _header(kind, data[start:end])
        plain = plain and not (kind in _PRIVATE or (kind in TEXTS and data.startswith(_PRIVATE_TEXTS, start, end)))
        kinds.append(kind)
        at = end + 4
    if kinds[-1:] != [b"IEND"]:
        cut = "it has no end" if at + 12 > len(data) else "a chunk reaches beyond its end"
        raise _damaged(f"it has more than {CHUNKS} chunks" if len(kinds) == CHUNKS else cut)
    _require_order(kinds, colour)
    plain = plain and at == len(data)  # what follows the end belongs to no picture
    alpha = colour in _WITH_ALPHA or b"tRNS" in kinds
    small = width * height <= limits.max_pixels
    return Finished(data, width, height) if plain and alpha and finish.as_cut and small else None


def _header(kind: bytes, body: bytes) -> tuple[int, int, int]:
    """Width, height and colour type."""
    if kind != b"IHDR" or len(body) != 13:
        raise _damaged("it has no header")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    sound = depth in _DEPTHS.get(colour, ()) and (compression, filtering) == (0, 0) and interlace in (0, 1)
    if not (sound and 0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise _damaged("its header makes no sense")
    return width, height, colour


def _require_order(kinds: list[bytes], colour: int) -> None:
    """Raise OutputBroken for chunks that are missing, unknown, or in a wrong order."""
    if b"IDAT" not in kinds:
        raise _damaged("it has no pixels")
    if [kind for kind, _ in groupby(kinds)].count(b"IDAT") > 1:
        raise _damaged("its pixels are torn apart")
    before = kinds[: kinds.index(b"IDAT")]
    if colour == _PALETTE and b"PLTE" not in before:
        raise _damaged("it has no palette")
    for kind, count in Counter(kinds).items():
        if kind in _ONCE_BEFORE_PIXELS and (count > 1 or kind not in before):
            raise _damaged(f"its chunks are out of order ({kind!r})")
        if not kind[0] & 0x20 and kind not in _ONCE_BEFORE_PIXELS | {b"IDAT", b"IEND"}:
            raise _damaged(f"it has a critical chunk that no decoder knows ({kind!r})")


def _damaged(how: str) -> OutputBroken:
    return OutputBroken(f"the output is damaged or cut short: {how}")
