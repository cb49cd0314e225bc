"""Files kept for a while under names that can't be guessed, within a fixed amount of disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from anyio import to_thread

from batch_removebg.errors import Busy

KEEP = 3600.0  # seconds, as on the hosted service
ROOM = 8 << 30  # bytes in all
MOST = 8192  # files
_DISK_FULL_FOR = 30.0  # seconds a client is asked to wait
_ID_BYTES = 13  # 26 digits, the length of the hosted service's ids


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file; times in seconds since 1970."""

    id: str
    path: Path
    size: int
    created: float
    expires: float
    upload: Mapping[str, Any]  # what else the Files API shows of an upload; empty for the server's own


class BlobStore:
    """A folder of files under random names; they are removed when they expire, the oldest earlier if room runs out."""

    def __init__(self, folder: Path, now: Callable[[], float], keep_for: float = KEEP) -> None:
        """`folder` is created; `now` gives seconds since 1970; files live for `keep_for` seconds, maybe infinite."""
        folder.mkdir()
        self.keep_for = keep_for
        self._folder = folder
        self._now = now
        self._blobs: dict[str, Blob] = {}  # oldest first

    async def put(self, data: bytes, **upload: Any) -> Blob:
        """The stored file, with `upload` as in `Blob`; raises Busy if it can't be written."""
        async with self.incoming() as new:
            await write(new, data)
            return await self.keep(new, **upload)

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[BinaryIO]:
        """A file to be written, removed at the end of the block unless `keep` has got it; raises Busy."""
        path = self._folder / token_hex(_ID_BYTES)
        with _disk_errors():
            file = await to_thread.run_sync(path.open, "xb")
        try:
            yield file
        finally:
            with suppress(OSError):  # what is still in its buffer may fail once more
                file.close()
            if path.name not in self._blobs:
                path.unlink(missing_ok=True)

    async def keep(self, new: BinaryIO, **upload: Any) -> Blob:
        """The file, whole and stored, with `upload` as in `Blob`; raises Busy if the rest can't be written."""
        path, size, now = Path(new.name), new.tell(), self._now()
        with _disk_errors():
            await to_thread.run_sync(new.close)
        blob = self._blobs[path.name] = Blob(path.name, path, size, now, now + self.keep_for, upload)
        self.sweep()
        return blob

    def get(self, name: str) -> Blob | None:
        """The file of that name; None if there is none, or it has been removed."""
        return self._blobs.get(name)

    def uploads(self) -> list[Blob]:
        """The uploaded files, newest first."""
        return [blob for blob in reversed(self._blobs.values()) if blob.upload]

    def drop(self, name: str) -> None:
        """Remove a file; does nothing if it is gone already."""
        if blob := self._blobs.pop(name, None):
            blob.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove every expired file, and the oldest if room runs out."""
        blobs, now = list(self._blobs.values()), self._now()
        used = sum(blob.size for blob in blobs)
        for blob in blobs:
            crowded = used > ROOM or len(self._blobs) > MOST
            if blob.expires <= now or (crowded and blob is not blobs[-1]):  # the newest stays, whatever its size
                self.drop(blob.id)
                used -= blob.size


async def write(file: BinaryIO, data: bytes) -> None:
    """Append `data` to an incoming file; raises Busy if it can't be written."""
    with _disk_errors():
        await to_thread.run_sync(file.write, data)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise Busy(f"this server can't store the file: {reason}", retry_after=_DISK_FULL_FOR) from error
