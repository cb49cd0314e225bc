"""The first look at a source: read, hashed and measured."""

from __future__ import annotations

from batch_removebg.errors import SourceError

from .sources import sha256_of
from .tools import Tools
from .work import Prepared, Todo


class Preparer:
    """Looks at sources."""

    def __init__(self, tools: Tools) -> None:
        self._recipe = tools.recipe
        self._sources = tools.sources
        self._cpu = tools.cpu
        self._limits = tools.limits
        self._clock = tools.clock

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
        sha256 = await self._cpu.run(sha256_of, data)
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
