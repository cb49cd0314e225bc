"""Calls are held back to what the server allows: creates have one limit, everything else another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import ConnectionFailed, CreateLost, RateLimited, ServerError
from batch_removebg.model import Prediction

from .adaptive_rate import RateLimit, StatedLimit, Ticket
from .base import Once, Operation, Pause, T, Wrapper

_NAP, _LONGEST_NAP = 0.1, 2.0  # seconds until it is asked again whether a create may go, at first and at most
_FRESH = 1.0  # age in seconds up to which what an answer says of the limit is up to date: the server may have held it


@dataclass(eq=False)
class Throttled(Wrapper):
    """Holds calls until their limit lets them go, first come, first served; outputs and cancels pass."""

    creates: RateLimit
    others: RateLimit
    clock: Clock
    pause: Pause
    waited: Callable[[float], None]  # gets the seconds that each create was held
    answered: Callable[[], None]
    trouble: Callable[[float], None]  # gets the moment of each failure
    may_buy: Callable[[float, int], bool] = lambda now, under_way: True
    """Whether a create may go at that moment beside so many under way, as far as the rest of the run is concerned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        others = _Queue(self.others, lambda now, under_way: True, self.clock)
        self._queues = {
            "create": _Queue(self.creates, self.may_buy, self.clock),
            **dict.fromkeys(("get", "list", "upload"), others),
        }

    async def around(self, operation: Operation, once: Once[T]) -> T:
        """See Wrapper."""
        queue = self._queues.get(operation)
        if queue is None:
            return await once()
        wanted = self.clock.monotonic()
        ticket = await queue.turn(partial(self.pause, operation))
        if operation == "create":
            self.waited(self.clock.monotonic() - wanted)
        try:
            result = await once()
        except RateLimited as error:
            stated = StatedLimit(*error.limit) if error.limit is not None else None
            queue.limit.rejected(ticket, self.clock.monotonic(), error.retry_after, stated=stated)
            raise
        except (ServerError, ConnectionFailed, CreateLost):
            self.trouble(self.clock.monotonic())
            raise
        else:
            now = self.clock.monotonic()
            queue.limit.accepted(ticket, now)
            self.answered()
            if isinstance(result, Prediction) and result.exhausted is not None and now - ticket.at < _FRESH:
                queue.limit.exhausted(ticket, now, result.exhausted)
            return result
        finally:
            queue.limit.ended(ticket)
            queue.under_way -= 1
            if queue.limit.crowded:  # the one whose turn it is waits for an answer: one has arrived
                queue.nap.cancel()


class _Queue:
    """First come, first served before one limit."""

    def __init__(self, limit: RateLimit, may_go: Callable[[float, int], bool], clock: Clock) -> None:
        self.limit = limit
        self.under_way = 0  # calls without an answer
        self._may_go = may_go
        self._clock = clock
        self._turn = anyio.Lock(fast_acquire=True)
        self.nap = anyio.CancelScope()

    async def turn(self, sleep: Callable[[float], Awaitable[None]]) -> Ticket:
        """Wait until a call may go."""
        async with self._turn:
            nap = _NAP
            # Asked again after each wait: a 429 of another call holds for this one as well.
            while (wait := self.limit.wait(now := self._clock.monotonic())) > 0 or not self._may_go(
                now, self.under_way
            ):
                with anyio.CancelScope() as self.nap:
                    await sleep(wait or nap)
                nap = min(1.5 * nap, _LONGEST_NAP)
            self.under_way += 1
            return self.limit.sent(self._clock.monotonic())
