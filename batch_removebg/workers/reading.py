"""Sources as bytes, from the disk or the web, bounded by the size cap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

import anyio

from batch_removebg.errors import SettingsError, SourceError
from batch_removebg.model import Item
from batch_removebg.net import fetch, instead
from batch_removebg.storage.objects import Store, divided, is_object, opened

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from batch_removebg.net.headers import Header


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one source at a call."""

    session: Callable[[], aiohttp.ClientSession]  # opens the one for URLs; not called in a run over files
    fetching: fetch.FetchPolicy
    headers: Sequence[Header] = ()
    _opened: Callable[[str], tuple[Store, str]] = field(default_factory=lambda: cache(opened), init=False)

    async def read(self, item: Item, known: fetch.Validators = fetch.UNKNOWN) -> fetch.Fetched:
        """The bytes of the item's file or URL; none where a URL's are still what `known` tells.

        Raises SourceError, RetryError, and what else `fetch.get` raises.
        """
        return await (self._url(item.url or item.source, known) if item.path is None else self._file(item, item.path))

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

    async def _url(self, url: str, known: fetch.Validators) -> fetch.Fetched:
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
