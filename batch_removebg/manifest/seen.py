"""What has come by already, in few bytes a row."""

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
"""Of a hash, the part that it belongs to and what is kept there."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first coming of a key."""

    origin: str
    same_source: bool


class Seen:
    """Tells for each key whether it came before, where, and from which source.

    A row costs two numbers of eight bytes: a hash of its key, and one that packs line, place and a hash of its source.
    A dict of them would take five times as much; a million rows fit into 26 MB here.
    """

    def __init__(self) -> None:
        self._parts = [_Table() for _ in range(_PARTS)]
        self._places: dict[str, int] = {}
        self._real_folder = functools.lru_cache(maxsize=4096)(os.path.realpath)

    def add(self, key: str, source: str, origin: str) -> Earlier | None:
        """Remember `key`; its first coming if this is not it."""
        digest = hash64(key) & 0xFFFF_FFFF_FFFF_FFFF or 1
        check = zlib.crc32(source.encode("utf-8", "surrogatepass"))
        # A table for each first byte: they grow one by one, and never all are there twice.
        packed = self._parts[digest & (_PARTS - 1)].put(digest, check << 32 | self._place(origin))
        return None if packed is None else Earlier(self._origin(packed), packed >> 32 == check)

    def source(self, item: Item) -> str:
        """What `item` is read from, the same text however its path is written."""
        if item.path is None:
            return item.source
        # The folder only: a link beside its target is a picture of its own.
        return os.path.normcase(f"{self._real_folder(item.path.parent)}/{item.path.name}")

    def _place(self, origin: str) -> int:
        place, _, line = origin.rpartition(":")
        number = int(line) if line.isdecimal() and line.isascii() else 0
        if not place or f"{place}:{number}" != origin:
            place, number = origin, 0
        elif number > _LAST_LINE:
            number = 0
        index = self._places.get(place)
        if index is None:
            # Of more files than there are numbers for, the last ones can't be told apart.
            index = self._places.setdefault(place, min(len(self._places), _LAST_PLACE))
        return index << _LINE_BITS | number

    def _origin(self, packed: int) -> str:
        index, line = packed >> _LINE_BITS & _LAST_PLACE, packed & _LAST_LINE
        named = [place for place, number in self._places.items() if number == index]
        place = named[0] if len(named) == 1 else "another input"
        return f"{place}:{line}" if line and len(named) == 1 else place


class Marks:
    """Tells whether a key may have come before, in six bytes or so a row: where it says no, that is certain.

    Of a million keys one in a thousand runs has one that only looks as if it had come before.
    """

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(_MARK_PARTS)]

    def add(self, keys: Iterable[str]) -> bool:
        """Remember the keys; whether one of them may have been there, or is among them twice."""
        parts, new = self._parts, True
        # Hashes of this process: several times as quick as those that all processes share.
        for number, mark in _marks(array("q", map(hash, keys)).tobytes()):
            part = parts[number % _MARK_PARTS]
            if mark in part:
                new = False
            else:
                part += mark
        return not new


class _Table:
    """Open addressing in two arrays: keys, which are never 0, and what was first put under them."""

    __slots__ = ("_keys", "_left", "_size", "_values")

    def __init__(self) -> None:
        self._resize(16)

    def _resize(self, size: int) -> None:
        self._size, self._left = size, size * 3 // 4
        self._keys = array("Q", bytes(8 * size))
        self._values = array("Q", bytes(8 * size))

    def put(self, key: int, value: int) -> int | None:
        """Put the value, unless there is one already, which is returned."""
        keys = self._keys
        at = (key >> 8) % self._size
        while found := keys[at]:
            if found == key:
                return self._values[at]
            at = at + 1 if at + 1 < self._size else 0
        keys[at], self._values[at] = key, value
        self._left -= 1
        if not self._left:
            self._grow()
        return None

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._resize(self._size * 3 // 2)
        size, new_keys, new_values = self._size, self._keys, self._values
        for key, value in zip(keys, values, strict=True):
            if key:
                at = (key >> 8) % size
                while new_keys[at]:
                    at = at + 1 if at + 1 < size else 0
                new_keys[at], new_values[at] = key, value
                self._left -= 1
