"""Records of earlier keys, in few bytes a row."""

from __future__ import annotations

import functools
import os
import sqlite3
import struct
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from batch_removebg.hashing import hash64
from batch_removebg.model import Item, UrlRow

_PARTS = 16_384
_marks = struct.Struct("=H5sx").iter_unpack  # splits a hash into its part's number and the mark stored there


@dataclass(frozen=True, slots=True)
class Earlier:
    """The first occurrence of a key."""

    origin: str
    same_source: bool


class Seen:
    """Records for each key where it first occurred, and for which source: a million rows take 26 MB."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._real_folder = functools.lru_cache(maxsize=4096)(os.path.realpath)
        self._rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("CREATE TABLE seen(key INTEGER PRIMARY KEY, source INTEGER, place INTEGER, line TEXT)")
        self._rows.execute("CREATE TABLE again(key INTEGER PRIMARY KEY, times INTEGER)")
        self.close = self._rows.close

    def add(self, key: str, source: str, origin: str) -> Earlier | None:
        """Record `key`; returns its first occurrence if it has occurred before."""
        place, colon, line = origin.rpartition(":") if origin[-1:].isdigit() else (origin, "", "")
        number = self._places.setdefault(place + colon, len(self._places))
        h, check = hash64(key), zlib.crc32(source.encode("utf-8", "surrogatepass"))
        if self._rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)", (h, check, number, line)).rowcount:
            return None
        known, number, line = self._rows.execute("SELECT source, place, line FROM seen WHERE key = ?", (h,)).fetchone()
        return Earlier(list(self._places)[number] + line, known == check)

    def times(self, key: str) -> int:
        """How often `key` has come: 2 when this is asked for the first time."""
        add = "INSERT INTO again VALUES (?, 2) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        return int(self._rows.execute(add, (hash64(key),)).fetchone()[0])

    def source(self, item: Item | UrlRow) -> str:
        """What `item` is read from: the same text for every spelling of its path."""
        if item.path is None:
            return item.source
        # The folder only: a link beside its target is a picture of its own.
        return os.path.normcase(f"{self._real_folder(item.path.parent)}/{item.path.name}")


class Marks:
    """Tells whether a key may have occurred before, in six bytes a row; its `no` is certain, its `yes` rarely wrong."""

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(_PARTS)]

    def add(self, keys: Iterable[str]) -> bool:
        """Record the keys; returns whether one of them may have occurred before, or occurs among them twice."""
        parts, new = self._parts, True
        # Python's own hashes, which differ between processes, are several times as quick as stable ones.
        for number, mark in _marks(array("q", map(hash, keys)).tobytes()):
            part = parts[number % _PARTS]
            if mark in part:
                new = False
            else:
                part += mark
        return not new
