"""What becomes of a source before anything is bought for it: it is measured, and made the model's input."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

from batch_removebg.errors import InputRejected, SourceError
from batch_removebg.model import ProxySpec, Upload
from batch_removebg.net.fetch import UNKNOWN
from batch_removebg.resources import patience
from batch_removebg.storage.spool import Spooled

from .context import Context
from .sources import EXPECTED
from .work import Prepared, Todo, Turn

if TYPE_CHECKING:
    from batch_removebg.finish.options import Finish
    from batch_removebg.imaging.decode import Proxy
    from batch_removebg.imaging.format import Limits
    from batch_removebg.imaging.probe import Measured

_LEFT = 600.0  # seconds of life that an upload needs to be used again: a prediction may wait before it reads its input
_SMALLEST = 256  # longest side below which a proxy isn't made smaller to fit a data URI


async def prepare(context: Context, todo: Todo) -> Prepared:
    """The item, measured, and its source held; raises ItemError, or RetryError where a URL doesn't answer."""
    started, item, recipe = context.clock.monotonic(), todo.item, context.recipe
    if item.problem is not None:
        raise SourceError(item.problem)
    if recipe.passes(item):
        return Prepared(todo, recipe.fingerprint(item.source), None, started)

    size = int(todo.signature.partition(":")[0]) if todo.signature else EXPECTED
    forms = tuple(finish.format for finish in recipe.finishes)
    async with context.cpu.memory(size):
        read = await context.sources.read(item, todo.known or UNKNOWN)
        if read.unchanged:
            return Prepared(todo, "", todo.state.source_sha256, started, validators=read.validators)
        data = read.body
        sha256 = await context.workers.sha256(data)
        measured = await context.workers.measured(data, forms)
    source = measured.width * measured.height
    made = max(_made(one, measured, context.limits) for one in recipe.finishes)
    context.sources.hold(fingerprint := recipe.fingerprint(sha256), data)
    return Prepared(
        todo=todo,
        fingerprint=fingerprint,
        sha256=sha256,
        started=started,
        width=measured.width,
        height=measured.height,
        cost=measured.cost * (source + made) // source + len(data),
        pixels=max(source, made),
        data=data if item.path is None or isinstance(data, Spooled) else None,
        notes=measured.notes,
        validators=read.validators,
    )


def _made(finish: Finish, measured: Measured, limits: Limits) -> int:
    """Pixels of the largest picture that may be made beside the source; raises ItemError where all are too large."""
    from batch_removebg.finish.layout import largest

    size = largest((measured.width, measured.height), finish.geometry)
    if finish.geometry.canvas or not finish.geometry.trim:  # else it is the subject that tells
        finish.require_room(size, limits)
    return min(size[0] * size[1], limits.max_pixels) if finish.laid_out else 0


async def model_input(context: Context, prepared: Prepared, turn: Turn) -> Upload:
    """What the API gets: the URL itself, an uploaded proxy, or one as data URI.

    An upload of an earlier attempt is used again while it lives long enough. Raises InputRejected where nothing is
    small enough, SourceError where the source has changed, and what uploading raises.
    """
    if prepared.sha256 is None:
        return Upload(prepared.todo.item.url or prepared.todo.item.source)
    if not context.provider.capabilities.files:
        return Upload(await _data_uri(context, prepared))
    expiry = turn.upload.expires_at if turn.upload is not None else None
    if turn.upload is None or expiry is None or expiry.timestamp() - context.clock.wall() < _LEFT:
        turn.upload = await _upload(context, prepared)
    return turn.upload


async def _upload(context: Context, prepared: Prepared) -> Upload:
    spec = context.provider.proxy
    proxy = await _proxy(context, prepared, spec)
    name = f"{prepared.fingerprint}.{'jpg' if spec.encoding == 'jpeg' else spec.encoding}"
    upload = await context.provider.upload(proxy.data, filename=name, content_type=proxy.content_type)
    if upload.expires_at is not None and upload.expires_at.timestamp() <= context.clock.wall():
        return replace(upload, expires_at=None)  # the server's clock differs from ours
    return upload


async def _data_uri(context: Context, prepared: Prepared) -> str:
    limit, spec = context.provider.capabilities.data_uri_limit, context.provider.proxy
    while True:
        proxy = await _proxy(context, prepared, spec)
        if len(proxy.data) * 4 // 3 + 64 <= limit:
            return f"data:{proxy.content_type};base64,{base64.b64encode(proxy.data).decode()}"
        if spec.longest <= _SMALLEST:
            raise InputRejected("can't be made small enough for a data URI")
        spec = replace(spec, longest=min(spec.longest, max(proxy.width, proxy.height)) * 4 // 5)


async def _proxy(context: Context, prepared: Prepared, spec: ProxySpec) -> Proxy:
    async with context.cpu.memory(prepared.cost):
        data = await context.sources.again(prepared)
        seconds = patience(prepared.width * prepared.height)
        return await context.workers.proxy(seconds, data, spec, prepared.fingerprint)
