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
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from batch_removebg.clock import Clock, stamp
from batch_removebg.errors import BatchError, LedgerError
from batch_removebg.files import disk_errors, fsync_dir
from batch_removebg.fold import Fold
from batch_removebg.together import Together

NAME = "ledger.jsonl"
FORMAT = 1


def encode(event: str, fields: Mapping[str, Any], *, at: float) -> bytes:
    """One ledger line, newline included: the entry `event` stamped `at` (seconds since 1970)."""
    return _line(_entry(event, fields, at))


def _entry(event: str, fields: Mapping[str, Any], at: float) -> dict[str, Any]:
    return {"v": FORMAT, "t": stamp(at), "event": event, **fields}


# msgspec and orjson were looked at: a hundredth of an image's time, and they refuse names with lone surrogates.
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _line(entry: Mapping[str, Any]) -> bytes:
    return _as_json(entry).encode("utf-8", "backslashreplace") + b"\n"


def decode(line: bytes, number: int) -> dict[str, Any] | None:
    """The entry on a line, or None where the line is damaged.

    Raises LedgerError for a line written by a newer format than this program knows.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    version = entry.get("v")
    if not isinstance(version, int) or isinstance(version, bool):
        return None
    if version > FORMAT:
        raise LedgerError(
            f"{NAME}, line {number}: written in format {version}, and this batch-removebg knows up to {FORMAT}; "
            "upgrade it, or choose another --out"
        )
    return entry


def replay(path: Path) -> tuple[Fold, int]:
    """The fold of the ledger at `path`, and the length in bytes of its sound part.

    A torn last line is left out. Raises LedgerError for damage with sound lines after it: that is no torn tail, and
    dropping what follows would forget finished work.
    """
    fold, sound = Fold(), 0
    for entry, end in _entries(path):
        fold.apply(entry)
        sound = end
    return fold, sound


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    end, damaged = 0, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                entry = decode(line, number) if line.endswith(b"\n") else None
                if entry is None:
                    damaged = damaged or number
                elif damaged:
                    raise LedgerError(
                        f"{path}: line {damaged} is damaged, and whole lines follow it; restore it from a backup, "
                        f"or delete line {damaged} if you know what it said"
                    )
                else:
                    yield entry, end + len(line)
                end += len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LedgerError(f"{path}: can't be read: {error.strerror or error}") from error


class Ledger:
    """The open ledger of one run: `async with Ledger(path) as ledger`, then `append`.

    `fold` always holds what is on disk, no more.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.path = path
        self.fold = Fold()
        self._clock = clock or Clock()
        self._fd = -1
        self._flushed = Together(self._flush)
        self._broken: BatchError | None = None

    async def __aenter__(self) -> Self:
        self.fold, sound = await anyio.to_thread.run_sync(replay, self.path)
        await anyio.to_thread.run_sync(self._open, sound)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._fd = -1

    async def append(self, event: str, **fields: Any) -> None:
        """Put an entry on disk; returns once it is durable, and can't be cancelled half-way.

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
        return [None] * len(group)

    def _open(self, sound: int) -> None:
        with disk_errors(self.path):
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            if os.fstat(self._fd).st_size > sound:
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
