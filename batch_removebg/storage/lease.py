"""One driver for each prefix of a bucket: a lease, renewed by compare-and-swap, whose epoch grows with each taker.

Nothing but durations of our own clock decides: a holder reckons from before it asked for its last renewal, a taker from
when it first saw it. So a holder knows that its time is over before anybody else may.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Literal
from uuid import uuid4

import anyio
import msgspec
from msgspec.structs import replace

from batch_removebg import errors
from batch_removebg.clock import Clock

from .objects import Store

SECONDS = 240.0  # how long it holds: storage may be away for a minute, and what is sent in the last third ends in time
_RACES = 5
_AGAIN = 1.0  # seconds after which a renewal that failed is tried again


class Held(msgspec.Struct, frozen=True):
    """What a lease says of its holder."""

    owner: str = ""  # a state folder, whose lock tells its processes apart
    who: str = "nobody"
    epoch: int = 0
    seconds: float = SECONDS
    turn: str = ""  # another one for each renewal
    free: bool = True


def decide(
    theirs: Held, etag: str | None, owner: str, first: tuple[str | None, float] | None, now: float
) -> Literal["take", "wait", "held"]:
    """What follows from a lease: it is free or was ours, may yet be renewed, or just was.

    `first`: the etag at the first look, and when that was.
    """
    if theirs.free or theirs.owner == owner:
        return "take"
    if first is None:
        return "wait"
    if first[0] != etag:
        return "held"
    return "take" if now - first[1] >= theirs.seconds else "wait"


class Lease:
    """The lease at `key`, for `me`; its methods raise RetryError while storage is away."""

    def __init__(self, store: Store, key: str, me: Held, clock: Clock) -> None:
        self._store, self._key, self._clock = store, key, clock
        self.me, self._since = me, -inf
        self._etag: str | None = None

    def left(self) -> float:
        """Seconds for which nobody else can have it."""
        return self._since + self.me.seconds - self._clock.monotonic()

    def check(self, share: float = 1 / 3) -> None:
        """Raise StorageDown where less than this share is left: the answer to what is sent may come after its time."""
        if self.left() <= self.me.seconds * share:
            raise errors.StorageDown(f"{self._key}: the lease can't be renewed, so nothing more is bought")

    async def take(self, waiting: Callable[[str], None]) -> None:
        """Take it; `waiting` is told why that takes a while.

        Raises LockedError, which names another who has it, and SettingsError where the store lets two have it.
        """
        await self._probe()
        first: tuple[str | None, float] | None = None
        while True:
            theirs, etag = await self._read()
            step = decide(theirs, etag, self.me.owner, first, self._clock.monotonic())
            if step == "held":
                raise errors.LockedError(f"{self._key}: {theirs.who} has it; wait for that, or choose another --out")
            if step == "take":
                if await self._write(theirs.epoch + 1, etag):
                    return
                first = None
                continue
            if first is None:
                first = etag, self._clock.monotonic()
                waiting(f"{theirs.who} has {self._key}: whether it still does shows within {theirs.seconds:g} s")
            await self._clock.sleep(theirs.seconds / 6)

    async def keep(self) -> None:
        """Renew it again and again; raises LockedError once another has it, StorageDown where its time runs out."""
        while True:
            await self._clock.sleep(max(0.0, self._since + self.me.seconds / 3 - self._clock.monotonic()))
            try:
                with anyio.fail_after(self.me.seconds / 6):
                    kept = await self._write(self.me.epoch, self._etag)
            except (errors.RetryError, TimeoutError):
                self.check()
                await self._clock.sleep(_AGAIN)
                continue
            if not kept:
                self._since = -inf
                raise errors.LockedError(f"{self._key} isn't ours any more: {(await self._read())[0].who} has it")

    async def give_up(self) -> None:
        """Leave it to the next one, who needn't wait."""
        await self._write(self.me.epoch, self._etag, free=True)
        self._since = -inf

    async def _write(self, epoch: int, over: str | None, *, free: bool = False) -> bool:
        """Write it over what is known to be there; False where another was quicker."""
        begun, mine = self._clock.monotonic(), replace(self.me, epoch=epoch, turn=uuid4().hex, free=free)
        for _ in range(_RACES):
            etag: str | None
            try:
                etag = await self._store.put(self._key, msgspec.json.encode(mine), media="application/json", over=over)
            except (errors.Taken, errors.SourceError):  # the latter where there is none any more
                theirs, etag = await self._read()
                if replace(theirs, turn=mine.turn, free=free) != mine:
                    return False
                if theirs.turn != mine.turn:
                    over = etag  # of an earlier try, whose answer was lost; who looks reckons from that
                    continue
            self.me, self._etag, self._since = mine, etag, begun
            return True
        raise errors.ConnectionFailed(f"{self._key} can't be written: others try to at the same time")

    async def _read(self) -> tuple[Held, str | None]:
        try:
            data, stored = await self._store.get(self._key, 1 << 16)
            return msgspec.json.decode(data, type=Held), stored.etag
        except (msgspec.DecodeError, errors.SourceError) as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return Held(), None
            raise errors.SettingsError(f"{self._key} is no lease ({error}); choose another --out") from error

    async def _probe(self) -> None:
        """Raise SettingsError where a store doesn't keep the conditions of a put."""
        key, found = f"{self._key}.{uuid4().hex}", list[bytes]()
        first = await self._store.put(key, b"0", over=None)
        for data, over in ((b"1", None), (b"2", first), (b"3", first)):
            try:
                await self._store.put(key, data, over=over)
                found.append(data)
            except errors.Taken:
                pass
        with suppress(errors.SettingsError):  # to delete needn't be allowed
            await self._store.delete(key)
        if found != [b"2"]:
            raise errors.SettingsError(f"{self._key}: this store has no conditional puts, so two runs could have it")
