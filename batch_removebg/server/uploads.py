"""The files that clients have handed in to be named as inputs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread

from batch_removebg.clock import Clock

from .blob_store import Shelf
from .protocol import timestamp

_FILE_PATH = re.compile(r"/v1/files/([0-9a-f]{26})(?:/download)?")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file on the shelf of inputs."""

    id: str
    name: str
    content_type: str
    size: int
    sha256: str
    metadata: Mapping[str, Any]
    created: float
    """Seconds since 1970."""


class Uploads:
    """The Files API without HTTP: files are kept as long as their shelf keeps them."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._clock = clock
        self._files: dict[str, UploadedFile] = {}

    async def add(self, data: bytes, *, name: str, content_type: str, metadata: Mapping[str, Any]) -> UploadedFile:
        """Keep a file; raises OSError where the disk is full."""
        sha256 = await to_thread.run_sync(lambda: hashlib.sha256(data).hexdigest())
        key = await self._shelf.put(data)
        file = UploadedFile(key, name, content_type, len(data), sha256, metadata, self._clock.wall())
        # What the shelf has let go of in the meantime is forgotten here too.
        self._files = {old: kept for old, kept in self._files.items() if self._shelf.path(old)} | {key: file}
        return file

    def get(self, file_id: str) -> UploadedFile | None:
        """The file of that id; None where there is none, or its time is up."""
        return self._files.get(file_id) if self._shelf.path(file_id) else None

    def list(self) -> list[UploadedFile]:
        """All files there are, newest first."""
        return [file for file in reversed(self._files.values()) if self._shelf.path(file.id)]

    def drop(self, file_id: str) -> bool:
        """Delete a file; whether there was one."""
        there = self.get(file_id) is not None
        self._files.pop(file_id, None)
        if there:
            self._shelf.drop(file_id)
        return there

    def path(self, file: UploadedFile) -> Path | None:
        """Where the file lies; None where its time is up."""
        return self._shelf.path(file.id)

    def until(self, file: UploadedFile) -> float:
        """When the file will be gone, in seconds since 1970."""
        return file.created + self._shelf.keep


def named_in(url: str) -> str | None:
    """The id of an uploaded file that a URL names, by whatever host name the client reached us; None for other URLs."""
    try:
        found = _FILE_PATH.fullmatch(urlsplit(url).path)
    except ValueError:  # no URL at all; fetching it will say so
        return None
    return found[1] if found else None


def as_json(file: UploadedFile, base: str, until: float) -> dict[str, Any]:
    """A file as the API shows it; `base` is the URL of `/v1`."""
    return {
        "id": file.id,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "etag": file.sha256,
        "checksums": {"sha256": file.sha256},
        "metadata": dict(file.metadata),
        "created_at": timestamp(file.created),
        "expires_at": timestamp(until),
        "urls": {"get": f"{base}/files/{file.id}/download"},
    }
