"""A store in memory, and hostile ones around it, each named by its fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from obstore.store import MemoryStore

from batch_removebg.errors import ConnectionFailed
from batch_removebg.storage.objects import Store, Stored
from tests.support.doubles import at_work


class InMemory(Store):
    """What obstore keeps in memory, conditions included; `away` while nothing can be reached."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.memory = store or MemoryStore()
        super().__init__("memory://shop", self.memory)
        self.away = False
        self.puts: list[str] = []

    async def get(self, key: str, limit: int) -> tuple[bytes, Stored]:
        with self._reached():
            return await super().get(key, limit)

    async def put(
        self, key: str, data: bytes, *, media: str = "", metadata: Mapping[str, str] = {}, over: str | None = "any"
    ) -> str:
        with self._reached():
            self.puts.append(key)
            return await super().put(key, data, media=media, metadata=metadata, over=over)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        if self.away:
            raise ConnectionFailed("nobody answers")
        with at_work():
            yield


class AnswersLost(InMemory):
    """Does what it is asked to, and never says so, as often as told."""

    times = 0

    async def put(
        self, key: str, data: bytes, *, media: str = "", metadata: Mapping[str, str] = {}, over: str | None = "any"
    ) -> str:
        etag = await super().put(key, data, media=media, metadata=metadata, over=over)
        if self.times:
            self.times -= 1
            raise ConnectionFailed("the answer was lost")
        return etag


class Unconditional(InMemory):
    """Overwrites whatever is there."""

    async def put(
        self, key: str, data: bytes, *, media: str = "", metadata: Mapping[str, str] = {}, over: str | None = "any"
    ) -> str:
        return await super().put(key, data, media=media, metadata=metadata)
