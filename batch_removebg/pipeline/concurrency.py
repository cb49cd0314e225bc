"""How many items are in flight: as many as keep the server's limit busy.

Where the limit is known, Little's law gives the number: rate × time in flight, plus a margin for chance. Where it
isn't, the number doubles as long as items take no longer than before, which doubles the throughput; where they take
longer, the server is at its limit, and the doubling is undone. Trouble on the server shrinks the number.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from batch_removebg.clock import Clock

START = 32
CAP = 256
_LEAST = 8
_KEPT = 64  # items over which the time in flight is averaged
_LATER = 1.4  # growth of the time in flight at which a doubling is undone
_SHRINK, _REST = 0.7, 5.0  # factor that trouble applies to the number, and seconds until more trouble counts
_MUCH, _RECENT = 0.25, 0.05
"""Share of failures that counts as trouble, and weight of the latest outcome in it: a server that loses an answer now
and then has as much room as before."""
_RETRY = 10  # generations until doubling is tried again; one is as many items as are in flight


class Concurrency:
    """The number of items in flight: `fixed`, or found from what is recorded here. Pure: the time is an argument."""

    def __init__(self, *, fixed: int | None = None, cap: int = CAP) -> None:
        self.cap = fixed if fixed is not None else cap
        self._fixed = fixed is not None
        self._found = float(min(START, self.cap))  # the number while no limit is known
        self._in_flight: dict[int, float] = {}
        self._ids = 0
        self._items = self._span = self._waited = 0.0
        self._changed_at = self._rest_until = -math.inf
        self._generation: list[float] = []  # seconds in flight of the items begun since the number last changed
        self._before = math.inf  # their mean before the last doubling
        self._failing = 0.0  # share of failures among the latest outcomes
        self._rests = 0  # generations until the next doubling

    def began(self, now: float) -> int:
        """Record that an item goes into flight; the number returned names it."""
        self._ids += 1
        self._in_flight[self._ids] = now
        return self._ids

    def waited(self, seconds: float) -> None:
        """Record that the rate limit held an item back for so long: that doesn't count as in flight."""
        self._waited += seconds

    def ended(self, number: int, now: float, *, bought: bool = True) -> None:
        """Record that an item has ended; one for which nothing was bought says nothing about the time in flight."""
        begun = self._in_flight.pop(number, now)
        if not bought:
            return
        if self._items >= _KEPT:
            keep = 1 - 1 / _KEPT
            self._items, self._span, self._waited = self._items * keep, self._span * keep, self._waited * keep
        self._items, self._span = self._items + 1, self._span + now - begun
        if begun >= self._changed_at and now >= self._rest_until:
            self._generation.append(now - begun)
            if len(self._generation) >= max(_LEAST, self._found):
                self._judge(now)

    def answered(self) -> None:
        """Record that the server answered a call."""
        self._failing *= 1 - _RECENT

    def trouble(self, now: float) -> None:
        """Record a failure of the server; many shrink the number, once for all that fail together."""
        self._failing += _RECENT * (1 - self._failing)
        if self._failing >= _MUCH and now >= self._rest_until:
            self._become(max(1.0, self._found * _SHRINK), now)
            self._rest_until, self._before, self._rests = now + max(_REST, self.mean), math.inf, 1

    @property
    def mean(self) -> float:
        """Mean seconds in flight of the latest items."""
        return max(0.0, self._span - self._waited) / self._items if self._items else 0.0

    def target(self, now: float, rate: float | None) -> int:
        """Items to have in flight; `rate`: creates a second that the limit allows, None where that isn't known."""
        if self._fixed:
            return self.cap
        if rate is None:
            return max(1, min(self.cap, int(self._found)))
        # Items still in flight count with their age: a slow model shows before its first result.
        ages = sum(now - begun for begun in self._in_flight.values())
        young = ages / len(self._in_flight) if self._in_flight else 0.0
        busy = rate * max(self.mean, young if self._items < _KEPT else 0.0)
        least = _LEAST if self._items >= START else START
        wanted = max(least, math.ceil(1.1 * busy + 3 * math.sqrt(busy)) + 2)
        if now < self._rest_until:
            wanted = min(wanted, int(self._found))
        return max(1, min(self.cap, wanted))

    def _judge(self, now: float) -> None:
        """At the end of a generation, see whether more in flight only makes each take longer."""
        mean = sum(self._generation) / len(self._generation)
        if mean > _LATER * self._before:
            self._become(max(float(_LEAST), self._found / 2), now)
            self._before, self._rests = math.inf, _RETRY
        elif self._rests:
            self._generation.clear()
            self._rests -= 1
        else:
            self._before = mean
            self._become(min(float(self.cap), self._found * 2), now)

    def _become(self, found: float, now: float) -> None:
        self._found, self._changed_at = found, now
        self._generation.clear()


class Slots:
    """Slots for workers, as many as `concurrency` says."""

    def __init__(
        self,
        concurrency: Concurrency,
        rate: Callable[[], float | None],
        clock: Clock,
        most: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`rate`: creates a second that the limit allows, None where it isn't known; `most`: slots there is use for."""
        self.concurrency = concurrency
        self._rate, self._most = rate, most
        self._clock = clock
        self._limiter = anyio.CapacityLimiter(self._target())

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[], bool]]:
        """Hold a slot; yields a function that says whether it may be kept, since the number may have shrunk."""
        async with self._limiter:
            yield lambda: self._limiter.borrowed_tokens <= self._limiter.total_tokens

    async def adapt(self, every: float) -> None:
        """Adapt the number of slots, for ever; more and more rarely while it stays the same."""
        wait = every
        while True:
            target = self._target()
            wait = every if target != self._limiter.total_tokens else min(2 * wait, 16 * every)
            self._limiter.total_tokens = target
            await self._clock.sleep(wait)

    def _target(self) -> float:
        return min(self.concurrency.target(self._clock.monotonic(), self._rate()), self._most())
