"""Results in a bucket: its lease is held, and its ledger kept the same as the one in the folder of this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import getnode, uuid4

import anyio
from anyio.to_thread import run_sync

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, RetryError, SettingsError, Taken
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.manifest.shard import Shard
from batch_removebg.net.urls import clean
from batch_removebg.stop import Gate
from batch_removebg.storage import lease, objects
from batch_removebg.storage.atomic import disk_errors, make_folder, write_atomic
from batch_removebg.storage.bucket import Bucket, outlasted
from batch_removebg.storage.layout import BUCKET, CSV, LEASE, LEDGER, RESULTS, STATE
from batch_removebg.storage.lock import locked
from batch_removebg.storage.segments import Segments

from .settings import Settings
from .shards import require_place

_COPIED, _SNAPSHOT = 5.0, 60.0  # seconds between two segments of the ledger, where creates need none, and two snapshots
_LISTINGS = 2  # tries of one, each of which is tried again for minutes
_TRIES = 7  # of what is done at the begin and the end


def named(out: str, state: str | None) -> dict[str, Any]:
    """The settings `out` and `bucket` for a place by its name; raises SettingsError."""
    if not objects.is_object(out):
        if state is not None:
            raise SettingsError(f"--state {state} belongs to an --out in a bucket; {out} is a folder, and keeps it all")
        return {"out": Path(out)}
    if not state:
        raise SettingsError(
            f"--out {clean(out)} needs --state DIR: a folder of this machine for the ledger and bought masks"
        )
    return {"out": Path(state), "bucket": out.rstrip("/")}


def refuse(out: Path, what: str) -> None:
    """Raise SettingsError where the pictures of OUT are in a bucket, for what needs them in a folder."""
    if url := bound_to(out)[0]:
        raise SettingsError(f"{what}: the pictures of {out} are at {url}, and that works on folders only")


def bound_to(out: Path) -> list[str]:
    """The URL of the bucket that a folder belongs to, and the folder's own name there."""
    with disk_errors(out / BUCKET), suppress(FileNotFoundError, NotADirectoryError):
        return (out / BUCKET).read_text("utf-8").split("\n")
    return ["", ""]


@asynccontextmanager
async def opened(
    settings: Settings, clock: Clock, listener: Listener
) -> AsyncIterator[tuple[Settings, InBucket | None]]:
    """The settings of a run whose pictures may go to a bucket, and that, while it is ours.

    Raises SettingsError, LockedError, LedgerError, StorageDown.
    """
    if not settings.bucket:
        refuse(settings.out, f"--out {settings.out}")
        yield settings, None
        return
    for name in filter(partial(getattr, settings), ("hold_flagged", "prune", "start_over")):
        flag = f"--{name.replace('_', '-')}"
        raise SettingsError(f"{flag} works on folders only, and --out is in a bucket: leave it out")
    require_place(settings.out, settings.own_shard)
    await run_sync(make_folder, settings.out / STATE)
    with locked(settings.out / STATE, clock=clock):
        ours = await outlasted(clock.sleep, partial(_begun, settings, clock, listener), _TRIES)
    try:
        async with anyio.create_task_group() as beside:
            beside.start_soon(ours.during, ours.lease.keep)
            with locked(settings.out / STATE, clock=clock):
                fetch = partial(ours.segments.fetch, ours.lease.me.epoch)
                if fetched := await outlasted(clock.sleep, fetch, _TRIES):
                    text = f"goes on with the ledger of {settings.bucket}, of which {fetched} bytes were fetched"
                    listener(Event(Kind.NOTE, text=text))
            beside.start_soon(ours.during, ours.copying)
            yield replace(settings, lasting=replace(settings.lasting, outputs=ours.pictures)), ours
            beside.cancel_scope.cancel()
    except BaseExceptionGroup as raised:  # the block's error, as it was
        raise (error := raised.exceptions[0]) from error.__cause__
    finally:
        with anyio.CancelScope(shield=True):
            await ours.end()


