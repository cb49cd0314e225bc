"""What has come by already, in few bytes a row."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from dataclasses import dataclass

from batch_removebg.model import Item

_LINE = re.compile(r"[1-9][0-9]{0,11}")
_LINE_BITS = 40
_PLACE_BITS = 24


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first coming of a key."""

    origin: str
    same_source: bool


class Seen:
    """Tells for each key whether it came before, where, and from which source.

    A row costs two integers: an eight-byte hash of its key, and one that packs line, place and a hash of its source.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._places: dict[str, int] = {}
        self._real_folder = functools.lru_cache(maxsize=4096)(os.path.realpath)

    def add(self, key: str, source: str, origin: str) -> Earlier | None:
        """Remember `key`; its first coming if this is not it."""
        digest = _hash(key)
        packed = self._first.get(digest)
        if packed is None:
            self._first[digest] = self._pack(source, origin)
            return None
        earlier = packed & ((1 << _LINE_BITS + _PLACE_BITS) - 1)
        return Earlier(self._origin(earlier), packed >> (_LINE_BITS + _PLACE_BITS) == _hash(source))

    def source(self, item: Item) -> str:
        """What `item` is read from, the same text however its path is written."""
        if item.path is None:
            return item.source
        # The folder only: a link beside its target is a picture of its own.
        return os.path.normcase(f"{self._real_folder(item.path.parent)}/{item.path.name}")

    def _pack(self, source: str, origin: str) -> int:
        place, _, line = origin.rpartition(":")
        if not _LINE.fullmatch(line):
            place, line = origin, "0"
        index = self._places.setdefault(place, len(self._places))
        return (_hash(source) << _PLACE_BITS | index) << _LINE_BITS | int(line)

    def _origin(self, packed: int) -> str:
        index, line = packed >> _LINE_BITS, packed & ((1 << _LINE_BITS) - 1)
        place = list(self._places)[index]
        return f"{place}:{line}" if line else place


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
