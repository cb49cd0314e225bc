"""Where the pictures of a run go: to OUT itself, or to a bucket, with OUT as a folder of what the run remembers."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread
import msgspec

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, LedgerError, RetryError, SettingsError, StorageDown
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.model import CreateRequest, Prediction, Provider
from batch_removebg.providers.base import Wrapper
from batch_removebg.stop import Gate
from batch_removebg.storage import lease, objects
from batch_removebg.storage.atomic import disk_errors, make_folder, write_atomic
from batch_removebg.storage.bucket import Bucket
from batch_removebg.storage.layout import BUCKET, CSV, LEDGER, RESULTS, STATE
from batch_removebg.storage.lock import locked
from batch_removebg.storage.outputs import Folder, Outputs
from batch_removebg.storage.segments import Segments

from .settings import Settings

_COPIED, _SNAPSHOT = 5.0, 60.0  # seconds between two segments of the ledger, where creates need none, and two snapshots
_TRIES, _LONGEST = 6, 30.0  # of what is to be done at the end, and the longest wait in between
T = TypeVar("T")
_REFUSED = {"hold_flagged": "--hold-flagged", "prune": "--prune", "start_over": "--start-over"}


class Bound(msgspec.Struct, frozen=True):
    """What a state folder says of the bucket that it belongs to."""

    url: str
    owner: str
    v: int = 1


def named(out: str, state: str | None) -> dict[str, Any]:
    """The settings `out` and `bucket` for a place by its name; raises SettingsError."""
    if not objects.is_object(out):
        if state is not None:
            raise SettingsError(f"--state {state} belongs to an --out in a bucket; {out} is a folder, and keeps it all")
        return {"out": Path(out)}
    if not state:
        raise SettingsError(f"--out {out} needs --state DIR: a folder of this machine for the ledger and bought masks")
    return {"out": Path(state), "bucket": out.rstrip("/")}


def refuse(out: Path, what: str) -> None:
    """Raise SettingsError where the pictures of OUT are in a bucket, for what needs them in a folder."""
    if (bound := _bound(out)) is not None:
        raise SettingsError(f"{what}: the pictures of {out} are at {bound.url}; that works on folders only")


def _bound(out: Path) -> Bound | None:
    try:
        return msgspec.json.decode((out / BUCKET).read_bytes(), type=Bound)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise LedgerError(f"{out / BUCKET} can't be read ({error}); name another folder") from error


@dataclass(eq=False)
class Place:
    """OUT itself."""

    out: Path

    def outputs(self, gate: Gate) -> Outputs:
        """Where the pictures are, for one pass of a run."""
        return Folder(self.out)

    def guarded(self, provider: Provider, gate: Gate) -> Provider:
        """The provider, which asks before each create whether it may be sent."""
        return provider


@asynccontextmanager
async def opened(settings: Settings, clock: Clock, listener: Listener) -> AsyncIterator[Place]:
    """The place for the length of the block; raises SettingsError, LockedError, LedgerError, and StorageDown."""
    if not settings.bucket:
        refuse(settings.out, f"--out {settings.out}")
        yield Place(settings.out)
        return
    for name, flag in _REFUSED.items():
        if getattr(settings, name):
            raise SettingsError(f"{flag} works on folders only, and --out is in a bucket: leave it out")
    await anyio.to_thread.run_sync(make_folder, settings.out / STATE)
    try:
        with locked(settings.out / STATE, clock=clock):
            place = await _patiently(clock, lambda: _begun(settings, clock, listener))
    except RetryError as error:
        raise StorageDown(f"{error}; run the same command again") from error
    failure: Exception | None = None
    async with anyio.create_task_group() as beside:
        beside.start_soon(place.during, place.lease.keep)
        beside.start_soon(place.during, place.copying)
        try:
            yield place
        except Exception as error:  # noqa: BLE001  # raised below: a task group would wrap it
            failure = error
        beside.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await place.end()
    if failure is not None:
        raise failure


async def _patiently(clock: Clock, once: Callable[[], Awaitable[T]]) -> T:
    """The result of what is tried again a few times."""
    for tries in range(1, _TRIES):
        with suppress(RetryError):
            return await once()
        await clock.sleep(min(_LONGEST, 2.0**tries))
    return await once()


async def _begun(settings: Settings, clock: Clock, listener: Listener) -> InBucket:
    """The place once its lease is ours and the ledger is what the bucket has; for who holds the lock of OUT."""
    out, bound = settings.out, _bound(settings.out)
    if bound is None:
        if (out / LEDGER).exists():
            raise SettingsError(f"--state {out}: the pictures of its ledger lie there; name an empty folder")
        bound = Bound(settings.bucket, uuid4().hex)
        await anyio.to_thread.run_sync(write_atomic, out / BUCKET, msgspec.json.encode(bound))
    if bound.url != settings.bucket:
        raise SettingsError(f"--state {out} belongs to {bound.url}; name an empty folder, or one for each --out")
    store, prefix = objects.opened(f"{settings.bucket}/")
    with disk_errors(out / STATE):  # a folder that was copied is another owner
        inode = (out / BUCKET).stat().st_ino
    me = lease.Held(
        f"{bound.owner}-{inode}-{socket.gethostname()}", socket.gethostname(), os.getpid(), seconds=lease.SECONDS
    )
    note: Callable[[str], None] = lambda text: listener(Event(Kind.NOTE, text=text))  # noqa: E731
    own = lease.Lease(store, f"{prefix}{STATE}/lease.json", me, clock)
    await own.take(note)
    segments = Segments(store, f"{prefix}{STATE}/ledger/", out / LEDGER, clock)
    try:
        if fetched := await segments.fetch(own.epoch):
            note(f"goes on with the ledger of {settings.bucket}, of which {fetched} bytes were fetched")
    except BaseException:
        with anyio.CancelScope(shield=True), suppress(BatchError):
            await own.give_up()
        raise
    return InBucket(out, store, prefix, own, segments, clock, listener)


@dataclass(eq=False)
class InBucket(Place):
    """A prefix of a bucket, while its lease is ours."""

    store: objects.Store
    prefix: str
    lease: lease.Lease
    segments: Segments
    clock: Clock
    listener: Listener
    _gate: Gate | None = None
    _failure: BatchError | None = None

    def outputs(self, gate: Gate) -> Outputs:
        """See Place."""
        self._gate = gate
        if self._failure is not None:
            gate.close(self._failure)
        return Bucket(self.store, self.prefix, gate)

    def guarded(self, provider: Provider, gate: Gate) -> Provider:
        """See Place; what is billed waits until its line in the ledger is in the bucket, too."""
        billed = provider.capabilities.billed

        async def may() -> None:
            wait = 1.0
            while billed:
                try:
                    await self.segments.copied()
                    break
                except RetryError:
                    await gate.sleep(wait)
                    wait = min(_LONGEST, 2 * wait)
            gate.check()
            self.lease.check()

        return _Asking(provider, may)

    async def during(self, task: Callable[[], Awaitable[None]]) -> None:
        """Carry out a task beside the run; what ends it stops the run."""
        try:
            await task()
        except BatchError as error:
            self._failure = self._failure or error
            if self._gate is not None:
                self._gate.close(error)

    async def copying(self) -> None:
        """Copy the ledger, and now and then the snapshot of its results."""
        due = self.clock.monotonic() + _SNAPSHOT
        while True:
            await self.clock.sleep(_COPIED)
            with suppress(RetryError):
                await self.segments.copied()
                if (begun := self.clock.monotonic()) >= due:
                    await self._snapshot(RESULTS)
                    due = begun + max(_SNAPSHOT, 20 * (self.clock.monotonic() - begun))  # a large one more rarely

    async def end(self) -> None:
        """Copy all that is left, and leave the lease to the next run; tells of what can't be."""

        async def once() -> None:
            if self.lease.left() > 0:
                await self.segments.copied()
                for name in (RESULTS, CSV):
                    await self._snapshot(name)
                await self.lease.give_up()

        try:
            await _patiently(self.clock, once)
        except BatchError as error:
            text = f"the bucket lacks the end of the ledger that {self.out} has: use that as --state ({error})"
            self.listener(Event(Kind.WARNING, text=text))

    async def _snapshot(self, name: str) -> None:
        """Put a file of OUT beside the ledger."""
        with suppress(FileNotFoundError):
            data = await anyio.to_thread.run_sync((self.out / name).read_bytes)
            media = "application/json" if name == RESULTS else "text/csv"
            await self.store.put(f"{self.prefix}{STATE}/{name}", data, media=media)


@dataclass(eq=False)
class _Asking(Wrapper):
    """Asks before each create whether it may be sent."""

    may: Callable[[], Awaitable[None]]

    async def create(self, request: CreateRequest) -> Prediction:
        """Create; raises what `may` does."""
        await self.may()
        return await self.inner.create(request)
