"""Finished pictures on their way to the disk: those that come at the same time share a thread and fsyncs of folders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError

from .atomic import write_all
from .group_commit import Together


class File(Protocol):
    """A finished file."""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ...


F = TypeVar("F", bound=File)
Draft = Callable[[], F | None]
"""Gives the picture, in the thread that writes it; None where there is none to be had at once."""

_LANES = 2
"""Groups that are written at once: while one waits for the disk, the next is hashed and written. More of them get
into each other's way, at the interpreter's lock and at the folder's."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[F]):
    """A picture that is durable under its name."""

    picture: F
    sha256: str


class Pictures(Generic[F]):
    """Puts pictures under their names in `out`, durably."""

    def __init__(self, out: Path) -> None:
        self._out = out
        # Threads of its own: a disk that is slow must not keep pixels from being worked on.
        self._threads = anyio.CapacityLimiter(_LANES)
        self._put: Together[tuple[str, Draft[F]], Kept[F] | BatchError | None] = Together(self._group, lanes=_LANES)

    async def put(self, name: str, draft: Draft[F]) -> Kept[F] | None:
        """Make the picture durable as `out/name`; None, and nothing written, where the draft gives none.

        Where the caller is cancelled, it is written all the same. Raises what the draft raises, DiskError, and
        SourceError where the name can't be written.
        """
        kept = await self._put((name, draft))
        if isinstance(kept, BatchError):
            raise kept
        return kept

    async def _group(self, drafts: list[tuple[str, Draft[F]]]) -> Sequence[Kept[F] | BatchError | None]:
        return await anyio.to_thread.run_sync(self._write, drafts, limiter=self._threads)

    def _write(self, drafts: list[tuple[str, Draft[F]]]) -> list[Kept[F] | BatchError | None]:
        results: list[Kept[F] | BatchError | None] = [_drawn(draft) for _, draft in drafts]
        made = [(place, kept) for place, kept in enumerate(results) if isinstance(kept, Kept)]
        errors = write_all(self._out, [(drafts[place][0], kept.picture.data) for place, kept in made])
        for (place, _), error in zip(made, errors, strict=True):
            if error is not None:
                results[place] = error
        return results


def _drawn(draft: Draft[F]) -> Kept[F] | BatchError | None:
    try:
        picture = draft()
    except BatchError as error:
        return error
    return None if picture is None else Kept(picture, hashlib.sha256(picture.data).hexdigest())
