"""Creates no faster than the account allows, without being told the limit.

A token bucket; a 429 pauses it for the time the server names, and then spaces creates by at least that time, or more
if that was not enough; every create that is let through narrows the spacing a little, until the next 429 tells where
the limit lies. A tenth of all creates at most is refused so. aiolimiter was looked at: it has no way to be slowed from
outside.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from batch_removebg.errors import RateLimited
from batch_removebg.model import CreateRequest, Prediction, Provider

from .wrapper import Wrapper

_WIDER = 1.2
"""What a 429 makes of the spacing."""
_NARROWER = 0.98
"""What a success makes of it: it takes nine to undo one 429."""
_NONE_LEFT = 0.05
"""Seconds of spacing that are not worth keeping."""
_CLOCK = 1e-6
"""Seconds that clocks can't tell apart."""


@dataclass(slots=True)
class TokenBucket:
    """Decides when the next create may go; pure, the time is an argument.

    `per_second` is None for no limit of our own.
    """

    per_second: float | None = None
    burst: float = 1.0
    """Creates that may go at once after a rest; a server's own burst may be as small as one."""
    longest_pause: float = 120.0
    """Seconds; a server that asks for more is asked again after this."""
    _due: float = field(default=0.0, init=False)
    """When the creates so far would have used up their time at `per_second`."""
    _paused_until: float = field(default=0.0, init=False)
    _spacing: float = field(default=0.0, init=False)
    _last: float = field(default=-math.inf, init=False)

    def take(self, now: float) -> float:
        """Take a token and return 0; or take none, and return the seconds until it is worth asking again."""
        interval = 1 / self.per_second if self.per_second is not None else 0.0
        wait = max(self._paused_until, self._last + self._spacing, self._due - (self.burst - 1) * interval) - now
        if wait > _CLOCK:
            return wait
        self._due = max(self._due, now) + interval
        self._last = now
        return 0.0

    def rejected(self, now: float, retry_after: float | None) -> None:
        """Take a 429 in: pause, and go more slowly after it."""
        pause = min(self.longest_pause, 5.0 if retry_after is None else max(0.1, retry_after))
        # What was sent together is rejected together: only the first says something about the spacing.
        wider = self._spacing if now < self._paused_until else self._spacing * _WIDER
        self._spacing = min(self.longest_pause, max(wider, pause))
        self._paused_until = max(self._paused_until, now + pause)

    def accepted(self) -> None:
        """Take a success in: the spacing narrows, and is gone in the end."""
        self._spacing *= _NARROWER
        if self._spacing < _NONE_LEFT:
            self._spacing = 0.0


class Throttled(Wrapper):
    """Holds creates back to what the bucket allows."""

    def __init__(
        self,
        inner: Provider,
        bucket: TokenBucket,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        super().__init__(inner)
        self._bucket = bucket
        self._monotonic = monotonic
        self._sleep = sleep
        self._turn = anyio.Lock()

    async def create(self, request: CreateRequest) -> Prediction:
        """Create when the bucket allows, first come, first served."""
        async with self._turn:
            # Asked again after each wait: a 429 that another create met meanwhile holds for this one as well.
            while (wait := self._bucket.take(self._monotonic())) > 0:
                await self._sleep(wait)
        try:
            created = await self.inner.create(request)
        except RateLimited as error:
            self._bucket.rejected(self._monotonic(), error.retry_after)
            raise
        self._bucket.accepted()
        return created