async def _begun(settings: Settings, clock: Clock, listener: Listener) -> InBucket:
    """The bucket once its lease is ours; for who holds the lock of OUT."""
    out, url = settings.out, settings.bucket
    if not (bound := bound_to(out))[0]:
        if (out / LEDGER).exists():
            raise SettingsError(f"--state {out}: the pictures of its ledger lie there; name an empty folder")
        bound = [url, uuid4().hex]
    if bound[0] != url:
        raise SettingsError(f"--state {out} belongs to {bound[0]}; name an empty folder, or one for each --out")
    (store, prefix), host = objects.opened(f"{url}/"), socket.gethostname()
    if problem := objects.object_problem(f"{url}/NAME"):
        raise SettingsError(f"--out {url} {problem}")
    await _require_division(store, prefix, url, settings.own_shard)
    owner = f"{bound[1]}-{(out / STATE).stat().st_ino}-{host}-{getnode():x}"  # a folder that was copied is another
    me = lease.Held(owner, f"process {os.getpid()} on {host}", seconds=lease.SECONDS)
    own = lease.Lease(store, f"{prefix}{LEASE}", me, clock)
    await own.take(lambda text: listener(Event(Kind.NOTE, text=text)))
    await run_sync(write_atomic, out / BUCKET, "\n".join(bound).encode())
    segments = Segments(store, f"{prefix}{STATE}/ledger/", out / LEDGER, clock)
    return InBucket(out, store, f"{prefix}{STATE}/", Bucket(store, prefix), own, segments, clock, listener)


async def _require_division(store: objects.Store, prefix: str, url: str, shard: Shard | None) -> None:
    """Raise SettingsError where OUT is divided otherwise than the run is: see `shards.require_place`."""
    top = prefix if shard is None else prefix.removesuffix(f"{shard.folder}/")
    marker = f"{top}{STATE}/shards"
    if shard is None:
        if await store.head(marker) is not None:
            raise SettingsError(f"{url} holds shards: run them by --shard I/N, or choose another --out")
        return
    if await store.head(f"{top}{LEASE}") is not None:
        raise SettingsError(f"{url.removesuffix(f'/{shard.folder}')} was made without --shard: choose another --out")
    try:
        await store.put(marker, str(shard.of).encode(), over=None)
    except Taken:
        of = (await store.get(marker, 99))[0].decode("ascii", "replace")
        if of != str(shard.of):
            raise SettingsError(f"{url} is a shard of {shard.of}, and that --out has {of}: choose another") from None


@dataclass(eq=False)
class InBucket:
    """A prefix of a bucket, while its lease is ours."""

    out: Path
    store: objects.Store
    prefix: str  # of all but pictures
    pictures: Bucket
    lease: lease.Lease
    segments: Segments
    clock: Clock
    listener: Listener
    _gate: Gate | None = None
    _failure: BatchError | None = None

    async def begin(self, gate: Gate) -> None:
        """Begin one pass of the run, which ends with the lease; raises StorageDown, or what else ends the run."""
        self._gate = gate
        await outlasted(self.clock.sleep, lambda: run_sync(self.pictures.begin, gate), _LISTINGS)
        if self._failure is not None:
            gate.close(self._failure)

    async def may_send(self) -> None:
        """Return once the ledger is in the bucket, too; raises Stopping, or StorageDown where the lease runs out."""
        assert self._gate is not None  # noqa: S101  # a pass has begun
        await outlasted(self._gate.sleep, self.segments.copied)
        if self._failure is not None:  # else a gate that has closed meanwhile keeps nothing back that is on record
            self._gate.check()
        self.lease.check()

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
            self.lease.check(0)
            if self.segments.epoch:
                await self.segments.copied()
                await self._snapshot(RESULTS)
                await self._snapshot(CSV)
            await self.lease.give_up()

        try:
            await outlasted(self.clock.sleep, once, _TRIES if self._failure is None else 1)
        except BatchError as error:
            text = f"the bucket lacks the end of the ledger that {self.out} has: use that as --state ({error})"
            self.listener(Event(Kind.WARNING, text=text))

    async def _snapshot(self, name: str) -> None:
        """Put a file of OUT beside the ledger."""
        with suppress(FileNotFoundError):
            media = {RESULTS: "application/json", CSV: "text/csv"}[name]
            await self.store.put(self.prefix + name, await run_sync((self.out / name).read_bytes), media=media)
