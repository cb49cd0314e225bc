"""Bytes of sources, from the disk or the web, bounded by the size cap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batch_removebg.errors import BatchError, Forbidden, PredictionLost, RetryError, SourceError
from batch_removebg.model import Item
from batch_removebg.net.fetch import UNKNOWN, Validators
from batch_removebg.net.urls import host_of
from batch_removebg.storage.objects import divided, is_object

from .hosts import Host, NotNow
from .work import Prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batch_removebg.clock import Clock
    from batch_removebg.storage.spool import Held
    from batch_removebg.workers.base import Read, Workers

EXPECTED = 8 << 20  # bytes of a source or an output whose size isn't known yet
_ROOM = 64 << 20  # bytes of sources kept while they are worked on


@dataclass(eq=False)
class Sources:
    """Reads sources, and keeps some; beyond a bound they are read again when needed, and waiting costs no memory."""

    workers: Workers
    retry_delay: Callable[[int, RetryError], float | None]
    """Seconds until the next try of a URL after so many failed ones, or None to give up."""
    sleep: Callable[[float], Awaitable[None]]
    clock: Clock
    say: Callable[[str], None]  # gets what the rows of a host wait for

    def __post_init__(self) -> None:
        self.waiting = 0  # items that wait for their host
        self._hosts: dict[str, Host] = {}
        self._turns: dict[str, int] = {}  # failed tries of the items whose turn at their host has come, by id
        self._kept: dict[str, bytes] = {}
        self._room = _ROOM

    def hold(self, key: str, data: Held) -> None:
        """Keep a source's bytes until `let_go`, if there is room."""
        if isinstance(data, bytes) and key not in self._kept and len(data) <= self._room:
            self._kept[key] = data
            self._room -= len(data)

    def let_go(self, key: str) -> None:
        """Drop the bytes kept under the key, if any."""
        self._room += len(self._kept.pop(key, b""))

    def drop(self, data: Held | None) -> None:
        """Let go of a source that was read, and isn't kept."""
        if data is not None:
            self.workers.let_go(data)

    async def again(self, prepared: Prepared) -> Held:
        """The bytes of a prepared source once more; raises SourceError if it has changed meanwhile."""
        kept = prepared.data or self._kept.get(prepared.fingerprint)
        if kept is not None:
            return kept
        data = await self.patiently(prepared.todo.item)
        if await self.workers.sha256(data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data

    async def patiently(self, item: Item) -> Held:
        """The item's bytes, once its host may be asked."""
        while True:
            try:
                return (await self.read(item)).body
            except NotNow as later:
                await later.over()

    async def read(self, item: Item, known: Validators = UNKNOWN) -> Read:
        """The item's file or URL; an empty body where a URL's is still what `known` tells.

        Raises SourceError, NotNow, or RetryError after the last try.
        """
        if item.path is not None:
            return await self.workers.read(item, known)
        url = item.url or item.source
        name = divided(url)[0] if is_object(url) else host_of(url)
        host = self._hosts.setdefault(name, Host(name, self.clock, self.say))
        tries = self._turns.pop(item.id, None)
        if tries is None and not host.enter():
            raise NotNow(partial(self._turn, item, host, 0.0, 0))
        tries = tries or 0
        try:
            found = await self.workers.read(item, known)
        except RetryError as error:
            wait = self.retry_delay(tries + 1, error)
            if host.failed(url, error, wait or 0.0):
                wait = 0.0
            elif wait is None:
                raise
            else:
                tries += 1
            raise NotNow(partial(self._turn, item, host, wait, tries)) from error
        except BatchError as error:
            host.answered()
            if isinstance(error, Forbidden):
                raise SourceError(f"{error}; where it wants a Referer or a key, give it by --header") from error
            if isinstance(error, PredictionLost):
                raise SourceError(str(error)) from error
            raise
        except BaseException:
            host.gave_up()
            raise
        host.answered()
        return found

    async def _turn(self, item: Item, host: Host, seconds: float, tries: int) -> None:
        """Wait until the item's host may be asked for it, again after so many failed `tries`."""
        self.waiting += 1
        try:
            if seconds:
                await self.sleep(seconds)
            await host.turn(self.sleep)
        finally:
            self.waiting -= 1
        self._turns[item.id] = tries
