"""Writes finished pictures; those that arrive together share a thread and the fsyncs of their folders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError

from .atomic import write_all
from .group_commit import GroupCommit


class _File(Protocol):
    @property
    def data(self) -> bytes: ...


F = TypeVar("F", bound=_File)
Draft = Callable[[], F | None]  # makes the picture, in the thread that writes it; None where that can't be done at once

_LANES = 2  # groups written at once: one waits for the disk, the next is hashed; more would contend for locks


@dataclass(frozen=True, slots=True)
class Written(Generic[F]):
    """A picture that is durable under its name."""

    picture: F
    sha256: str


class Outputs(Generic[F]):
    """Writes pictures to `out`, durably."""

    def __init__(self, out: Path) -> None:
        self._out = out
        # Threads of its own: a slow disk must not hold up work on pixels.
        threads = anyio.CapacityLimiter(_LANES)
        self._put: GroupCommit[tuple[str, Draft[F]], Written[F] | BatchError | None] = GroupCommit(
            lambda drafts: anyio.to_thread.run_sync(self._write, drafts, limiter=threads), lanes=_LANES
        )

    async def put(self, name: str, draft: Draft[F]) -> Written[F] | None:
        """Write the draft's picture to `out/name`, even if cancelled; raises as that does, DiskError, SourceError."""
        result = await self._put((name, draft))
        if isinstance(result, BatchError):
            raise result
        return result

    def _write(self, drafts: list[tuple[str, Draft[F]]]) -> list[Written[F] | BatchError | None]:
        results: list[Written[F] | BatchError | None] = [_made(draft) for _, draft in drafts]
        made = [(place, result) for place, result in enumerate(results) if isinstance(result, Written)]
        errors = write_all(self._out, [(drafts[place][0], written.picture.data) for place, written in made])
        for (place, _), error in zip(made, errors, strict=True):
            if error is not None:
                results[place] = error
        return results


def _made(draft: Draft[F]) -> Written[F] | BatchError | None:
    try:
        picture = draft()
    except BatchError as error:
        return error
    return None if picture is None else Written(picture, hashlib.sha256(picture.data).hexdigest())
