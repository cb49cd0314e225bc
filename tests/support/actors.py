"""Actors that are threads of this process: what they are handed and give back is pickled, as on its way to others."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from batch_removebg.errors import Stopping

_MOST = 16_000  # bytes of a call or an answer: a reference has a few hundred, and the smallest photo in tests more


@dataclass
class ThreadPool:
    """A pool that keeps a note of its calls, and does each twice as if its first answer had been lost."""

    called: list[str] = field(default_factory=list)
    largest: int = 0
    before: Callable[[str], None] = lambda name: None  # a call of this function
    closed: bool = False
    at_once: int = 2
    kept: tuple[Any, ...] = ()

    async def isolated(self, seconds: float, function: Callable[..., Any], *args: Any) -> Any:
        if self.closed:
            raise Stopping("the run is stopping")
        asked = pickle.dumps((function, (*self.kept, *args)))
        answer = await anyio.to_thread.run_sync(self._answer, asked)
        self.largest = max(self.largest, len(asked), len(answer))
        assert self.largest < _MOST
        worked, result = pickle.loads(answer)
        if not worked:
            raise result
        return result

    together = isolated

    def _answer(self, asked: bytes) -> bytes:
        function, args = pickle.loads(asked)
        self.called.append(name := getattr(function, "func", function).__name__)
        try:
            self.before(name)
            function(*args)
            return pickle.dumps((True, function(*args)))
        except Exception as error:  # noqa: BLE001  # raised again by who asked
            return pickle.dumps((False, error))

    def hurry(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    @asynccontextmanager
    async def opened(
        self, address: str, *, version: str, gpus: float, load: Callable[[], tuple[Any, ...]]
    ) -> AsyncIterator[ThreadPool]:
        self.closed, self.kept = False, ()
        self.kept = await self.isolated(0.0, load)
        yield self
