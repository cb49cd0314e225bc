"""Every call of a wrapper passes its one hook, and reaches the provider within as it was made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from batch_removebg.model import CreateRequest
from batch_removebg.providers.base import BUYING, Operation, Wrapper
from tests.support.doubles import ScriptedProvider

pytestmark = pytest.mark.anyio
T = TypeVar("T")
REQUEST = CreateRequest(item="shoe", image="https://shop.example/shoe.jpg", output="shoe.png")


class Noting(Wrapper):
    def __init__(self, inner: ScriptedProvider) -> None:
        super().__init__(inner)
        self.noted: list[Operation] = []

    async def around(self, operation: Operation, once: Callable[[], Awaitable[T]]) -> T:
        self.noted.append(operation)
        return await once()


async def test_every_operation_passes_the_hook_once_and_reaches_the_provider() -> None:
    inner = ScriptedProvider()
    wrapper = Noting(inner)
    made = await wrapper.create(REQUEST)
    assert made.id is not None
    assert made.output is not None
    assert await wrapper.get(made.id) == made
    assert await wrapper.fetch(made.output) == inner.outputs[made.output]
    assert (await wrapper.list()).predictions == (made,)
    assert (await wrapper.upload(b"x", filename="x.jpg", content_type="image/jpeg")).url in inner.uploads
    await wrapper.cancel(made.id)
    assert wrapper.noted == inner.calls == ["create", "get", "fetch", "list", "upload", "cancel"]


def test_what_leads_to_a_purchase_is_uploads_and_creates() -> None:
    assert set(BUYING) == {"create", "upload"}
