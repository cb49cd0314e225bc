"""Writes finished pictures; those that arrive together share a thread and the fsyncs of their folders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError
from batch_removebg.hashing import sha256_hex

from .atomic import write_all
from .group_commit import GroupCommit

_LANES = 2  # groups written at once: one waits for the disk, the next is hashed; more would contend for locks


class Outputs:
    """Writes pictures to `out`, durably."""

    def __init__(self, out: Path) -> None:
        self._out = out
        # Threads of its own: a slow disk must not hold up work on pixels.
        threads = anyio.CapacityLimiter(_LANES)
        self._put: GroupCommit[Sequence[tuple[str, bytes]], list[str] | BatchError] = GroupCommit(
            lambda pictures: anyio.to_thread.run_sync(self._write, pictures, limiter=threads), lanes=_LANES
        )

    async def put(self, pictures: Sequence[tuple[str, bytes]]) -> list[str]:
        """Write each to `out/name`, even if cancelled: their SHA-256 in hex; raises DiskError, SourceError."""
        result = await self._put(pictures)
        if isinstance(result, BatchError):
            raise result
        return result

    def _write(self, groups: list[Sequence[tuple[str, bytes]]]) -> list[list[str] | BatchError]:
        pictures = [picture for group in groups for picture in group]
        ended: list[str | BatchError] = [sha256_hex(data) for _, data in pictures]
        for nth, error in enumerate(write_all(self._out, pictures)):
            ended[nth] = error or ended[nth]
        rest = iter(ended)
        return [_together(list(islice(rest, len(group)))) for group in groups]


def _together(ended: list[str | BatchError]) -> list[str] | BatchError:
    """The digests of pictures, or the first error among them."""
    errors = (one for one in ended if isinstance(one, BatchError))
    return next(errors, None) or [one for one in ended if isinstance(one, str)]
