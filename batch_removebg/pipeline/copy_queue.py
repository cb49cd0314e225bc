"""Queue of duplicates ready to be written, and of items that come back: needs no worker slot and no API call.

It also counts the items on their way, parked ones included, and the reader as one of them: at zero the run is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class CopyQueue(Generic[T]):
    """Adding never waits; only the reader is held back, by `room`."""

    def __init__(self, most: int, parked: Callable[[], int]) -> None:
        """`most`: copies in memory, here and `parked`, at which the reader waits."""
        self._most = most
        self._parked = parked
        self._waiting: deque[T] = deque()
        self._on_their_way = 1
        self._changed = anyio.Event()

    async def room(self) -> None:
        """Wait until another copy may be kept."""
        while self._parked() + len(self._waiting) >= self._most:
            await self._changed.wait()

    def began(self) -> None:
        """Count an item as on its way."""
        self._on_their_way += 1

    def ended(self) -> None:
        """Count an item as ended, or the reader as done."""
        self._on_their_way -= 1
        if not self._on_their_way:
            self._wake()

    def put(self, copies: Iterable[T]) -> None:
        """Add what can go on now."""
        self._waiting.extend(copies)
        self._wake()

    async def take(self) -> T | None:
        """The next one, once there is one; None at the end of the run."""
        while not self._waiting:
            if not self._on_their_way:
                return None
            await self._changed.wait()
        self._wake()
        return self._waiting.popleft()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
