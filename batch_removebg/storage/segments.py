"""The ledger in a bucket: its lines in segments, each put once, only where there is none, under its writer's epoch.

A segment's name is the epoch and the byte of the ledger that it begins with. Where an epoch begins, what earlier ones
have written from that byte on doesn't count: it came after their time. Each tells the SHA-256 of the ledger to its end.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import NamedTuple

import anyio.from_thread
from anyio.to_thread import run_sync

from batch_removebg.clock import Clock
from batch_removebg.errors import LedgerError, LockedError, Taken

from .atomic import disk_errors, write_atomic
from .group_commit import GroupCommit
from .objects import Store, Stored

APART = 1.0  # seconds between two segments at least
_MOST = 8 << 20  # bytes of a segment
_AT_ONCE = 32  # segments that are fetched together


class Segment(NamedTuple):
    """A part of the ledger."""

    epoch: int
    start: int  # bytes of the ledger before it
    size: int
    key: str


def chain(stored: Iterable[Segment]) -> list[Segment]:
    """Those that count, in order; raises LedgerError where one is missing."""
    found, bound, end = list[Segment](), inf, 0
    for one in sorted(stored, reverse=True):
        if one.start < bound:
            found.append(one)
            bound = one.start
    for one in reversed(found):
        if one.start != end:
            raise LedgerError(f"{one.key}: what comes before it is missing in the bucket; choose another --out")
        end += one.size
    return found[::-1]


class Segments:
    """The segments below `prefix`, and the ledger at `path`, which is to be the same."""

    def __init__(self, store: Store, prefix: str, path: Path, clock: Clock) -> None:
        self._store, self._prefix, self._path, self._clock = store, prefix, path, clock
        self._end, self._digest, self._last = 0, hashlib.sha256(), -inf
        self.epoch = 0  # the writer's, once the ledger is known to be the same
        self._put = GroupCommit(self._copy)

    async def fetch(self, epoch: int) -> int:
        """Let the ledger have what it lacks, for a writer of this epoch; how many bytes that is.

        Raises LedgerError where the ledger isn't what the segments are.
        """
        self._digest = hashlib.sha256()
        found = chain(await run_sync(lambda: [*self._listed()]))
        last = await self._store.head(found[-1].key) if found else None
        self._end = found[-1].start + found[-1].size if found else 0
        whole = last.metadata.get("sha256") if last is not None else self._digest.hexdigest()
        have = min(self._end, await run_sync(self._lines))
        parts = self._parts([one for one in found if one.start + one.size > have], have, whole)
        await run_sync(write_atomic, self._path, parts) if have < self._end else await run_sync(list, parts)
        self.epoch = epoch
        return self._end - have

    async def copied(self) -> None:
        """Return once all that the ledger holds now is in the bucket; raises RetryError where it can't be yet.

        Calls share segments, of which there is one a second at most. Raises LockedError where another has written.
        """
        await self._put(None)

    async def _copy(self, calls: list[None]) -> list[None]:
        await self._clock.sleep(max(0.0, self._last + APART - self._clock.monotonic()))
        self._last = self._clock.monotonic()
        while data := await run_sync(self._new):
            key, whole = f"{self._prefix}{self.epoch:08d}-{self._end:016d}.jsonl", self._digest.copy()
            whole.update(data)
            about = {"sha256": whole.hexdigest()}
            try:
                await self._store.put(key, data, media="application/jsonl", metadata=about, over=None)
            except Taken:  # by an earlier try, whose answer was lost, and which may have had less to put
                there = await self._store.head(key)
                data, whole = data[: there.size if there is not None else 0], self._digest.copy()
                whole.update(data)
                if there is None or there.metadata.get("sha256") != whole.hexdigest():
                    raise LockedError(f"{key} was written by another run; wait for that to end") from None
            self._end, self._digest = self._end + len(data), whole
        return calls

    def _new(self) -> bytes:
        """The next lines that aren't in the bucket."""
        with disk_errors(self._path), suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._end)
            data = file.read(_MOST)
            return data[: data.rfind(b"\n") + 1]
        return b""

    def _listed(self) -> Iterator[Segment]:
        for one in (one for page in self._store.listed(self._prefix) for one in page):
            epoch, _, start = one.key[len(self._prefix) :].removesuffix(".jsonl").partition("-")
            if epoch.isdecimal() and start.isdecimal():
                yield Segment(int(epoch), int(start), one.size, one.key)

    def _lines(self) -> int:
        """Bytes of the ledger's whole lines."""
        with disk_errors(self._path), suppress(FileNotFoundError), self._path.open("rb") as file:
            return sum(len(line) for line in file if line.endswith(b"\n"))
        return 0

    def _parts(self, lacking: list[Segment], have: int, whole: str | None) -> Iterator[bytes]:
        """The ledger as far as the segments go, `have` bytes of it from the disk; raises LedgerError at the end."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            while data := file.read(min(_MOST, have - file.tell())):
                self._digest.update(data)
                yield data
        for nth in range(0, len(lacking), _AT_ONCE):
            some = lacking[nth : nth + _AT_ONCE]
            for one, (data, _) in zip(some, anyio.from_thread.run(self._got, some), strict=True):
                self._digest.update(new := data[max(0, have - one.start) :])
                yield new
        if self._digest.hexdigest() != whole:
            raise LedgerError(
                f"{self._path} isn't the ledger that the bucket has: another run has gone on since. Name an empty "
                "folder as --state, into which that one is fetched; the old one stays as it is"
            )

    async def _got(self, some: list[Segment]) -> list[tuple[bytes, Stored]]:
        return await asyncio.gather(*(self._store.get(one.key, one.size) for one in some))
