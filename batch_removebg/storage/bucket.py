"""Finished pictures in a bucket: each put whole, and never over what isn't ours."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import anyio.from_thread
import anyio.to_thread

from batch_removebg.errors import BatchError, ConnectionFailed, RetryError, SourceError, Taken
from batch_removebg.hashing import hash64, sha256_hex
from batch_removebg.stop import Gate

from .layout import STATE
from .objects import Store, key_problem

if TYPE_CHECKING:
    import numpy as np

_FIRST, _LONGEST = 1.0, 30.0  # seconds until a put that failed is tried again, doubled with each
_MEDIA = {"jpg": "jpeg", "tif": "tiff"}
_LARGEST = 1 << 30


class Bucket:
    """Pictures below `prefix`; what lies there is listed once, at the first question about it."""

    def __init__(self, store: Store, prefix: str, gate: Gate) -> None:
        self._store, self._prefix, self._gate = store, prefix, gate
        self._ours = sha256_hex(prefix)[:16]  # who wrote an object
        self._there: tuple[np.ndarray, np.ndarray] | None = (
            None  # hashes of names, sorted, and sizes: 16 bytes for each
        )

    async def put(self, name: str, picture: bytes, recipe: str = "") -> str:
        """See Outputs; while storage is away it waits, until the gate closes.

        Raises SourceError where somebody else's object has the name, Stopping, or what ends the run.
        """
        digest, wait = await anyio.to_thread.run_sync(sha256_hex, picture), _FIRST
        while True:
            try:
                await self._put(name, picture, {"sha256": digest, "recipe": recipe, "by": self._ours})
                return digest
            except RetryError:
                await self._gate.sleep(wait)
                wait = min(_LONGEST, 2 * wait)

    async def _put(self, name: str, picture: bytes, about: dict[str, str]) -> None:
        key, over, ending = self._prefix + name, None, name.rpartition(".")[2]
        for _ in range(3):
            try:
                await self._store.put(
                    key, picture, media=f"image/{_MEDIA.get(ending, ending)}", metadata=about, over=over
                )
                return
            except Taken:
                there = await self._store.head(key)
            if there is not None:
                if (there.metadata.get("sha256"), there.size) == (about["sha256"], len(picture)):
                    return  # by an earlier try, whose answer was lost, or by a run that was killed
                if there.metadata.get("by") != self._ours:
                    raise SourceError(
                        f"{name} already lies in OUT, but this program did not write it; "
                        "move it away or choose another --name, then run again."
                    )
            over = there.etag if there is not None else None
        raise ConnectionFailed(f"{key} changes again and again")

    def size(self, name: str) -> int:
        """See Outputs."""
        if (found := self._found(name)) is None:
            raise FileNotFoundError(name)
        return found

    def taken(self, name: str) -> bool:
        """See Outputs."""
        return self._found(name) is not None

    def read(self, name: str) -> bytes:
        """See Outputs; in a thread of anyio's."""
        try:
            return anyio.from_thread.run(self._store.get, self._prefix + name, _LARGEST)[0]
        except BatchError as error:
            raise OSError(str(error)) from error

    def room(self, name: str) -> None:
        """See Outputs."""
        if problem := key_problem(self._prefix + name):
            raise SourceError(problem)

    def _found(self, name: str) -> int | None:
        """The size of an object."""
        names, sizes = self._there = self._there or self._listed()
        wanted = hash64(name)
        place = int(names.searchsorted(wanted))
        return int(sizes[place]) if place < len(names) and names[place] == wanted else None

    def _listed(self) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        names, sizes = array("q"), array("q")
        for page in self._store.listed(self._prefix):
            plain = [(one.key[len(self._prefix) :], one.size) for one in page]
            names.extend(hash64(name) for name, _ in plain if not name.startswith(f"{STATE}/"))
            sizes.extend(size for name, size in plain if not name.startswith(f"{STATE}/"))
        hashes = np.frombuffer(names, np.int64) if names else np.empty(0, np.int64)
        order = hashes.argsort()
        return hashes[order], (np.frombuffer(sizes, np.int64) if sizes else hashes)[order]
