"""Writes finished pictures; those that arrive together share a thread and the fsyncs of their folders."""

# ruff: noqa: D102  # the methods are explained in Outputs

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
from .spool import Held, Spooled

_LANES = 2  # groups written at once: one waits for the disk, the next is hashed; more would contend for locks


class Outputs(Protocol):
    """Where finished pictures lie by their names, each durable once it is put, even by who is cancelled meanwhile.

    `put` gives the picture's SHA-256 in hex, and raises BatchError; the others block. `size` and `read` raise OSError,
    and `room` ItemError where nothing can be written under a name.
    """

    async def put(self, name: str, picture: Held, recipe: str = "") -> str: ...
    def size(self, name: str) -> int: ...
    def taken(self, name: str) -> bool: ...
    def read(self, name: str) -> bytes: ...
    def room(self, name: str) -> None: ...


class Folder:
    """Pictures below a folder."""

    def __init__(self, out: Path) -> None:
        self._out, self._prefix = out, f"{out}{os.sep}"
        self._folders: dict[str, str] = {}
        # Threads of its own: a slow disk must not hold up work on pixels.
        threads = anyio.CapacityLimiter(_LANES)
        self._put: GroupCommit[tuple[str, Held], str | BatchError] = GroupCommit(
            lambda pictures: anyio.to_thread.run_sync(self._write, pictures, limiter=threads), lanes=_LANES
        )

    async def put(self, name: str, picture: Held, recipe: str = "") -> str:
        result = await self._put((name, picture))
        if isinstance(result, BatchError):
            raise result
        return result

    def size(self, name: str) -> int:
        return os.stat(self._prefix + name).st_size  # noqa: PTH116  # quicker than a Path for each of a million

    def taken(self, name: str) -> bool:
        return os.path.lexists(self._prefix + name)

    def read(self, name: str) -> bytes:
        return (self._out / name).read_bytes()

    def room(self, name: str) -> None:
        inside(self._out, name, self._folders)

    def _write(self, pictures: list[tuple[str, Held]]) -> list[str | BatchError]:
        digests = [one.sha256 if isinstance(one, Spooled) else sha256_hex(one) for _, one in pictures]
        errors = write_all(self._out, [(name, one.path if isinstance(one, Spooled) else one) for name, one in pictures])
        return [digest if error is None else error for digest, error in zip(digests, errors, strict=True)]
