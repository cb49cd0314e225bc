"""What all wrappers share: a Provider around a Provider, and one hook that every call passes."""

# ruff: noqa: D102  # the methods are Provider's, and explained there

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from batch_removebg.model import CreateRequest, Matte, Prediction, PredictionPage, Provider, Reference, Upload

T = TypeVar("T")
Once = Callable[[], Awaitable[T]]  # one call of the wrapped provider
Operation = Literal["create", "get", "cancel", "list", "upload", "fetch"]
BUYING: tuple[Operation, ...] = ("create", "upload")
"""Operations that lead to a purchase: once the run stops, none is begun any more."""
Pause = Callable[[Operation, float], Awaitable[None]]
"""Waits so many seconds before an operation; raises Stopping where the run stops first and the operation would buy."""


@dataclass(eq=False)
class Wrapper:
    """A Provider that passes every call to the one it wraps, through `around`."""

    inner: Provider

    def __post_init__(self) -> None:
        self.name, self.version = self.inner.name, self.inner.version
        self.capabilities, self.proxy = self.inner.capabilities, self.inner.proxy

    async def around(self, operation: Operation, once: Once[T]) -> T:
        """The result of an operation; each call of `once` asks the wrapped provider."""
        return await once()

    async def create(self, request: CreateRequest) -> Prediction:
        return await self.around("create", lambda: self.inner.create(request))

    async def get(self, prediction_id: str) -> Prediction:
        return await self.around("get", lambda: self.inner.get(prediction_id))

    async def cancel(self, prediction_id: str) -> None:
        await self.around("cancel", lambda: self.inner.cancel(prediction_id))

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        return await self.around("list", lambda: self.inner.list(created_after=created_after, cursor=cursor))

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        inner = self.inner
        return await self.around("upload", lambda: inner.upload(data, filename=filename, content_type=content_type))

    async def fetch(self, url: str) -> bytes | Matte | Reference:
        return await self.around("fetch", lambda: self.inner.fetch(url))

    async def abandon(self) -> None:
        await self.inner.abandon()
