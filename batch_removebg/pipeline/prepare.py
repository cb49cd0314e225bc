"""A source is read, hashed and measured before anything is bought for it."""

from __future__ import annotations

from batch_removebg.errors import SourceError

from .context import Context
from .sources import sha256_of
from .work import Prepared, Todo


async def prepare(context: Context, todo: Todo) -> tuple[Prepared, bytes | None]:
    """The item and, where it was read, its source; raises ItemError, or RetryError where a URL doesn't answer."""
    started, item, recipe = context.clock.monotonic(), todo.item, context.recipe
    if item.problem is not None:
        raise SourceError(item.problem)
    if item.path is None and recipe.passes_urls:
        fingerprint = recipe.fingerprint(item.source)
        return Prepared(todo, fingerprint, None, 0, 0, 0, None, (), started), None

    from batch_removebg.imaging import probe

    data = await context.sources.read(item)
    sha256 = await context.cpu.run(sha256_of, data)
    header = await context.cpu.run(probe.probe, data, context.limits)
    recipe.finish.encoding.require_room(header.width, header.height)
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
