"""From the `image` of a create to the picture's bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio import Path as AsyncPath
from anyio import to_thread

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.net.fetch import FetchPolicy, data_uri

from . import protocol
from .blob_store import BlobStore
from .jobs import Source

INPUT_POLICY = FetchPolicy(size=100 << 20, seconds=60.0, redirects=5, public_only=True)

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes behind a URL that a client has named; may raise a BatchError. Every foreign address passes through it."""


async def source(image: str, base: str, store: BlobStore, fetch: Fetch) -> Source:
    """What reads the picture when its job runs; a data URI is stored on disk, so that a long queue needs no memory.

    `base` is the URL of `/v1` as the client addresses it. Raises Busy if the disk is full.
    """
    if protocol.is_data(image):
        return await _from_data(image, store)
    file_id = protocol.file_id(image)
    if file_id and (store.get(file_id) or image.startswith(f"{base}/")):
        return lambda: _read(store, file_id, "the uploaded file does not exist, or its hour is over")
    return lambda: fetch(image)


async def _from_data(image: str, store: BlobStore) -> Source:
    try:
        data = await to_thread.run_sync(data_uri, image)
    except OutputBroken:
        return _undecodable
    blob = await store.put(data)

    async def read_once() -> bytes:
        try:
            return await _read(store, blob.id, "the input's hour was over before its turn came")
        finally:
            store.drop(blob.id)

    return read_once


async def _read(store: BlobStore, name: str, gone: str) -> bytes:
    blob = store.get(name)
    if blob is None:
        raise SourceError(gone)
    return await AsyncPath(blob.path).read_bytes()


async def _undecodable() -> bytes:
    raise SourceError("the image is a data URI that can't be decoded")
