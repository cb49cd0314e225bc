"""Writes finished pictures; those that arrive together share a thread and the fsyncs of their folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError
from batch_removebg.hashing import sha256_hex

from .atomic import inside, write_all
from .group_commit import GroupCommit

_LANES = 2  # groups written at once: one waits for the disk, the next is hashed; more would contend for locks


class Outputs(Protocol):
    """Where finished pictures lie, by their names. Its methods that aren't async block."""

    async def put(self, name: str, picture: bytes, recipe: str = "") -> str:
        """Put a picture durably under its name, even if cancelled: its SHA-256 in hex; raises BatchError."""
        ...

    def size(self, name: str) -> int:
        """Bytes of the picture; raises OSError where there is none."""
        ...

    def taken(self, name: str) -> bool:
        """Whether anything has the name."""
        ...

    def read(self, name: str) -> bytes:
        """The picture; raises OSError where it can't be had."""
        ...

    def room(self, name: str) -> None:
        """Raise ItemError where nothing can be written under the name."""
        ...


class Folder:
    """Pictures below a folder."""

    def __init__(self, out: Path) -> None:
        self._out, self._prefix = out, f"{out}{os.sep}"
        self._folders: dict[str, str] = {}
        # Threads of its own: a slow disk must not hold up work on pixels.
        threads = anyio.CapacityLimiter(_LANES)
        self._put: GroupCommit[tuple[str, bytes], str | BatchError] = GroupCommit(
            lambda pictures: anyio.to_thread.run_sync(self._write, pictures, limiter=threads), lanes=_LANES
        )

    async def put(self, name: str, picture: bytes, recipe: str = "") -> str:
        """See Outputs; raises DiskError, SourceError."""
        result = await self._put((name, picture))
        if isinstance(result, BatchError):
            raise result
        return result

    def size(self, name: str) -> int:
        """See Outputs."""
        return os.stat(self._prefix + name).st_size  # noqa: PTH116  # quicker than a Path for each of a million

    def taken(self, name: str) -> bool:
        """See Outputs."""
        return os.path.lexists(self._prefix + name)

    def read(self, name: str) -> bytes:
        """See Outputs."""
        return (self._out / name).read_bytes()

    def room(self, name: str) -> None:
        """See Outputs; also raises DiskError."""
        inside(self._out, name, self._folders)

    def _write(self, pictures: list[tuple[str, bytes]]) -> list[str | BatchError]:
        digests = [sha256_hex(picture) for _, picture in pictures]
        errors = write_all(self._out, pictures)
        return [digest if error is None else error for digest, error in zip(digests, errors, strict=True)]
