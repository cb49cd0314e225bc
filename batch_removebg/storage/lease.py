"""One driver for each prefix of a bucket: a lease, renewed by compare-and-swap, whose epoch grows with each taker.

Nothing but durations of our own clock decides: a holder reckons from before it asked for its last renewal, a taker from
when it first saw it. So a holder knows that its time is over before anybody else may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple
from uuid import uuid4

import anyio
import msgspec
from msgspec import json
from msgspec.structs import replace

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    ConnectionFailed,
    LockedError,
    RetryError,
    SettingsError,
    SourceError,
    StorageDown,
    Taken,
)

from .objects import Store

SECONDS = (
    240.0  # how long a lease holds: storage may be away for a minute, and what is sent in the rest comes to an end
)
_LONGEST = 1 << 16
_RACES = 5
_AGAIN = 1.0  # seconds after which a renewal that failed is tried again; for as long as the lease holds


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a lease says of its holder."""

    owner: str  # of a state folder: another process that holds its lock is the same owner
    host: str
    pid: int
    epoch: int = 0
    seconds: float = SECONDS
    turn: str = ""  # another one for each renewal
    free: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.owner else "nobody"


NOBODY = Held("", "", 0, free=True)


class Seen(NamedTuple):
    """A renewal of somebody's, and when it was first seen, by our own clock."""

    etag: str
    since: float


def decide(
    theirs: Held, etag: str | None, owner: str, seen: Seen | None, now: float
) -> Literal["take", "wait", "held"]:
    """What follows from a lease: it is free or was ours, may yet be renewed, or just was.

    `seen`: what was there at the first look.
    """
    if theirs.free or theirs.owner == owner:
        return "take"
    if seen is None:
        return "wait"
    if seen.etag != etag:
        return "held"
    return "take" if now - seen.since >= theirs.seconds else "wait"


class Lease:
    """The lease at `key`, for `me`."""

    def __init__(self, store: Store, key: str, me: Held, clock: Clock) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._me, self._since, self._lost = me, 0.0, False
        self._etag: str | None = None

    @property
    def epoch(self) -> int:
        """How many have held it, up to us."""
        return self._me.epoch

    def left(self) -> float:
        """Seconds for which nobody else can have it."""
        return -1.0 if self._lost else self._since + self._me.seconds - self._clock.monotonic()

    def check(self) -> None:
        """Raise StorageDown where a request that is sent now might be answered after its time."""
        if self.left() < self._me.seconds / 3:
            raise StorageDown(f"{self._key}: the lease on the bucket can't be renewed, so nothing more is bought")

    async def take(self, waiting: Callable[[str], None]) -> None:
        """Take it; `waiting` is told why that takes a while. Raises LockedError, which names another who has it.

        Raises SettingsError where the store lets two have it.
        """
        await self._probe()
        seen: Seen | None = None
        while True:
            theirs, etag = await self._read()
            step = decide(theirs, etag, self._me.owner, seen, self._clock.monotonic())
            if step == "held":
                raise LockedError(
                    f"{self._key} is held by another run ({theirs}); wait for it, or choose another --out"
                )
            if step == "take":
                if await self._write(epoch=theirs.epoch + 1, over=etag):
                    return
                seen = None
                continue
            if seen is None and etag is not None:
                seen = Seen(etag, self._clock.monotonic())
                waiting(f"{theirs} holds {self._key}: waiting for up to {theirs.seconds:g} s to see whether it goes on")
            await self._clock.sleep(theirs.seconds / 6)

    async def keep(self) -> None:
        """Renew it again and again; raises LockedError once another has it, StorageDown where its time runs out."""
        while True:
            await self._clock.sleep(max(0.0, self._since + self._me.seconds / 3 - self._clock.monotonic()))
            try:
                with anyio.fail_after(self._me.seconds / 6):
                    kept = await self._write(epoch=self.epoch, over=self._etag)
            except (RetryError, TimeoutError):
                self.check()
                await self._clock.sleep(_AGAIN)
                continue
            if not kept:
                self._lost = True
                raise LockedError(f"{self._key} isn't ours any more: {(await self._read())[0]} has it")

    async def give_up(self) -> None:
        """Leave it to the next one, who needn't wait."""
        if self.left() > 0:
            await self._write(epoch=self.epoch, over=self._etag, free=True)
        self._lost = True

    async def _write(self, *, epoch: int, over: str | None, free: bool = False) -> bool:
        """Write it over what is known to be there; False where another was quicker."""
        begun, mine = self._clock.monotonic(), replace(self._me, epoch=epoch, turn=uuid4().hex, free=free)
        for _ in range(_RACES):
            etag: str | None
            try:
                etag = await self._store.put(self._key, json.encode(mine), media="application/json", over=over)
            except (Taken, SourceError):  # the latter where there is none any more
                theirs, etag = await self._read()
                if replace(theirs, turn=mine.turn, free=free) != mine:
                    return False
                if theirs.turn != mine.turn:
                    over = etag  # of an earlier try, whose answer was lost; who looks reckons from that
                    continue
            self._me, self._etag, self._since = mine, etag, begun
            return True
        raise ConnectionFailed(f"{self._key} can't be written: others try to at the same time")

    async def _read(self) -> tuple[Held, str | None]:
        try:
            data, stored = await self._store.get(self._key, _LONGEST)
            return json.decode(data, type=Held), stored.etag
        except (msgspec.DecodeError, SourceError) as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return NOBODY, None
            raise SettingsError(f"{self._key} is no lease ({error}); choose another --out") from error

    async def _probe(self) -> None:
        """Raise SettingsError where a store doesn't keep the conditions of a put."""
        key, found = f"{self._key}.{uuid4().hex}", list[bytes]()
        try:
            first = await self._store.put(key, b"0", over=None)
            for data, over in ((b"1", None), (b"2", first), (b"3", first)):
                try:
                    await self._store.put(key, data, over=over)
                    found.append(data)
                except Taken:
                    pass
        finally:
            await self._store.delete(key)
        if found != [b"2"]:
            raise SettingsError(f"{self._key}: this store has no conditional puts, so two runs could have it at a time")
