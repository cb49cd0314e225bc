"""How long a server's silence is borne, counted in time that this process could listen.

After a suspend, or once a stopped process goes on, every timeout has run out while the answers wait in their sockets:
event loops may look at the clock before they look there. So time passes in small steps, and a late one counts as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

_STEP = 1.0  # seconds


class Patience:
    """Time that is left; `heard` begins the wait for the next bytes."""

    def __init__(self, silence: float, total: float) -> None:
        """Seconds without a byte, and in all."""
        self._silence = self._quiet = silence
        self._total = total
        self._step = min(_STEP, silence / 4, total / 4)

    def heard(self) -> None:
        """Record that something has come."""
        self._quiet = self._silence

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Cancel the block when the time is over; raises TimeoutError then."""
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            timer: asyncio.TimerHandle

            def step() -> None:
                nonlocal timer
                self._quiet -= self._step
                self._total -= self._step
                if min(self._quiet, self._total) > 0:
                    timer = loop.call_later(self._step, step)
                else:
                    scope.cancel()

            timer = loop.call_later(self._step, step)
            try:
                yield
            finally:
                timer.cancel()
        if scope.cancelled_caught:
            raise TimeoutError("no answer in time")
