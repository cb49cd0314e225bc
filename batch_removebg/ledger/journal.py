"""The append-only journal of a run: `OUT/ledger.jsonl`, one JSON object a line.

Order of writes, from which everything else follows (each has a test named after it):

1. A `saved` line names a file that is already durable under its final name.
2. `submitting` is durable before the create is sent, `submitted` before the first poll.
3. One entry is one `write` of one line; a torn tail is cut on open, never an error.
4. Every item ends saved, failed or pending; counts come from the fold.
5. One writer: the caller holds the lock of OUT (see `lock.py`).
6. Unknown fields and events are ignored, a larger `v` is refused.

`append` returns once its line is on disk. Appends that wait at the same time share one fsync.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from batch_removebg.clock import Clock, stamp
from batch_removebg.errors import BatchError, IndexDamaged, LedgerError
from batch_removebg.storage.atomic import disk_errors, fsync_dir
from batch_removebg.storage.group_commit import GroupCommit
from batch_removebg.storage.layout import LEDGER

from . import codec
from .index import Batch, IndexedFold, Reading, Store, remove
from .state import Fold

FORMAT = 1
COMMIT = 4000
"""Items that change before the index is told."""
DURABLE = 600_000
"""Lines after which an index that is being made would not be begun from the start."""


def encode(event: str, fields: Mapping[str, Any], *, at: float) -> bytes:
    """One ledger line, newline included: the entry `event` stamped `at` (seconds since 1970)."""
    return _line(_entry(event, fields, at))


def _entry(event: str, fields: Mapping[str, Any], at: float) -> dict[str, Any]:
    return {"v": FORMAT, "t": stamp(at), "event": event, **fields}


def _line(entry: Mapping[str, Any]) -> bytes:
    return codec.encode(entry) + b"\n"


def decode(line: bytes, number: int) -> dict[str, Any] | None:
    """The entry on a line, or None where the line is damaged.

    Raises LedgerError for a line written by a newer format than this program knows.
    """
    try:
        entry = codec.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    version = entry.get("v")
    if not isinstance(version, int) or isinstance(version, bool):
        return None
    if version > FORMAT:
        raise LedgerError(
            f"{LEDGER}, line {number}: written in format {version}, and this batch-removebg knows up to {FORMAT}; "
            "upgrade it, or choose another --out"
        )
    return entry


def replay(path: Path) -> tuple[Fold, int]:
    """The fold of the ledger at `path`, and the length in bytes of its sound part.

    A torn last line is left out. Raises LedgerError for damage with sound lines after it: that is no torn tail, and
    dropping what follows would forget finished work.
    """
    fold, sound = Fold(), 0
    for entry, line in _entries(path):
        fold.apply(entry)
        sound += len(line)
    return fold, sound


def catch_up(fold: IndexedFold, path: Path) -> None:
    """Apply what the ledger holds beyond the fold's cover, and commit it; raises like `replay`, and sqlite3.Error.

    Few of the states are in memory at a time.
    """
    lines: list[bytes] = []
    with fold.store.bulk() as make_durable:
        for entry, line in _entries(path, fold.cover.end, fold.cover.lines):
            fold.apply(entry)
            lines.append(line)
            if len(lines) >= 4 * COMMIT:
                fold.cover = fold.cover.longer(lines)
                lines.clear()
                fold.commit()
                if fold.cover.lines % DURABLE < 4 * COMMIT:
                    make_durable()
        fold.cover = fold.cover.longer(lines)
        fold.states.unheard = None
        if lines:
            fold.commit()


def _apply_rest(fold: IndexedFold, path: Path) -> None:
    """The same, in memory alone."""
    lines: list[bytes] = []
    for entry, line in _entries(path, fold.cover.end, fold.cover.lines):
        fold.apply(entry)
        lines.append(line)
    fold.cover = fold.cover.longer(lines)


def open_indexed(path: Path, index: Path) -> IndexedFold:
    """The fold of the ledger at `path`, out of the index as far as that goes; the index is brought up to date.

    An index that is not of this ledger's past, or damaged, is made anew; where no file can be made of it at all it is
    temporary, and the next run has to read the ledger again. Raises LedgerError like `replay`.
    """
    import sqlite3

    for _ in range(2):
        try:
            fold = _caught_up(Store.open(index), path)
            if fold is not None:
                return fold
        except (sqlite3.Error, IndexDamaged):
            pass
        remove(index)
    return _from_the_start(path)


def look(path: Path, index: Path) -> IndexedFold:
    """The same for those who only look: nothing is written, and a run may be going on."""
    import sqlite3

    try:
        fold = _caught_up(Store.look(index), path, commit=False)
    except (sqlite3.Error, IndexDamaged):
        fold = None
    return fold or _from_the_start(path)


def _from_the_start(path: Path) -> IndexedFold:
    fold = _caught_up(Store.temporary(), path)
    assert fold is not None  # noqa: S101  # a cover of nothing holds
    return fold


def _caught_up(store: Store, path: Path, *, commit: bool = True) -> IndexedFold | None:
    """The fold in an index and what has come since; None if it covers what the ledger does not begin with."""
    try:
        fold = IndexedFold(store)
        try:
            holds = fold.cover.holds(path)
        except OSError as error:
            raise LedgerError(f"{path}: can't be read: {error.strerror or error}") from error
        if holds:
            (catch_up if commit else _apply_rest)(fold, path)
            return fold
    except BaseException:
        store.close()
        raise
    store.close()
    return None


def _entries(path: Path, start: int = 0, before: int = 0) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The entries with their lines, from the byte `start` on, where `before` lines end."""
    damaged = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            for number, line in enumerate(file, before + 1):
                entry = decode(line, number) if line.endswith(b"\n") else None
                if entry is None:
                    damaged = damaged or number
                elif damaged:
                    raise LedgerError(
                        f"{path}: line {damaged} is damaged, and whole lines follow it; restore it from a backup, "
                        f"or delete line {damaged} if you know what it said"
                    )
                else:
                    yield entry, line
    except FileNotFoundError:
        return
    except OSError as error:
        raise LedgerError(f"{path}: can't be read: {error.strerror or error}") from error


