"""Creates no faster than the account allows, without being told the limit.

A token bucket; each 429 empties it until the time the server names, and slows it to one create per that time; every
create that is let through speeds it up again. aiolimiter was looked at: it has no way to be slowed from outside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from batch_removebg.errors import RateLimited
from batch_removebg.model import CreateRequest, Prediction, Provider

from .wrapper import Wrapper


@dataclass(slots=True)
class TokenBucket:
    """Decides when the next create may go; pure, the time is an argument.

    `per_second` is None for no limit of our own.
    """

    per_second: float | None = None
    burst: float = 10.0
    longest_pause: float = 120.0
    """Seconds; a server that asks for more is asked again after this."""
    _tokens: float = field(default=0.0, init=False)
    _filled: float | None = field(default=None, init=False)
    _paused_until: float = field(default=0.0, init=False)
    _spacing: float = field(default=0.0, init=False)
    _next: float = field(default=0.0, init=False)

    def take(self, now: float) -> float:
        """Take a token, and return the seconds until it may be used."""
        at = max(now, self._paused_until, self._next if self._spacing else now)
        if self._spacing:
            self._next = at + self._spacing
        if self.per_second is not None:
            if self._filled is None:
                self._tokens, self._filled = self.burst, now
            self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.per_second) - 1
            self._filled = now
            at = max(at, now - min(0.0, self._tokens) / self.per_second)
        return at - now

    def paused(self, now: float) -> bool:
        """Whether a 429 forbids creates at this moment."""
        return now < self._paused_until

    def rejected(self, now: float, retry_after: float | None) -> float:
        """Take a 429 in: pause, and go slowly after it. Returns the pause in seconds."""
        pause = min(self.longest_pause, 5.0 if retry_after is None else max(0.1, retry_after))
        self._paused_until = max(self._paused_until, now + pause)
        self._spacing = min(self.longest_pause, max(self._spacing, pause))
        self._next = max(self._next, self._paused_until)
        return pause

    def accepted(self) -> None:
        """Take a success in: the spacing shrinks, and is gone after some forty successes."""
        self._spacing *= 0.9
        if self._spacing < 0.05:
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

    async def create(self, request: CreateRequest) -> Prediction:
        """Create when the bucket allows."""
        wait = self._bucket.take(self._monotonic())
        while wait > 0:
            await self._sleep(wait)
            # A 429 that another create met meanwhile holds for this one as well.
            now = self._monotonic()
            wait = self._bucket.take(now) if self._bucket.paused(now) else 0.0
        try:
            created = await self.inner.create(request)
        except RateLimited as error:
            self._bucket.rejected(self._monotonic(), error.retry_after)
            raise
        self._bucket.accepted()
        return created
