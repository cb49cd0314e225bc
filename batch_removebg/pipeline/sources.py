"""Bytes of sources, from the disk or the web, bounded by the size cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from batch_removebg.errors import PredictionLost, RetryError, SourceError
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item
from batch_removebg.net import fetch
from batch_removebg.resources import Cpu

from .work import Prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import aiohttp


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

    def __post_init__(self) -> None:
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
        data = (await self.read(prepared.todo.item)).body or b""
        if await self.cpu.run(sha256_hex, data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data

    async def read(self, item: Item, known: fetch.Validators = fetch.UNKNOWN) -> fetch.Fetched:
        """The bytes of the item's file or URL; None where a URL's are still what `known` tells.

        Raises SourceError, or RetryError after the last try.
        """
        if item.path is not None:
            return fetch.Fetched(await self._file(item, item.path))
        return await self._url(item.url or item.source, known)

    async def _file(self, item: Item, path: Path) -> bytes:
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
        return data

    async def _url(self, url: str, known: fetch.Validators) -> fetch.Fetched:
        tries = 0
        while True:
            try:
                return await fetch.ask(self.session(), url, fetching=self.fetching, known=known)
            except PredictionLost as error:
                raise SourceError(str(error)) from error
            except RetryError as error:
                tries += 1
                wait = self.retry_delay(tries, error)
                if wait is None:
                    raise
            await self.sleep(wait)
