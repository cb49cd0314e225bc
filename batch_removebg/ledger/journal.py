"""The append-only journal of a run: `OUT/ledger.jsonl`, one JSON object a line, by the invariants in README.md.

`append` returns once its line is on disk. Appends that wait at the same time share one fsync.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Self

import anyio.to_thread
from msgspec.structs import replace

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, IndexDamaged, LedgerDamaged, LedgerError
from batch_removebg.net.urls import clean
from batch_removebg.storage.atomic import disk_errors, fsync_dir, put_aside
from batch_removebg.storage.group_commit import GroupCommit
from batch_removebg.storage.layout import ALPHAS, RESULTS

from . import codec
from .events import Entry, RunStarted, Submitting, decode, encode
from .index.database import Database, remove
from .index.indexed_state import IndexedFold
from .index.run_items import RunItems

COMMIT = 4000  # items that change before they are committed to the index
_LINES = 2000  # lines that are applied between two commits while the ledger is read
UNUSABLE = (sqlite3.Error, IndexDamaged, OSError)  # what an index that is no use raises


def read(path: Path, start: int = 0, before: int = 0) -> Iterator[tuple[Entry, bytes]]:
    """The entries of a ledger with their lines, from the byte `start` on, where `before` lines end.

    A torn last line is left out; a ledger that doesn't exist is empty. Raises LedgerError where it can't be read,
    LedgerDamaged for a line that isn't the ledger's.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            for number, line in enumerate(file, before + 1):
                if not line.endswith(b"\n"):
                    return
                entry = decode(line, number)
                if entry is None:
                    raise LedgerDamaged(path, f"line {number} is damaged")
                yield entry, line
    except FileNotFoundError:
        return
    except OSError as error:
        raise LedgerError(f"{path}: can't be read: {error.strerror or error}") from error


def open_indexed(path: Path, index: Path, *, write: bool = True) -> IndexedFold:
    """The fold of the ledger at `path`, from the index as far as that goes; with `write` the index is brought up to it.

    A damaged index is built anew; where it can't be written it is temporary, and the next run reads the ledger again.
    Raises LedgerError as `read` does, and LedgerDamaged where something beside the ledger shows that it once held more.
    """
    items, predictions = _told(path.with_name(RESULTS))  # first: a ledger that grows meanwhile is ahead of it
    fold = _open_indexed(path, index, write=write)
    with fold.database.closed_on_error():
        if items > len(fold.items) or predictions > fold.predictions:
            told = f"{RESULTS} tells of {items} finished items and {predictions} predictions"
            raise LedgerDamaged(path, f"{told}, its lines of {len(fold.items)} and {fold.predictions}")
        if not fold.checkpoint.lines and any((path.parent / ALPHAS).glob("*/*.png")):
            raise LedgerDamaged(path, f"it has no lines, and {ALPHAS} has masks that were bought")
    return fold


def refiled(path: Path, fingerprint: Callable[[str], str], ignored: Collection[str]) -> dict[str, str]:
    """Fingerprints by which older versions bought, of URLs with their signatures, and what those are now."""
    begun = (entry for entry, _ in read(path))
    first = next(begun, None)
    if not isinstance(first, RunStarted) or first.pid is not None:
        return {}
    bought = ((entry.key, entry.fingerprint) for entry in begun if isinstance(entry, Submitting))
    signed = ((key, old, clean(key, ignored)) for key, old in bought)
    return {old: fingerprint(now) for key, old, now in signed if now != key and old == fingerprint(key)}


def look(path: Path, index: Path, *, start_over: bool = False) -> IndexedFold:
    """The same without writing anything, while a run may be going on; to `start_over` a damaged ledger is empty."""
    try:
        return open_indexed(path, index, write=False)
    except LedgerDamaged:
        if not start_over:
            raise
        return IndexedFold(Database.build())


def _told(results: Path) -> tuple[int, int]:
    """Finished items and predictions, by the first line of results.json, or by all of it where that was reformatted."""
    for whole in (False, True):
        with suppress(OSError, ValueError, RecursionError, LookupError, TypeError), results.open("rb") as file:
            told = codec.decode(file.read() if whole else file.readline() + b"]}")
            return int(told["counts"]["saved"]) + int(told["counts"]["failed"]), int(told["predictions"])
    return 0, 0


def _open_indexed(path: Path, index: Path, *, write: bool = True) -> IndexedFold:
    with suppress(*UNUSABLE):
        return _continued(Database.open(index) if write else Database.look(index), path)
    if write:
        new = index.with_name(f"{index.name}.new")
        with suppress(*UNUSABLE):
            _built(path, new).close()
            remove(index)
            new.replace(index)
            return IndexedFold(Database.open(index))
        remove(new)
    return _built(path)


def _continued(database: Database, path: Path) -> IndexedFold:
    """The fold in an index and what has come since; raises IndexDamaged where it is better built anew."""
    with database.closed_on_error():
        fold = IndexedFold(database)
        if lacking := fold.checkpoint.lacking(path):
            raise LedgerDamaged(path, lacking)
        if fold.checkpoint.far_behind(path):
            raise IndexDamaged("it is far behind")
        return _applied(fold, path)


