"""Calls are held back to what the server allows: creates and everything else each have a limit of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, ConnectionFailed, CreateLost, RateLimited, ServerError
from batch_removebg.model import Prediction, Provider

from .adaptive_rate import RateLimit, StatedLimit, Ticket
from .base import Operation, Pause, Wrapper

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


_FRESH = 1.0
"""Seconds within which an answer tells of the present."""


def _nobody(_: float) -> None:
    pass


class Throttled(Wrapper):
    """Holds calls until their limit lets them go, first come, first served; outputs and cancels pass."""

    def __init__(
        self,
        inner: Provider,
        creates: RateLimit,
        others: RateLimit,
        *,
        clock: Clock,
        pause: Pause,
        waited: Callable[[float], None] = _nobody,
        answered: Callable[[], None] = lambda: None,
        trouble: Callable[[float], None] = _nobody,
    ) -> None:
        """`waited` is told how many seconds a create was held, `answered` of each answer, `trouble` of each failure."""
        super().__init__(inner)
        creating, others_queue = _Queue(creates, clock), _Queue(others, clock)
        self._queues = {
            Operation.CREATE: creating,
            **dict.fromkeys((Operation.GET, Operation.LIST, Operation.UPLOAD), others_queue),
        }
        self._clock = clock
        self._pause = pause
        self._waited = waited
        self._answered = answered
        self._trouble = trouble

    async def around(self, operation: Operation, once: Callable[[], Awaitable[T]]) -> T:
        """See Wrapper."""
        queue = self._queues.get(operation)
        if queue is None:
            return await once()
        wanted = self._clock.monotonic()
        ticket = await queue.turn(partial(self._pause, operation))
        if operation is Operation.CREATE:
            self._waited(self._clock.monotonic() - wanted)
        try:
            result = await once()
        except RateLimited as error:
            stated = StatedLimit(*error.limit) if error.limit is not None else None
            queue.limit.rejected(ticket, self._clock.monotonic(), error.retry_after, stated=stated)
            raise
        except (ServerError, ConnectionFailed, CreateLost):
            self._trouble(self._clock.monotonic())
            raise
        else:
            now = self._clock.monotonic()
            queue.limit.accepted(ticket, now)
            self._answered()
            # What an answer says that was kept back is out of date.
            if isinstance(result, Prediction) and result.exhausted is not None and now - ticket.at < _FRESH:
                queue.limit.exhausted(ticket, now, result.exhausted)
            return result
        finally:
            queue.limit.ended(ticket)
            queue.changed()


class _Queue:
    """First come, first served before one limit."""

    def __init__(self, limit: RateLimit, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        self._turn = anyio.Lock()
        self._changed = anyio.Event()

    def changed(self) -> None:
        """An answer has come: whoever waits for one may ask again."""
        if self._turn.locked():
            self._changed.set()
            self._changed = anyio.Event()

    async def turn(self, sleep: Sleep) -> Ticket:
        """Wait until a call may go."""
        if not self._turn.locked() and self.limit.wait(self._clock.monotonic()) <= 0:
            return self.limit.sent(self._clock.monotonic())
        async with self._turn:
            # Asked again after each wait: a 429 that another call met meanwhile holds for this one as well.
            while (wait := self.limit.wait(self._clock.monotonic())) > 0:
                await (self._answer_or(wait, sleep) if self.limit.crowded else sleep(wait))
            return self.limit.sent(self._clock.monotonic())

    async def _answer_or(self, seconds: float, sleep: Sleep) -> None:
        stopped: BatchError | None = None
        async with anyio.create_task_group() as group:
            # The event of this very moment: an answer may come before the task has begun.
            group.start_soon(_wake, self._changed, group.cancel_scope)
            try:
                await sleep(seconds)
            except BatchError as error:
                stopped = error  # out here it would come as a group of one
            group.cancel_scope.cancel()
        if stopped is not None:
            raise stopped


async def _wake(changed: anyio.Event, scope: anyio.CancelScope) -> None:
    await changed.wait()
    scope.cancel()
