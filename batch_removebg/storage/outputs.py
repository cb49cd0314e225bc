"""Writes finished pictures; those that arrive together share a thread and the fsyncs of their folders."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError
from batch_removebg.hashing import sha256_hex

from .atomic import write_all
from .group_commit import GroupCommit
from .spool import Held, Spooled

_LANES = 2  # groups written at once: one waits for the disk, the next is hashed; more would contend for locks


class Outputs:
    """Writes pictures to `out`, durably."""

    def __init__(self, out: Path) -> None:
        self._out = out
        # Threads of its own: a slow disk must not hold up work on pixels.
        threads = anyio.CapacityLimiter(_LANES)
        self._put: GroupCommit[tuple[str, Held], str | BatchError] = GroupCommit(
            lambda pictures: anyio.to_thread.run_sync(self._write, pictures, limiter=threads), lanes=_LANES
        )

    async def put(self, name: str, picture: Held) -> str:
        """Write a picture to `out/name`, even if cancelled: its SHA-256 in hex; raises DiskError, SourceError."""
        result = await self._put((name, picture))
        if isinstance(result, BatchError):
            raise result
        return result

    def _write(self, pictures: list[tuple[str, Held]]) -> list[str | BatchError]:
        digests = [one.sha256 if isinstance(one, Spooled) else sha256_hex(one) for _, one in pictures]
        errors = write_all(self._out, [(name, one.path if isinstance(one, Spooled) else one) for name, one in pictures])
        return [digest if error is None else error for digest, error in zip(digests, errors, strict=True)]