def _built(path: Path, index: Path | None = None) -> IndexedFold:
    database = Database.build(index)
    with database.closed_on_error():
        fold = IndexedFold(database)
        fold.items.seen = set()
        _applied(fold, path).items.seen = None
        database.built()
        return fold


def _applied(fold: IndexedFold, path: Path) -> IndexedFold:
    """The fold after all that the ledger holds; committed as it goes, where the index is ours, to stay small."""
    entries = read(path, fold.checkpoint.end, fold.checkpoint.lines)
    while some := list(islice(entries, _LINES)):
        for entry, _ in some:
            fold.apply(entry)
        fold.checkpoint = fold.checkpoint.longer([line for _, line in some])
        if fold.database.ours:
            fold.commit()
    return fold


class Ledger:
    """The open ledger of one run: `async with Ledger(path, index=…) as ledger`, then `append`."""

    fold: IndexedFold  # what is on disk, no more
    run_items: RunItems
    aside: Sequence[Path] = ()  # what was kept of an old one, where this one was begun in its place

    def __init__(self, path: Path, *, index: Path, clock: Clock | None = None, start_over: bool = False) -> None:
        """`index`: where the fold is kept between runs; `start_over`: in place of a damaged ledger begin a new one."""
        self.path, self._index, self._start_over = path, index, start_over
        self._clock = clock or Clock()
        self._changing = anyio.Lock()  # held while the fold changes, or is committed
        self._readers, self._due = 0, COMMIT  # of the file that is written to: there are no commits meanwhile
        self._fd = -1
        self._flushed = GroupCommit(self._flush)
        self._broken: BatchError | None = None

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.commit()
        self.run_items.close()
        self.fold.close()
        os.close(self._fd)

    async def commit(self) -> None:
        """Commit what has changed to the index; where that fails it stays in memory, and is in the ledger anyway."""
        async with self._changing:
            await self._commit()

    async def _commit(self) -> bool:
        fold, written = self.fold, False
        if self._readers:
            return False
        fold.checkpoint = fold.checkpoint.stamped(os.fstat(self._fd))
        with suppress(sqlite3.Error), anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(fold.commit)
            written = True
        self._due = len(fold.items.live) + COMMIT
        return written

    @asynccontextmanager
    async def still(self) -> AsyncIterator[IndexedFold]:
        """The fold as it is now, to be read in a thread for the length of the block; the run goes on meanwhile."""
        async with self._changing:
            written = await self._commit()
            pinned = await anyio.to_thread.run_sync(self.fold.database.pinned) if written else None
            self._readers += pinned is None
        try:
            yield self.fold.frozen() if pinned is None else IndexedFold(pinned)
        finally:
            self._readers -= pinned is None
            if pinned is not None:
                pinned.close()

    async def append(self, entry: Entry) -> None:
        """Put an entry on disk, stamped unless it is, even if the caller is cancelled; returns once it is durable.

        Raises DiskError where it can't be written, and from then on: the run could no longer say what it did.
        """
        now = entry.t or self._clock.stamp()
        await self._flushed((encode(replace(entry, t=""), now), replace(entry, t=now)))

    async def _flush(self, group: list[tuple[bytes, Entry]]) -> Sequence[None]:
        if self._broken is not None:
            raise self._broken
        try:
            await anyio.to_thread.run_sync(self._write, [line for line, _ in group])
        except BatchError as error:
            self._broken = error
            raise
        async with self._changing:
            for _, entry in group:
                self.fold.apply(entry)
            self.fold.checkpoint = self.fold.checkpoint.longer([line for line, _ in group])
            if len(self.fold.items.live) >= self._due:
                await self._commit()
        return [None] * len(group)

    def _open(self) -> None:
        try:
            if not self.path.exists():
                look(self.path, self._index).close()  # refused before an empty one is made in its place
            self._open_with(open_indexed)
        except LedgerDamaged:
            if not self._start_over:
                raise
            names = (self.path, self.path.with_name(RESULTS), self._index, Path(f"{self._index}-wal"))
            self.aside = [put_aside(name, self._clock.stamp()) for name in names if name.exists()]
            self._open_with(_open_indexed)

    def _open_with(self, open_fold: Callable[[Path, Path], IndexedFold]) -> None:
        """Open the file, fold what it holds, and cut a torn tail once that is put aside."""
        with disk_errors(self.path):
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            # What the index says must not be ahead of what a power cut would leave of the ledger: durable first.
            with disk_errors(self.path):
                os.fsync(self._fd)
            fsync_dir(self.path.parent)
            self.fold = open_fold(self.path, self._index)
            self.run_items = RunItems(self.fold)
            with disk_errors(self.path):
                if os.fstat(self._fd).st_size > self.fold.checkpoint.end:
                    put_aside(self.path, self._clock.stamp(), start=self.fold.checkpoint.end)
                    os.ftruncate(self._fd, self.fold.checkpoint.end)
                    os.fsync(self._fd)
        except BaseException:
            os.close(self._fd)
            raise

    def _write(self, lines: list[bytes]) -> None:
        with disk_errors(self.path):
            if os.fstat(self._fd).st_nlink == 0:  # removed: nobody would find what is written now
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            for line in lines:
                if os.write(self._fd, line) != len(line):
                    # A short write means that the disk is full; the next write would say so, after a torn line.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
