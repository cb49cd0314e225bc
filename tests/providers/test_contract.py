"""Every provider there is keeps to the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest

from batch_removebg.model import Provider
from batch_removebg.providers.local import LocalProvider
from batch_removebg.providers.replicate import Endpoint, Replicate
from batch_removebg.server.listen import ServeSettings, serving
from tests.support.fake_api import FakeApi, connected
from tests.support.local_doubles import MODEL, Here, LeftHalf
from tests.support.provider_contract import CHECKS, Check

pytestmark = pytest.mark.anyio

KEY = "r8_secret"


@asynccontextmanager
async def our_own_server() -> AsyncIterator[Provider]:
    async with (
        serving(ServeSettings(port=0, workers=2, token=KEY, model=MODEL), engine=Here(LeftHalf)) as base,
        aiohttp.ClientSession() as session,
    ):
        yield Replicate(session, Endpoint(base=base, version=MODEL.sha256, key=KEY))


@asynccontextmanager
async def a_hosted_api() -> AsyncIterator[Provider]:
    async with FakeApi(key=KEY) as api, connected(api) as provider:
        yield provider


@asynccontextmanager
async def a_gateway() -> AsyncIterator[Provider]:
    async with FakeApi(gateway=True, key=KEY) as api, connected(api) as provider:
        yield provider
        assert api.foreign == []


@asynccontextmanager
async def the_network_in_this_process() -> AsyncIterator[Provider]:
    provider = LocalProvider(MODEL, Here(LeftHalf))
    yield provider
    await provider.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "running",
    [our_own_server, a_hosted_api, a_gateway, the_network_in_this_process],
    ids=lambda running: running.__name__,
)
async def test_the_contract(running: Callable[[], AbstractAsyncContextManager[Provider]], check: Check) -> None:
    async with running() as provider:
        await check(provider)
