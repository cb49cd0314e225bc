"""What the API gets as an item's input: the URL itself, an uploaded proxy, or a proxy as data URI."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch_removebg.errors import InputRejected
from batch_removebg.model import ProxySpec, Upload

from .context import Context
from .singleflight import Turn
from .work import Prepared

if TYPE_CHECKING:
    from batch_removebg.imaging.proxy import Proxy

_LEFT = 600.0
"""Seconds of life that an upload needs to be used again: a prediction may wait before it reads its input."""
_SMALLEST = 256
"""Longest side below which a proxy isn't made smaller to fit a data URI."""


@dataclass(frozen=True, slots=True)
class Uploader:
    """Makes sources available to the provider."""

    context: Context

    async def image(self, prepared: Prepared, data: bytes | None, turn: Turn) -> Upload:
        """The model's input; `data`: the source's bytes, where at hand.

        An upload of an earlier attempt is used again while it lives long enough. Raises InputRejected where nothing is
        small enough, SourceError where the source has changed, and what uploading raises.
        """
        if prepared.sha256 is None:
            return Upload(prepared.todo.item.source)
        if not self.context.provider.capabilities.files:
            return Upload(await self._data_uri(prepared, data))
        if turn.upload is None or not self._lasts(turn.upload):
            turn.upload = await self._upload(prepared, data)
        return turn.upload

    def _lasts(self, upload: Upload) -> bool:
        return upload.expires_at is not None and upload.expires_at.timestamp() - self.context.clock.wall() >= _LEFT

    async def _upload(self, prepared: Prepared, data: bytes | None) -> Upload:
        spec = self.context.provider.proxy
        proxy = await self._proxy(prepared, data, spec)
        name = f"{prepared.fingerprint}.{'jpg' if spec.encoding == 'jpeg' else spec.encoding}"
        upload = await self.context.provider.upload(proxy.data, filename=name, content_type=proxy.content_type)
        if upload.expires_at is not None and upload.expires_at.timestamp() <= self.context.clock.wall():
            return replace(upload, expires_at=None)  # the server's clock differs from ours
        return upload

    async def _data_uri(self, prepared: Prepared, data: bytes | None) -> str:
        limit, spec = self.context.provider.capabilities.data_uri_limit, self.context.provider.proxy
        while True:
            proxy = await self._proxy(prepared, data, spec)
            if len(proxy.data) * 4 // 3 + 64 <= limit:
                return f"data:{proxy.content_type};base64,{base64.b64encode(proxy.data).decode()}"
            if spec.longest <= _SMALLEST:
                raise InputRejected("can't be made small enough for a data URI")
            spec = replace(spec, longest=min(spec.longest, max(proxy.width, proxy.height)) * 4 // 5)

    async def _proxy(self, prepared: Prepared, data: bytes | None, spec: ProxySpec) -> Proxy:
        from batch_removebg.imaging.proxy import proxy

        cpu = self.context.cpu
        data = data if data is not None else await self.context.sources.again(prepared)
        async with cpu.memory(prepared.cost):
            return await cpu.run(proxy, data, spec, self.context.limits)
