"""Items and names that the ledger doesn't know yet, where there are too many for memory.

They go to a temporary file of SQLite's own, which is deleted with the run. Blocks; belongs to one thread at a time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batch_removebg.hashing import hash64
from batch_removebg.model import Item

from .schema import unpack_id

_SCHEMA = """
CREATE TABLE name(h INTEGER PRIMARY KEY, owner INTEGER NOT NULL);
CREATE TABLE folder(h INTEGER PRIMARY KEY);
CREATE TABLE item(h INTEGER NOT NULL, id BLOB NOT NULL, source BLOB NOT NULL, meta TEXT NOT NULL);
CREATE INDEX by_id ON item(h);
"""


class Spill:
    """Names and items in a temporary file."""

    def __init__(self) -> None:
        import sqlite3

        self._lock = threading.Lock()
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.executescript(f"PRAGMA cache_size = -2000; {_SCHEMA}")

    def close(self) -> None:
        """Delete the file."""
        self._connection.close()

    def put_names(self, names: Iterable[tuple[int, int]], folders: Iterable[int]) -> None:
        """Keep (name, owner) and folder hashes."""
        self._many("INSERT OR IGNORE INTO name VALUES (?, ?)", names)
        self._many("INSERT OR IGNORE INTO folder VALUES (?)", ((h,) for h in folders))

    def owner(self, h: int) -> int | None:
        """The owner of a name."""
        found = self._all("SELECT owner FROM name WHERE h = ?", (h,))
        return int(found[0][0]) if found else None

    def has_folder(self, h: int) -> bool:
        """Whether the folder is on the way to a name."""
        return bool(self._all("SELECT 1 FROM folder WHERE h = ?", (h,)))

    def put_items(self, items: Sequence[Item]) -> int:
        """Keep what results.json says of items; their number."""
        rows = ((hash64(i.id), _bytes(i.id), _bytes(i.source), json.dumps(dict(i.meta))) for i in items)
        self._many("INSERT INTO item VALUES (?, ?, ?, ?)", rows)
        return len(items)

    def item(self, key: str) -> Item | None:
        """The item of that id."""
        found = (
            _item(*columns) for columns in self._all("SELECT id, source, meta FROM item WHERE h = ?", (hash64(key),))
        )
        return next((item for item in found if item.id == key), None)

    def items(self, first: int, few: int = 500) -> Iterator[list[Item]]:
        """The `first` ones in the order they were put, a few at a time."""
        last = 0
        sql = "SELECT rowid, id, source, meta FROM item WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
        while rows := self._all(sql, (last, first, few)):
            last = rows[-1][0]
            yield [_item(*columns) for _, *columns in rows]

    def _all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._lock:
            self._connection.execute("BEGIN")
            self._connection.executemany(sql, rows)
            self._connection.execute("COMMIT")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _item(key: bytes, source: bytes, meta: str) -> Item:
    return Item(unpack_id(key), unpack_id(source), "", meta=json.loads(meta))
