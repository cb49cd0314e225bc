"""Where copies wait for nothing but their copying: beside the workers, for it takes no slot and no create.

It also knows how many items are on their way at all, parked ones too: when the reader is done and there are none left,
the run has come to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class CopyQueue(Generic[T]):
    """A queue that never keeps those waiting who put something in; only the reader is kept back."""

    def __init__(self, most: int, parked: Callable[[], int]) -> None:
        """`most` copies are kept in memory, here or as those that `parked` counts; then nothing more is read."""
        self._most = most
        self._parked = parked
        self._waiting: deque[T] = deque()
        self._on_their_way = 0
        self._closed = False
        self._more = anyio.Event()
        self._less = anyio.Event()

    async def room(self) -> None:
        """Wait until another copy may be kept."""
        while self._parked() + len(self._waiting) >= self._most:
            await self._less.wait()

    def began(self) -> None:
        """Take in that an item is on its way."""
        self._on_their_way += 1

    def ended(self) -> None:
        """Take in that one has ended, be it here or elsewhere."""
        self._on_their_way -= 1
        self._wake()

    def close(self) -> None:
        """Take in that none will come that is not on its way already."""
        self._closed = True
        self._wake()

    def put(self, copies: Iterable[T]) -> None:
        """Add copies that can be made now."""
        self._waiting.extend(copies)
        self._wake()

    async def take(self) -> T | None:
        """The next one, when there is one; None at the end of the run."""
        while not self._waiting:
            if self._closed and not self._on_their_way:
                return None
            await self._more.wait()
        copy = self._waiting.popleft()
        self._less.set()
        self._less = anyio.Event()
        return copy

    def _wake(self) -> None:
        if self._waiting or (self._closed and not self._on_their_way):
            self._more.set()
            self._more = anyio.Event()