class Ledger:
    """The open ledger of one run: `async with Ledger(path) as ledger`, then `append`.

    `fold` always holds what is on disk, no more.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None, index: Path | None = None) -> None:
        """`index`: where the fold is kept between runs; without it all of it is in memory."""
        self.path = path
        self.fold = Fold()
        self.indexed: IndexedFold | None = None
        """The same fold, where it is kept in an index."""
        self._index = index
        self._reading: Reading | None = None
        self._committing = anyio.Lock()
        self._due = anyio.Event()
        self._clock = clock or Clock()
        self._fd = -1
        self._flushed = GroupCommit(self._flush)
        self._broken: BatchError | None = None

    async def __aenter__(self) -> Self:
        if self._index is None:
            self.fold, sound = await anyio.to_thread.run_sync(replay, self.path)
            await anyio.to_thread.run_sync(self._open, sound)
        else:
            # What the index says must not be ahead of what a power cut would leave of the ledger.
            await anyio.to_thread.run_sync(self._open, None)
            try:
                self.fold = self.indexed = await anyio.to_thread.run_sync(open_indexed, self.path, self._index)
                await anyio.to_thread.run_sync(self._open, self.indexed.cover.end)
            except BaseException:
                self._close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.commit()
        self._close()

    def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
        if self.indexed is not None:
            self.indexed.store.close()
        os.close(self._fd)
        self._fd = -1

    def reading(self) -> Reading:
        """What a run over the index is to tell what it reads; there is one at a time."""
        assert self.indexed is not None  # noqa: S101  # narrows the type; a run keeps an index
        self._reading = Reading(self.indexed)
        return self._reading

    async def commit(self) -> None:
        """Take what has changed to the index; where that fails it stays in memory, and is in the ledger anyway."""
        if self.indexed is not None:
            async with self._committing:
                await self._commit(self.indexed)

    async def _commit(self, fold: IndexedFold) -> bool:
        fold.cover = fold.cover.stamped(os.fstat(self._fd))
        batch, written = fold.begin_commit(), False
        try:
            with anyio.CancelScope(shield=True):
                written = await anyio.to_thread.run_sync(_written, fold, batch)
        finally:
            fold.end_commit(batch, written=written)
        return written

    @asynccontextmanager
    async def still(self) -> AsyncIterator[IndexedFold]:
        """The fold as it is now, to be read in a thread for the length of the block; the run goes on meanwhile."""
        assert self.indexed is not None  # noqa: S101  # narrows the type; a run keeps an index
        async with self._committing:
            written = await self._commit(self.indexed)
            pinned = await anyio.to_thread.run_sync(self.indexed.store.pinned) if written else None
            if pinned is None:  # no commit may come between, and what changes meanwhile has to stay in memory
                yield self.indexed.frozen()
                return
        try:
            yield IndexedFold(pinned)
        finally:
            pinned.close()

    async def keep_index(self) -> None:
        """Commit whenever enough has changed; for ever."""
        while True:
            await self._due.wait()
            self._due = anyio.Event()
            await self.commit()

    async def append(self, event: str, **fields: Any) -> None:
        """Put an entry on disk; returns once it is durable. Where the caller is cancelled, it is written all the same.

        Raises DiskError where it can't be written; the ledger then takes no further entries, since the run could no
        longer say what it did.
        """
        entry = _entry(event, fields, self._clock.wall())
        await self._flushed((_line(entry), entry))

    async def _flush(self, group: list[tuple[bytes, dict[str, Any]]]) -> Sequence[None]:
        if self._broken is not None:
            raise self._broken
        try:
            await anyio.to_thread.run_sync(self._write, [line for line, _ in group])
        except BatchError as error:
            self._broken = error
            raise
        for _, entry in group:
            self.fold.apply(entry)
        if self.indexed is not None:
            self.indexed.cover = self.indexed.cover.longer([line for line, _ in group])
            if len(self.indexed.states.live) >= COMMIT:
                self._due.set()
        return [None] * len(group)

    def _open(self, sound: int | None) -> None:
        """Open the file, and cut it after `sound` bytes, where that is known; all that is left is durable."""
        with disk_errors(self.path):
            if self._fd == -1:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            if sound is not None and os.fstat(self._fd).st_size > sound:
                os.ftruncate(self._fd, sound)
            os.fsync(self._fd)
        fsync_dir(self.path.parent)

    def _write(self, lines: list[bytes]) -> None:
        with disk_errors(self.path):
            if os.fstat(self._fd).st_nlink == 0:
                # Removed, with its folder or alone: what is written now would be found by nobody.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            for line in lines:
                if os.write(self._fd, line) != len(line):
                    # A short write means that the disk is full; the next write would say so, after a torn line.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)


def _written(fold: IndexedFold, batch: Batch) -> bool:
    import sqlite3

    try:
        fold.write(batch)
    except sqlite3.Error:
        return False
    return True
