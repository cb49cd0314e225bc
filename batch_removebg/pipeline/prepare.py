"""The first look at a source: read, hashed and measured, and read again where its bytes were let go of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from batch_removebg.clock import Clock
from batch_removebg.errors import SourceError
from batch_removebg.imaging.format import Limits
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.resources import Cpu

from .cache_key import Recipe
from .sources import Sources


@dataclass(frozen=True, slots=True)
class Todo:
    """An item that is to be done, with what is known of it."""

    item: Item
    output: str
    """Name claimed for it, relative to OUT."""
    state: ItemState
    """As the ledger had it when the item was read."""
    signature: str | None = None
    """Size and times of the file, taken before it is read; None for a URL."""
    finished_if_same: bool = False
    """Nothing is to be done if the content is what it was: only times of the file have changed."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source, looked at."""

    todo: Todo
    fingerprint: str
    sha256: str | None
    """Of the source; None where a URL is passed through."""
    width: int
    height: int
    """Of the upright source in pixels; 0 where a URL is passed through."""
    cost: int
    """Bytes that finishing it will take."""
    data: bytes | None
    """Kept only where reading it again would be a second download."""
    notes: tuple[str, ...]
    started: float


class Preparer:
    """Looks at sources."""

    def __init__(self, recipe: Recipe, sources: Sources, cpu: Cpu, limits: Limits, clock: Clock) -> None:
        self._recipe = recipe
        self._sources = sources
        self._cpu = cpu
        self._limits = limits
        self._clock = clock

    async def prepare(self, todo: Todo) -> tuple[Prepared, bytes | None]:
        """The source and, where it was read, its bytes; raises ItemError, or RetryError where a URL gives nothing."""
        started, item, recipe = self._clock.monotonic(), todo.item, self._recipe
        if item.problem is not None:
            raise SourceError(item.problem)
        if item.path is None and recipe.passes_urls:
            fingerprint = recipe.fingerprint(item.source)
            return Prepared(todo, fingerprint, None, 0, 0, 0, None, (), started), None

        from batch_removebg.imaging import probe

        data = await self._sources.read(item)
        sha256 = await self._cpu.run(_sha256, data)
        header = await self._cpu.run(probe.probe, data, self._limits)
        recipe.finish.encoding.require_room(header.width, header.height)  # before anything is bought for it
        prepared = Prepared(
            todo=todo,
            fingerprint=recipe.fingerprint(sha256),
            sha256=sha256,
            width=header.width,
            height=header.height,
            cost=probe.cost(header, recipe.finish.format),
            data=data if item.path is None else None,
            notes=header.notes,
            started=started,
        )
        return prepared, data

    async def data(self, prepared: Prepared) -> bytes:
        """The bytes of a prepared source again; raises SourceError if it has to be read and has changed since."""
        held = prepared.data or self._sources.held(prepared.fingerprint)
        if held is not None:
            return held
        data = await self._sources.read(prepared.todo.item)
        if await self._cpu.run(_sha256, data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
