"""Files kept for an hour under names that can't be guessed, within a fixed amount of disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from anyio import to_thread

from batch_removebg.errors import Busy

KEEP = 3600.0  # seconds, as on the hosted service
ROOM = 8 << 30  # bytes in all
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
    upload: Mapping[str, Any]
    """What else the Files API shows of an uploaded file; empty for a file that the server itself has stored."""


class BlobStore:
    """A folder of files under random names; they are removed when they expire, the oldest earlier if room runs out."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        """`folder` is created; `now` gives seconds since 1970."""
        folder.mkdir()
        self._folder = folder
        self._now = now
        self._blobs: dict[str, Blob] = {}  # oldest first

    async def put(self, data: bytes, **upload: Any) -> Blob:
        """The stored file, with `upload` as in `Blob`; raises Busy if it can't be written."""
        name = token_hex(_ID_BYTES)
        path = self._folder / name
        try:
            await to_thread.run_sync(path.write_bytes, data)
        except OSError as error:
            path.unlink(missing_ok=True)
            reason = error.strerror or error
            raise Busy(f"this server can't store the file: {reason}", retry_after=_DISK_FULL_FOR) from error
        now = self._now()
        blob = self._blobs[name] = Blob(name, path, len(data), now, now + KEEP, upload)
        self._make_room()
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
        """Remove every expired file."""
        now = self._now()
        for blob in list(self._blobs.values()):
            if blob.expires <= now:
                self.drop(blob.id)

    def _make_room(self) -> None:
        used = sum(blob.size for blob in self._blobs.values())
        for blob in list(self._blobs.values())[:-1]:  # the newest stays, whatever its size
            if used <= ROOM:
                return
            self.drop(blob.id)
            used -= blob.size
