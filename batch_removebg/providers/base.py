"""What all wrappers share: a Provider around a Provider, that hands on what it does not concern itself with."""

from __future__ import annotations

from datetime import datetime

from batch_removebg.model import (
    Capabilities,
    CreateRequest,
    Matte,
    Prediction,
    PredictionPage,
    Provider,
    ProxySpec,
    Upload,
)


class Wrapper:
    """A Provider that passes every call to the one it wraps."""

    def __init__(self, inner: Provider) -> None:
        self.inner = inner
        self.name: str = inner.name
        self.version: str = inner.version
        self.capabilities: Capabilities = inner.capabilities
        self.proxy: ProxySpec = inner.proxy

    async def create(self, request: CreateRequest) -> Prediction:
        """See Provider."""
        return await self.inner.create(request)

    async def get(self, prediction_id: str) -> Prediction:
        """See Provider."""
        return await self.inner.get(prediction_id)

    async def cancel(self, prediction_id: str) -> None:
        """See Provider."""
        await self.inner.cancel(prediction_id)

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        """See Provider."""
        return await self.inner.list(created_after=created_after, cursor=cursor)

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        """See Provider."""
        return await self.inner.upload(data, filename=filename, content_type=content_type)

    async def fetch(self, url: str) -> bytes | Matte:
        """See Provider."""
        return await self.inner.fetch(url)

    async def abandon(self) -> None:
        """See Provider."""
        await self.inner.abandon()

    async def aclose(self) -> None:
        """See Provider."""
        await self.inner.aclose()
