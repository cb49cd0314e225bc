"""The source's bytes, from the disk or from the web, never larger than the cap."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import anyio

from batch_removebg.errors import PredictionLost, RetryError, SourceError
from batch_removebg.model import Item
from batch_removebg.net import fetch
from batch_removebg.resources import Cpu

from .work import Prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp


_HELD = 64 << 20
"""Bytes of sources that are kept while they are worked on."""


class Sources:
    """Reads sources; beyond a bound files are read anew each time, so that what waits costs no memory."""

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        caps: fetch.Caps,
        cpu: Cpu,
        retry_delay: Callable[[int, RetryError], float | None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """`session` gives the one that URLs are fetched with; it is not asked for one where there are only files.

        `retry_delay` gives the seconds before the next try of a URL after so many failed ones, or None.
        """
        self._session = session
        self._caps = caps
        self._cpu = cpu
        self._retry_delay = retry_delay
        self._sleep = sleep
        self._held: dict[str, bytes] = {}
        self._room = _HELD

    def hold(self, key: str, data: bytes) -> None:
        """Keep a source's bytes until they are let go of, as far as there is room."""
        if key not in self._held and len(data) <= self._room:
            self._held[key] = data
            self._room -= len(data)

    def held(self, key: str) -> bytes | None:
        """What is kept under the key."""
        return self._held.get(key)

    def let_go(self, key: str) -> None:
        """Keep it no longer; there may be none."""
        self._room += len(self._held.pop(key, b""))

    async def again(self, prepared: Prepared) -> bytes:
        """The bytes of a prepared source once more; raises SourceError if they have to be read and have changed."""
        held = prepared.data or self.held(prepared.fingerprint)
        if held is not None:
            return held
        data = await self.read(prepared.todo.item)
        if await self._cpu.run(sha256_of, data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data

    async def read(self, item: Item) -> bytes:
        """The bytes of the item's file or URL; raises SourceError, or RetryError after all tries."""
        return await (self._file(item) if item.path is not None else self._url(item.source))

    async def _file(self, item: Item) -> bytes:
        import aiofiles  # a run over URLs does without

        assert item.path is not None  # noqa: S101  # narrows the type; `read` has looked
        try:
            # Shielded: a file whose opening is cancelled half-way would be left open.
            with anyio.CancelScope(shield=True):
                async with aiofiles.open(item.path, "rb") as file:
                    data = await file.read(self._caps.size + 1)
        except FileNotFoundError:
            raise SourceError(f"does not exist: {item.source} (from {item.origin})") from None
        except (OSError, ValueError) as error:
            raise SourceError(f"can't be read: {getattr(error, 'strerror', None) or error}") from error
        if len(data) > self._caps.size:
            raise SourceError(f"is larger than {self._caps.size >> 20} MiB; raise --max-size")
        return data

    async def _url(self, url: str) -> bytes:
        tries = 0
        while True:
            try:
                return await fetch.get(self._session(), url, caps=self._caps)
            except PredictionLost as error:
                raise SourceError(str(error)) from error
            except RetryError as error:
                tries += 1
                wait = self._retry_delay(tries, error)
                if wait is None:
                    raise
            await self._sleep(wait)


def sha256_of(data: bytes) -> str:
    """The SHA-256 of a source, in hex."""
    return hashlib.sha256(data).hexdigest()
