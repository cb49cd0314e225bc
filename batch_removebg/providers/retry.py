"""Temporary trouble is retried: the policy is a pure function, the waiting a wrapper.

stamina and tenacity don't do: no loop of theirs obeys a server's Retry-After, gives rate limits a budget of their own,
and wakes at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batch_removebg.clock import Clock
from batch_removebg.errors import OutOfReach, RateLimited, RetryError

from .base import Once, Operation, Pause, T, Wrapper


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a step is tried again."""

    attempts: int = 6  # tries in all, where a server or connection fails
    rate_limited: int = 60
    """Tries in all while the server only asks to wait: that is the account's limit, not the item's fault."""
    first: float = 0.5  # seconds; doubled with each try
    longest: float = 30.0
    patience: float = 120.0  # seconds; a longer Retry-After is asked again after this

    def delay(self, tries: int, error: RetryError, chance: float) -> float | None:
        """Seconds until the next try after `tries` failed ones, or None to give up.

        Exponential, half of it jitter (`chance` in [0, 1)); at least what the server asks for, where it does.
        """
        most = self.rate_limited if isinstance(error, RateLimited) else self.attempts
        if tries >= most or isinstance(error, OutOfReach):
            return None
        backoff: float = min(self.longest, self.first * 2.0 ** min(tries - 1, 30))
        asked = min(self.patience, error.retry_after or 0.0)
        return asked + chance * min(1.0, backoff) if asked else backoff * (0.5 + 0.5 * chance)


@dataclass(eq=False)
class Retrying(Wrapper):
    """Tries every operation again as the policy says; raises the last error. A lost create passes through."""

    policy: RetryPolicy
    clock: Clock
    pause: Pause
    waiting: Callable[[str], None]  # gets the reason of each wait

    async def around(self, operation: Operation, once: Once[T]) -> T:
        """See Wrapper."""
        tries = 0
        while True:
            try:
                return await once()
            except RetryError as error:
                tries += 1
                wait = self.policy.delay(tries, error, self.clock.random())
                if wait is None:
                    raise
                self.waiting(f"{error}; trying again in {wait:.1f} s")
            await self.pause(operation, wait)
