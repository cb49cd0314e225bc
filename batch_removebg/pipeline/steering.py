"""As many workers work at a time as keep the server's limit busy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio

from batch_removebg.clock import Clock

from .concurrency import Concurrency


@dataclass(slots=True)
class Flight:
    """An item that a worker has taken up."""

    bought: bool = False
    """A prediction was bought for it: what bought nothing says nothing about how long an item is in flight."""


class Steering:
    """Slots for workers, as many as `width` finds to be right."""

    def __init__(self, width: Concurrency, rate: Callable[[], float | None], clock: Clock) -> None:
        """`rate`: creates a second that are let through, where that is known."""
        self.width = width
        self._rate = rate
        self._clock = clock
        self._slots = anyio.CapacityLimiter(width.target(clock.monotonic(), rate()))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[], bool]]:
        """Hold a slot; gives the question whether it may be kept, since there may be fewer of them meanwhile."""
        async with self._slots:
            yield lambda: self._slots.borrowed_tokens <= self._slots.total_tokens

    @contextmanager
    def in_flight(self) -> Iterator[Flight]:
        """Count an item as in flight for the length of the block."""
        number, flight = self.width.began(self._clock.monotonic()), Flight()
        try:
            yield flight
        finally:
            (self.width.ended if flight.bought else self.width.dropped)(number, self._clock.monotonic())

    async def steer(self, every: float) -> None:
        """Adapt the number of slots, for ever; a look that changes nothing makes the next one rarer."""
        wait = every
        while True:
            target = self.width.target(self._clock.monotonic(), self._rate())
            wait = every if target != self._slots.total_tokens else min(2 * wait, 16 * every)
            self._slots.total_tokens = target
            await self._clock.sleep(wait)
