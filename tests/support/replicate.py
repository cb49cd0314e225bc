"""Fixtures of the tests of Replicate: the API, a gateway, and providers that talk to them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from batch_removebg.model import CreateRequest
from batch_removebg.providers.replicate import Replicate
from tests.support.fake_api import (
    FakeApi,
    connected,
)
from tests.support.wire import (
    bottomless,
    cut_short,
    dripping,
    empty,
    endless,
    hang,
    hang_up,
    nested,
    not_gzip,
    reset,
    says,
    wrong_length,
)

KEY = "r8_a-very-secret-key"
URL = "https://shop.example/shoe.jpg"
REQUEST = CreateRequest(item="shoe.jpg", image=URL, output="shoe.png")


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(key=KEY) as running:
        yield running


@pytest.fixture
async def provider(api: FakeApi) -> AsyncIterator[Replicate]:
    async with connected(api) as made:
        yield made


@pytest.fixture
async def impatient(api: FakeApi) -> AsyncIterator[Replicate]:
    """For faults that only time ends."""
    async with connected(api, seconds=0.01) as made:
        yield made


@pytest.fixture
async def gateway() -> AsyncIterator[FakeApi]:
    async with FakeApi(gateway=True, key=KEY) as running:
        yield running


# Faults

WIRE = {
    "hang_up": hang_up,
    "reset": reset,
    "hang": hang,
    "cut_short": cut_short(),
    "wrong_length": wrong_length(),
    "not_gzip": not_gzip(),
    "dripping": dripping(),
    "endless": endless(200),
    "cut_short_500": cut_short(500),
}
NO_ANSWER = {
    "empty_200": empty(200),
    "empty_204": empty(204),
    "text": says(200, "ok"),
    "list": says(201, []),
    "nested": says(200, nested(400)),
    "bottomless": bottomless,
}


async def ask(provider: Replicate, call: str) -> object:
    if call == "get":
        return await provider.get("a")
    if call == "list":
        return await provider.list()
    if call == "cancel":
        return await provider.cancel("a")
    return await provider.upload(b"x", filename="x.jpg", content_type="image/jpeg")
