"""Records of earlier keys, in few bytes a row."""

from __future__ import annotations

import functools
import os
import struct
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from batch_removebg.hashing import hash64
from batch_removebg.model import Item

_LINE_BITS, _PLACE_BITS = 26, 6
_LAST_LINE, _LAST_PLACE = (1 << _LINE_BITS) - 1, (1 << _PLACE_BITS) - 1
_PARTS, _MARK_PARTS = 256, 16_384
_marks = struct.Struct("=H5sx").iter_unpack
"""Splits a hash into the number of its part and the mark that is stored there."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first occurrence of a key."""

    origin: str
    same_source: bool


class Seen:
    """Records for each key where it first occurred, and for which source.

    A row costs two numbers of eight bytes: a hash of its key, and one that packs line, place and a hash of its source.
    A dict would take five times as much; here a million rows fit into 26 MB.
    """

    def __init__(self) -> None:
        self._parts = [_Table() for _ in range(_PARTS)]
        self._places: dict[str, int] = {}
        self._real_folder = functools.lru_cache(maxsize=4096)(os.path.realpath)

    def add(self, key: str, source: str, origin: str) -> Earlier | None:
        """Record `key`; returns its first occurrence if it has occurred before."""
        digest = hash64(key) & 0xFFFF_FFFF_FFFF_FFFF or 1
        check = zlib.crc32(source.encode("utf-8", "surrogatepass"))
        # A table for each first byte: they grow one by one, so that only one of them exists twice at a time.
        packed = self._parts[digest & (_PARTS - 1)].put(digest, check << 32 | self._place(origin))
        return None if packed is None else Earlier(self._origin(packed), packed >> 32 == check)

    def source(self, item: Item) -> str:
        """What `item` is read from: the same text for every spelling of its path."""
        if item.path is None:
            return item.source
        # The folder only: a link beside its target is a picture of its own.
        return os.path.normcase(f"{self._real_folder(item.path.parent)}/{item.path.name}")

    def _place(self, origin: str) -> int:
        place, _, line = origin.rpartition(":")
        number = int(line) if line.isdecimal() and line.isascii() and line[0] != "0" else 0
        if not place or not number:
            place, number = origin, 0
        elif number > _LAST_LINE:
            number = 0
        index = self._places.get(place)
        if index is None:
            # All places beyond the last number share it, and can't be told apart.
            index = self._places.setdefault(place, min(len(self._places), _LAST_PLACE))
        return index << _LINE_BITS | number

    def _origin(self, packed: int) -> str:
        index, line = packed >> _LINE_BITS & _LAST_PLACE, packed & _LAST_LINE
        named = [place for place, number in self._places.items() if number == index]
        if len(named) > 1:
            return "another input"
        return f"{named[0]}:{line}" if line else named[0]


class Marks:
    """Tells whether a key may have occurred before, in about six bytes a row; its `no` is certain.

    With a million keys, one run in a thousand has a key that seems to repeat but doesn't.
    """

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(_MARK_PARTS)]

    def add(self, keys: Iterable[str]) -> bool:
        """Record the keys; returns whether one of them may have occurred before, or occurs among them twice."""
        parts, new = self._parts, True
        # Python's own hashes, which differ between processes, are several times as quick as stable ones.
        for number, mark in _marks(array("q", map(hash, keys)).tobytes()):
            part = parts[number % _MARK_PARTS]
            if mark in part:
                new = False
            else:
                part += mark
        return not new


class _Table:
    """Open addressing in two arrays: keys, which are never 0, and the first value of each."""

    __slots__ = ("_keys", "_left", "_values")

    def __init__(self) -> None:
        self._resize(16)

    def _resize(self, size: int) -> None:
        self._left = size * 3 // 4
        self._keys, self._values = array("Q", bytes(8 * size)), array("Q", bytes(8 * size))

    def put(self, key: int, value: int) -> int | None:
        """Store the value, unless the key has one already, which is returned."""
        keys, size = self._keys, len(self._keys)
        at = (key >> 8) % size
        while found := keys[at]:
            if found == key:
                return self._values[at]
            at = at + 1 if at + 1 < size else 0
        keys[at], self._values[at] = key, value
        self._left -= 1
        if not self._left:
            self._grow()
        return None

    def _grow(self) -> None:  # without calls of `put`, which would make the whole slower by a twentieth
        old_keys, old_values, size = self._keys, self._values, len(self._keys) * 3 // 2
        self._resize(size)
        keys, values = self._keys, self._values
        for key, value in zip(old_keys, old_values, strict=True):
            if key:
                at = (key >> 8) % size
                while keys[at]:
                    at = at + 1 if at + 1 < size else 0
                keys[at], values[at] = key, value
                self._left -= 1
