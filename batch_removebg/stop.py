"""The gate before every purchase: once it closes, nothing more is created, and waits for a create end at once."""

from __future__ import annotations

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, Stopping


class Gate:
    """Open while the run may buy; a signal, a spent budget or a fatal error closes it for good."""

    def __init__(self, clock: Clock) -> None:
        self.reason: BatchError | None = None
        self.closed = anyio.Event()
        self._clock = clock

    def close(self, reason: BatchError) -> None:
        """Stop buying; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            self.closed.set()

    def check(self) -> None:
        """Raise Stopping if the gate is closed."""
        if self.reason is not None:
            raise Stopping("the run is stopping")

    async def sleep(self, seconds: float) -> None:
        """Sleep; raise Stopping as soon as the gate closes."""
        self.check()
        async with anyio.create_task_group() as group:
            group.start_soon(self._wake_when_closed, group.cancel_scope)
            await self._clock.sleep(seconds)
            group.cancel_scope.cancel()
        self.check()

    async def _wake_when_closed(self, scope: anyio.CancelScope) -> None:
        await self.closed.wait()
        scope.cancel()
