"""From the `image` of a create to the picture's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import Path as AsyncPath
from anyio import to_thread

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.net import fetch

from . import protocol, uploads
from .jobs import Source

if TYPE_CHECKING:
    import aiohttp

    from .blob_store import Shelf
    from .uploads import Uploads

CAPS = fetch.Caps(size=100 << 20, seconds=60.0, redirects=5, public_only=True)


async def fetch_source(session: aiohttp.ClientSession, url: str, caps: fetch.Caps) -> bytes:
    """The bytes behind a URL that a client has named; raises a BatchError. Every foreign address passes here."""
    return await fetch.get(session, url, caps=caps)


class Inputs:
    """Turns images as clients name them into sources of jobs."""

    def __init__(self, shelf: Shelf, files: Uploads, session: aiohttp.ClientSession, caps: fetch.Caps = CAPS) -> None:
        self._shelf = shelf
        self._files = files
        self._session = session
        self._caps = caps

    async def source(self, image: str, base: str) -> Source:
        """Where the bytes will come from; a data URI is put on the shelf, so that a long queue needs no memory.

        `base` is the URL of `/v1` as the client knows it. Raises OSError where the disk is full.
        """
        if protocol.is_data(image):
            return await self._from_data(image)
        file_id = uploads.named_in(image)
        if file_id and (self._files.get(file_id) or image.startswith(f"{base}/")):
            return lambda: self._read(file_id, "the uploaded file does not exist, or its hour is over")
        return lambda: fetch_source(self._session, image, self._caps)

    async def _from_data(self, image: str) -> Source:
        try:
            data = await to_thread.run_sync(fetch.data_uri, image)
        except OutputBroken:
            return _broken
        name = await self._shelf.put(data)

        async def take() -> bytes:
            try:
                return await self._read(name, "the input's hour was over before its turn came")
            finally:
                self._shelf.drop(name)

        return take

    async def _read(self, name: str, gone: str) -> bytes:
        path = self._shelf.path(name)
        if path is None:
            raise SourceError(gone)
        return await AsyncPath(path).read_bytes()


async def _broken() -> bytes:
    raise SourceError("the image is a data URI that can't be decoded")
