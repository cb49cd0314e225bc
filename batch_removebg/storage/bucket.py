"""Finished pictures in a bucket: each put whole, and never over what isn't ours."""

# ruff: noqa: D102  # the methods are those of Outputs, and explained there

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.from_thread
from anyio.to_thread import run_sync

from batch_removebg.errors import BatchError, ConnectionFailed, RetryError, SourceError, StorageDown, Taken
from batch_removebg.hashing import hash64, sha256_hex
from batch_removebg.stop import Gate

from .layout import STATE
from .objects import Store
from .spool import Held, Spooled, loaded

if TYPE_CHECKING:
    import numpy as np

_FIRST, _LONGEST = 1.0, 30.0  # seconds until a put that failed is tried again, doubled with each
_MEDIA = {"jpg": "jpeg", "tif": "tiff"}
T = TypeVar("T")


async def outlasted(
    sleep: Callable[[float], Awaitable[object]], once: Callable[[], Awaitable[T]], tries: float = inf
) -> T:
    """The result of what is done again and again while storage is away; raises StorageDown after so many tries."""
    wait = _FIRST
    while True:
        try:
            return await once()
        except RetryError as error:
            if (tries := tries - 1) <= 0:
                raise StorageDown(f"{error}; run the same command again") from error
        await sleep(wait)
        wait = min(_LONGEST, 2 * wait)


class Bucket:
    """Pictures below `prefix`; what lies there is what `begin` has found."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix, self._by = store, prefix, sha256_hex(prefix)[:16]
        self.send: Callable[..., Awaitable[object]] = self._send  # as `Store.put`, with a picture that is held

    def begin(self, gate: Gate) -> None:
        """List what is there, once for all that is asked then, and wait no longer than this gate is open; blocks."""
        self._gate, self._there = gate, self._listed()

    async def put(self, name: str, picture: Held, recipe: str = "") -> str:
        """See Outputs; waits while storage is away. Raises SourceError where it is somebody else's, and Stopping."""
        digest = picture.sha256 if isinstance(picture, Spooled) else await run_sync(sha256_hex, picture)
        about = {"sha256": digest, "recipe": recipe, "by": self._by}
        await outlasted(self._gate.sleep, lambda: self._put(name, picture, about))
        return digest

    async def _put(self, name: str, picture: Held, about: dict[str, str]) -> None:
        key, over, ending = self._prefix + name, None, name.rpartition(".")[2]
        for _ in range(3):
            try:
                media = f"image/{_MEDIA.get(ending, ending)}"
                await self.send(key, picture, media=media, metadata=about, over=over)
                return
            except Taken:
                there = await self._store.head(key)
            if there is not None:
                if (there.metadata.get("sha256"), there.size) == (about["sha256"], len(picture)):
                    return  # by an earlier try, whose answer was lost, or by a run that was killed
                if there.metadata.get("by") != self._by:
                    what = f"{name} already lies in OUT, but this program did not write it"
                    raise SourceError(f"{what}; move it away or choose another --name, then run again.")
            over = there.etag if there is not None else None
        raise ConnectionFailed(f"{key} changes again and again")

    async def _send(self, key: str, picture: Held, **how: Any) -> None:
        await self._store.put(key, await run_sync(loaded, picture), **how)

    def size(self, name: str) -> int:
        names, sizes = self._there
        place = int(names.searchsorted(wanted := hash64(name)))
        if place == len(names) or names[place] != wanted:
            raise FileNotFoundError(name)
        return int(sizes[place])

    def taken(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            return self.size(name) >= 0 and not anyio.from_thread.run(self._is_ours, name)
        return False

    async def _is_ours(self, name: str) -> bool:
        """Whether a run of this prefix wrote it, though its last lines may not be on record."""
        found = await outlasted(self._gate.sleep, lambda: self._store.head(self._prefix + name))
        return found is not None and found.metadata.get("by") == self._by

    def read(self, name: str) -> bytes:
        try:
            return anyio.from_thread.run(self._store.get, self._prefix + name, 1 << 30)[0]
        except BatchError as error:
            raise OSError(str(error)) from error

    def room(self, name: str) -> None:
        if len((self._prefix + name).encode()) > 1024:
            raise SourceError(f"{name} is too long a name for a bucket; give the item a shorter one")

    def _listed(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of names, sorted, and sizes: 16 bytes for each."""
        import numpy as np

        names, sizes = array("q"), array("q")
        for one in (one for page in self._store.listed(self._prefix) for one in page):
            if not (name := one.key[len(self._prefix) :]).startswith(f"{STATE}/"):
                names.append(hash64(name))
                sizes.append(one.size)
        hashes = np.array(names, np.int64)
        order = hashes.argsort()
        return hashes[order], np.array(sizes, np.int64)[order]
