"""The index's file: rows in, rows out. All of it blocks and may be called from any thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from batch_removebg.errors import IndexDamaged
from batch_removebg.ledger.codec import decode, encode
from batch_removebg.ledger.state import ItemState

from .schema import FORMAT, GONE, INDEXES, SCHEMA, Row, unpack

_OURS = 0x62726267  # SQLite's application id: another program's database is not taken for an index
_INSERT = f"INSERT OR REPLACE INTO item VALUES ({', '.join('?' * 10)})"  # noqa: S608  # question marks
_CACHE, _BUILDING_CACHE = 8_000, 64_000  # kiB of the file in memory, in a run and while the index is built
_FOUND = "SELECT n, id, state, crc FROM item"
_SELECT_MANY = 500  # values in one `IN (…)`; SQLite allowed 999 until 3.32
Found = tuple[int, str, ItemState]  # an item's number, id and state


class Database:
    """An open index, in a file or, where there can't be one, in a temporary file of SQLite's own."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None, *, ours: bool = True) -> None:
        """`path` of the file, where it has one; `ours` to write to, and to delete if it turns out to be damaged."""
        self.path, self.ours = path, ours
        self._connection, self._lock = connection, threading.RLock()
        self._spoilt = False

    @classmethod
    def open(cls, path: Path) -> Self:
        """The index at `path`; raises sqlite3.Error, and IndexDamaged where it is not one of ours in this format."""
        database = cls(_connect(f"{path.absolute().as_uri()}?mode=rw"), path)
        with database.closed_on_error():
            # Kills and power cuts leave the index as of some earlier commit, never torn; see `PRAGMA synchronous`.
            database._execute("PRAGMA journal_mode = WAL")
            database._execute("PRAGMA synchronous = NORMAL")
            database._check()
        return database

    @classmethod
    def look(cls, path: Path) -> Self:
        """The index at `path` for reading while a run may write; raises sqlite3.Error, IndexDamaged or OSError."""
        at_rest = not path.with_name(f"{path.name}-wal").exists()  # then SQLite would put files beside it
        name = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if at_rest else ''}"
        database = cls(_connect(name, 1000), path, ours=False)
        with database.closed_on_error():
            database._execute("BEGIN")  # one state of things for all that is asked
            database._check()
        return database

    @classmethod
    def build(cls, path: Path | None = None, cache: int = _BUILDING_CACHE) -> Self:
        """A new index to be filled, then `built`; without a `path` one that is temporary. Raises sqlite3.Error."""
        if path is not None:
            remove(path)
        database = cls(_connect(path.absolute().as_uri() if path is not None else "", cache), path)
        tables = SCHEMA if path is not None else SCHEMA + INDEXES
        with database.closed_on_error():
            database._connection.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                f"PRAGMA application_id = {_OURS}; PRAGMA user_version = {FORMAT}; BEGIN; {tables}"
            )
            database._spoilt = True  # until it is complete
        return database

    def built(self) -> None:
        """Finish what `build` began; where it has a file, that is complete and durable."""
        if self.path is not None:
            with self._lock:
                self._connection.executescript(INDEXES)  # which commits first
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
        self._spoilt = False

    @contextlib.contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Errors in the block close the file, and pass."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def pinned(self) -> Database | None:
        """The index as it is now, for reading while it is written to; None where it has no file to be opened again."""
        with contextlib.suppress(sqlite3.Error, IndexDamaged, OSError):
            return self.look(self.path) if self.path is not None else None
        return None

    def _check(self) -> None:
        if (self._number("PRAGMA application_id"), self._number("PRAGMA user_version")) != (_OURS, FORMAT):
            raise IndexDamaged("not an index of this format")

    def close(self) -> None:
        """Close the file; one that was found damaged, or was not `built`, is deleted."""
        with self._lock:
            self._connection.close()
        if self._spoilt and self.ours and self.path is not None:
            remove(self.path)

    def meta(self, key: str) -> Any:
        """The value stored under the key, or None."""
        found = self._all("SELECT value FROM meta WHERE key = ?", (key,))
        try:
            return decode(found[0][0]) if found else None
        except ValueError as error:
            raise self.damaged(error) from error

    def put_meta(self, key: str, value: Any) -> None:
        """Store a JSON value under a key."""
        with self._lock:
            self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, encode(value)))

    def write(self, rows: Iterable[Row], names: Iterable[tuple[int, int]], folders: Iterable[int], **meta: Any) -> None:
        """Write all of it, or nothing; `names`: (hash, owner) of earlier ones."""
        with self._lock, contextlib.ExitStack() as transaction:
            if not self._connection.in_transaction:  # while it is built, all is one
                self._execute("BEGIN IMMEDIATE")
                transaction.enter_context(self._connection)  # commits, or rolls back where that or the block fails
            self._connection.executemany(_INSERT, rows)
            self._connection.executemany("INSERT OR REPLACE INTO old_name VALUES (?, ?)", names)
            self._connection.executemany("INSERT OR IGNORE INTO folder VALUES (?)", ((h,) for h in folders))
            for key, value in meta.items():
                self.put_meta(key, value)

    def last(self) -> int:
        """The highest number of an item; 0 where there is none."""
        return self._number("SELECT coalesce(max(n), 0) FROM item")

    def find(self, key: int, column: str = "h") -> list[Found]:
        """The items with that hash of their ids, or by another column with that short key: one, but for chance."""
        return list(map(self._found, self._select("n, id, state, crc", f"by_{column}", f"{column} = ?", (key,))))

    def chosen(self, column: str, values: Sequence[int | None]) -> Iterator[tuple[int, int]]:
        """(Value, n) of the items that have one of these in the column `h` or `done`."""
        for start in range(0, len(values), _SELECT_MANY):
            some = values[start : start + _SELECT_MANY]
            yield from self._select(f"{column}, n", f"by_{column}", f"{column} IN ({','.join('?' * len(some))})", some)

    def numbered(self, numbers: Iterable[int]) -> Iterator[Found]:
        """The items with these numbers."""
        numbers = iter(numbers)
        while some := list(islice(numbers, _SELECT_MANY)):
            yield from map(self._found, self._all(f"{_FOUND} WHERE n IN ({','.join('?' * len(some))})", some))

    def marked(self, mask: int) -> list[tuple[int, int]]:
        """(n, mark) of every item with one of these marks."""
        return self._select("n, mark", "by_mark", "mark IS NOT NULL AND mark & ?", (mask,))

    def by_id(self) -> list[int]:
        """The numbers of all items in the order of their ids."""
        return [n for (n,) in self._all("SELECT n FROM item ORDER BY id")]

    def mentioning(self, text: str) -> list[int]:
        """The numbers of the items in whose rows a text stands, in any case of ASCII letters."""
        plain, quoted = text.lower(), encode(text).decode()[1:-1].lower()
        where = "instr(lower(CAST(id AS TEXT)), ?) OR instr(lower(CAST(state AS TEXT)), ?)"
        return [n for (n,) in self._all(f"SELECT n FROM item WHERE {where}", (plain, quoted))]  # noqa: S608

    def every(self, mask: int | None = None) -> Iterator[Found]:
        """The items in order, a few at a time: all, or those with one of these marks; nothing is written meanwhile."""
        # Named, the index is used: SQLite would rather go through all items.
        some = "" if mask is None else f"INDEXED BY by_mark WHERE mark IS NOT NULL AND mark & {mask:d}"
        cursor = None
        while True:
            try:
                with self._lock:
                    cursor = cursor or self._execute(f"{_FOUND} {some} ORDER BY n")
                    found = cursor.fetchmany(_SELECT_MANY)
            except sqlite3.DatabaseError as error:
                raise self.damaged(error) from error
            if not found:
                return
            yield from map(self._found, found)

    def owner(self, h: int) -> int | None:
        """The hash of the item that a name on record belongs to."""
        of_old = "(SELECT owner FROM old_name WHERE h = ?1)"
        of_item = "(SELECT h FROM item WHERE name = ?1 ORDER BY coalesce(mark, 0) & ?2, n LIMIT 1)"
        found: int | None = self._all(f"SELECT coalesce({of_item}, {of_old})", (h, GONE))[0][0]  # no input
        return found

    def has_folder(self, h: int) -> bool:
        """Whether a name on record lies below that folder."""
        return bool(self._all("SELECT 1 FROM folder WHERE h = ?", (h,)))

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _select(self, columns: str, index: str, where: str, values: Sequence[Any]) -> list[Any]:
        return self._all(f"SELECT {columns} FROM item INDEXED BY {index} WHERE {where}", values)  # noqa: S608

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error

    def _found(self, columns: tuple[int, bytes, bytes, int]) -> Found:
        n, name, data, crc = columns
        try:
            return n, name.decode("utf-8", "surrogatepass"), unpack(name, data, crc)
        except (IndexDamaged, ValueError, TypeError, IndexError) as error:
            raise self.damaged(error) from error

    def damaged(self, why: object) -> IndexDamaged:
        """The error to raise where the file makes no sense; it will be deleted."""
        self._spoilt = True
        return why if isinstance(why, IndexDamaged) else IndexDamaged(why)

    def _number(self, sql: str) -> int:
        return int(self._all(sql)[0][0])


def remove(path: Path) -> None:
    """Delete the index at `path`."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()


def _connect(uri: str, cache: int = _CACHE) -> sqlite3.Connection:
    """A connection without transactions of its own making; `cache` in KiB."""
    connection = sqlite3.connect(uri, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute(f"PRAGMA cache_size = -{cache}")
    return connection
