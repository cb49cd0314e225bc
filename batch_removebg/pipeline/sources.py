"""Bytes of sources, from the disk or the web, bounded by the size cap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import anyio

from batch_removebg.errors import BatchError, Forbidden, PredictionLost, RetryError, SettingsError, SourceError
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item
from batch_removebg.net import fetch, instead
from batch_removebg.net.urls import host_of
from batch_removebg.resources import Cpu
from batch_removebg.storage.objects import divided, is_object, opened

from .hosts import Host, NotNow
from .work import Prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    import aiohttp

    from batch_removebg.clock import Clock
    from batch_removebg.net.headers import Header

EXPECTED = 8 << 20  # bytes of a source or an output whose size isn't known yet
_ROOM = 64 << 20  # bytes of sources kept while they are worked on


@dataclass(eq=False)
class Sources:
    """Reads sources, and keeps some; beyond a bound they are read again when needed, and waiting costs no memory."""

    session: Callable[[], aiohttp.ClientSession]  # opens the one for URLs; not called in a run over files
    fetching: fetch.FetchPolicy
    cpu: Cpu
    retry_delay: Callable[[int, RetryError], float | None]
    """Seconds until the next try of a URL after so many failed ones, or None to give up."""
    sleep: Callable[[float], Awaitable[None]]
    clock: Clock
    say: Callable[[str], None]  # gets what the rows of a host wait for
    headers: Sequence[Header] = ()

    def __post_init__(self) -> None:
        self.waiting = 0  # items that wait for their host
        self._hosts: dict[str, Host] = {}
        self._turns: dict[str, int] = {}  # failed tries of the items whose turn at their host has come, by id
        self._opened = cache(opened)
        self._kept: dict[str, bytes] = {}
        self._room = _ROOM

    def hold(self, key: str, data: bytes) -> None:
        """Keep a source's bytes until `let_go`, if there is room."""
        if key not in self._kept and len(data) <= self._room:
            self._kept[key] = data
            self._room -= len(data)

    def let_go(self, key: str) -> None:
        """Drop the bytes kept under the key, if any."""
        self._room += len(self._kept.pop(key, b""))

    async def again(self, prepared: Prepared) -> bytes:
        """The bytes of a prepared source once more; raises SourceError if it has changed meanwhile."""
        kept = prepared.data or self._kept.get(prepared.fingerprint)
        if kept is not None:
            return kept
        data = await self.patiently(prepared.todo.item)
        if await self.cpu.run(sha256_hex, data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data

    async def patiently(self, item: Item) -> bytes:
        """The item's bytes, once its host may be asked."""
        while True:
            try:
                return (await self.read(item)).body
            except NotNow as later:
                await later.over()

    async def read(self, item: Item, known: fetch.Validators = fetch.UNKNOWN) -> fetch.Fetched:
        """The bytes of the item's file or URL; none where a URL's are still what `known` tells.

        Raises SourceError, NotNow, or RetryError after the last try.
        """
        return await (self._url(item, known) if item.path is None else self._file(item, item.path))

    async def _file(self, item: Item, path: Path) -> fetch.Fetched:
        import aiofiles  # a run over URLs does without

        try:
            # Shielded: if opening were cancelled half-way, the file would stay open.
            with anyio.CancelScope(shield=True):
                async with aiofiles.open(path, "rb") as file:
                    data = await file.read(self.fetching.size + 1)
        except FileNotFoundError:
            raise SourceError(f"does not exist: {item.source} (from {item.origin})") from None
        except (OSError, ValueError) as error:
            raise SourceError(f"can't be read: {getattr(error, 'strerror', None) or error}") from error
        if len(data) > self.fetching.size:
            raise SourceError(f"is larger than {self.fetching.size >> 20} MiB; raise --max-size")
        return fetch.Fetched(data)

    async def _url(self, item: Item, known: fetch.Validators) -> fetch.Fetched:
        url = item.url or item.source
        name = divided(url)[0] if is_object(url) else host_of(url)
        host = self._hosts.setdefault(name, Host(name, self.clock, self.say))
        tries = self._turns.pop(item.id, None)
        if tries is None and not host.enter():
            raise NotNow(partial(self._turn, item, host, 0.0, 0))
        tries = tries or 0
        try:
            fetched = await self._fetched(url, known)
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
        return fetched

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

    async def _fetched(self, url: str, known: fetch.Validators) -> fetch.Fetched:
        """What is at a URL; at a share link the file that it leads to, where there is a rule for it."""
        if is_object(url):
            return await self._object(url, known)
        asked = partial(fetch.get, self.session(), fetching=self.fetching, headers=self.headers, known=known)
        found, (service, link) = await asked(url), instead.share(url)
        if service and instead.named(found.body):
            if link:
                found = await asked(link)
            if instead.named(found.body):
                what = f"{fetch.redacted(url)} is a share link of {service}, and leads to a page"
                raise SourceError(f"{what}: let anyone with the link see it, and give the link that downloads it")
        return found

    async def _object(self, url: str, known: fetch.Validators) -> fetch.Fetched:
        """What is in a bucket; raises SettingsError where none can be read, SourceError where this one can't."""
        bucket, key = divided(url)
        store, _ = self._opened(bucket)
        try:
            if known.etag and (found := await store.head(key)) is not None and found.etag == known.etag:
                return fetch.Fetched(b"", known, unchanged=True)
            data, stored = await store.get(key, self.fetching.size)
        except SettingsError as error:
            raise SourceError(str(error)) from error
        return fetch.Fetched(data, fetch.Validators(stored.etag))
