"""An answer is believed only where it is the answer to what was asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from math import inf
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from batch_removebg.errors import (
    CreateLost,
    ServerError,
)
from batch_removebg.model import CreateRequest
from batch_removebg.net import fetch
from batch_removebg.net.patience import Patience
from batch_removebg.providers import replicate
from batch_removebg.providers.replicate import Endpoint, Replicate
from batch_removebg.resources import Memory
from batch_removebg.storage.on_disk import OnDisk
from tests.support.fake_api import (
    FakeApi,
    connected,
    data_uri,
)
from tests.support.replicate import KEY, REQUEST, URL, api, gateway, provider
from tests.support.wire import (
    says,
)

__all__ = ["api", "gateway", "provider"]

pytestmark = pytest.mark.anyio


# Whose answer is it?


@pytest.mark.parametrize("image", ["https://shop.example/boot.jpg", "https://shop.example/shoe.jpg?v=2"])
async def test_an_answer_that_echoes_another_picture_is_no_answer(
    api: FakeApi, provider: Replicate, image: str
) -> None:
    await provider.create(replace(REQUEST, image="https://shop.example/hat.jpg"))  # it repeats them as they were sent
    api.respond("POST", "/predictions", says(201, {"id": "p9", "status": "starting", "input": {"image": image}}))
    with pytest.raises(CreateLost, match="another"):
        await provider.create(REQUEST)


@pytest.mark.parametrize("image", ["HTTPS://SHOP.example:443/sho%65.jpg", data_uri(b"x"), None])
async def test_an_echo_may_be_spelled_otherwise_or_say_nothing(
    api: FakeApi, provider: Replicate, image: str | None
) -> None:
    api.respond("POST", "/predictions", says(201, {"id": "p9", "status": "starting", "input": {"image": image}}))
    assert (await provider.create(REQUEST)).id == "p9"


async def test_an_upload_that_is_answered_with_a_prediction_is_no_upload(api: FakeApi, provider: Replicate) -> None:
    answer = {"id": "p1", "status": "starting", "urls": {"get": f"{api.base}/predictions/p1"}}
    api.respond("POST", "/files", says(201, answer))
    with pytest.raises(ServerError, match="no file"):
        await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")


async def test_a_query_answered_with_another_prediction_is_asked_again(api: FakeApi, provider: Replicate) -> None:
    api.respond("GET", "/predictions/p1", says(200, {"id": "p2", "status": "succeeded", "output": URL}))
    with pytest.raises(ServerError, match="another prediction, p2"):
        await provider.get("p1")


async def test_a_connection_that_brought_anothers_answer_is_not_used_again(api: FakeApi) -> None:
    peers: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.json_response({"id": "p2" if len(peers) == 2 else "p1", "status": "starting"})

    api.respond("GET", "/predictions/p1", answer)
    async with fetch.open_session(public_only=False) as session:
        provider = Replicate(session, Endpoint(base=api.base, key=KEY))
        await provider.get("p1")
        with pytest.raises(ServerError):
            await provider.get("p1")
        await provider.get("p1")
    assert peers[0] == peers[1] != peers[2]


@pytest.mark.parametrize("about", [{"size": 7}, {"checksums": {"sha256": "0" * 64}}])
async def test_an_upload_answered_with_another_file_is_sent_again(
    api: FakeApi, provider: Replicate, about: dict[str, object]
) -> None:
    api.respond("POST", "/files", says(201, {"urls": {"get": URL}, **about}))
    with pytest.raises(ServerError, match="another file"):
        await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")


@pytest.mark.parametrize("late", [0.0, 0.02])
async def test_an_answer_too_many_on_a_kept_connection_is_nobodys(late: float) -> None:
    """The next request would be given it, if the connection were kept."""
    body = b'{"id":"p1","status":"starting"}'
    first = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        serving.append(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                answered += 1
                writer.write(first if b"/p1" in asked else first.replace(b"p1", b"p2"))
                if answered == 1:
                    await anyio.sleep(late)
                    writer.write(first)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    serving: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, fetch.open_session(public_only=False) as session:
        provider = Replicate(session, Endpoint(base=f"http://127.0.0.1:{port}/v1"))
        assert (await provider.get("p1")).id == "p1"
        await anyio.sleep(3 * late)
        assert (await provider.get("p2")).id == "p2"
    await asyncio.gather(*filter(None, serving))


async def test_a_server_that_rewrites_inputs_is_believed_unless_it_names_anothers(
    api: FakeApi, provider: Replicate
) -> None:
    for number in range(2):
        made = {"id": f"q{number}", "status": "starting", "input": {"image": f"https://cdn.example/{number}.png"}}
        api.respond("POST", "/predictions", says(201, made))
        assert (await provider.create(replace(REQUEST, image=f"https://shop.example/{number}.jpg"))).id == f"q{number}"
    api.respond("GET", "/predictions/q1", says(200, made | {"input": {"image": "https://shop.example/0.jpg"}}))
    with pytest.raises(ServerError, match="another"):
        await provider.get("q1")


async def test_an_output_that_another_prediction_has_is_no_answer(api: FakeApi, provider: Replicate) -> None:
    done = {"id": "q1", "status": "succeeded", "output": "https://cdn.example/o.png"}
    api.respond("*", "/predictions*", says(201, done))
    await provider.create(replace(REQUEST, image="data:,a"))
    assert (await provider.get("q1")).output == done["output"]
    api.respond("POST", "/predictions", says(201, done | {"id": "q2"}))
    with pytest.raises(CreateLost, match="another"):
        await provider.create(replace(REQUEST, image="data:,b"))


async def test_predictions_of_an_earlier_run_may_have_one_output(api: FakeApi, provider: Replicate) -> None:
    for number in range(2):
        done = {"id": f"q{number}", "status": "succeeded", "output": "https://cdn.example/by-content.png"}
        api.respond("GET", f"/predictions/q{number}", says(200, done))
        assert (await provider.get(f"q{number}")).output == done["output"]


async def test_two_urls_of_one_picture_may_have_one_output(api: FakeApi, provider: Replicate) -> None:
    for number in range(2):
        done = {"id": f"q{number}", "status": "succeeded", "output": "https://cdn.example/by-content.png"}
        api.respond("POST", "/predictions", says(201, done))
        made = await provider.create(replace(REQUEST, image=f"https://shop.example/{number}.jpg"))
        assert made.output == done["output"]


@pytest.mark.parametrize("about", [{}, {"name": "a.jpg"}])
async def test_an_upload_answered_with_an_earlier_one_is_sent_again(
    api: FakeApi, provider: Replicate, about: dict[str, object]
) -> None:
    api.respond("POST", "/files", says(201, {"urls": {"get": URL}, **about}))
    await provider.upload(b"x", filename="a.jpg", content_type="image/jpeg")
    with pytest.raises(ServerError, match="another file"):
        await provider.upload(b"y", filename="b.jpg", content_type="image/jpeg")


class CountedMemory(Memory):
    """Memory without bound that keeps account."""

    def __init__(self) -> None:
        super().__init__(inf)
        self.asked: list[int] = []

    @contextlib.asynccontextmanager
    async def reserved(self, cost: int) -> AsyncIterator[None]:
        self.asked.append(cost)
        yield


PIXELS = b"\x89PNG\r\n\x1a\n" * 20_000
LONG = "data:image/png;base64," + base64.b64encode(PIXELS).decode()
ENDED = {"id": "p1", "status": "succeeded", "output": LONG}


async def test_a_long_answer_waits_for_memory_and_its_picture_on_disk(
    api: FakeApi, provider: Replicate, tmp_path: Path
) -> None:
    memory = CountedMemory()
    provider.memory, provider.scratch = memory, tmp_path
    api.respond("GET", "/predictions/p1", says(200, {"id": "p1", "status": "processing"}))
    await provider.get("p1")
    assert memory.asked == []
    api.respond("GET", "/predictions/p1", says(200, ENDED))
    found = await provider.get("p1")
    assert memory.asked == [4 * len(json.dumps(ENDED))]
    assert isinstance(found.output, OnDisk)
    assert await provider.fetch(found.output) == PIXELS
    assert len(list(tmp_path.iterdir())) == 1
    del found
    assert list(tmp_path.iterdir()) == []


async def test_a_long_answer_stays_in_memory_where_the_disk_refuses_it(
    api: FakeApi, provider: Replicate, tmp_path: Path
) -> None:
    provider.scratch = tmp_path / "gone"
    api.respond("POST", "/predictions", says(201, ENDED))
    assert (await provider.create(REQUEST)).output == LONG


@pytest.mark.parametrize(("gateway", "silence"), [(True, 180.0), (False, 60.0)])
async def test_where_a_lost_create_can_not_be_looked_for_its_answer_is_awaited_longer(
    monkeypatch: pytest.MonkeyPatch, gateway: bool, silence: float
) -> None:
    borne = list[float]()

    class Noted(Patience):
        def __init__(self, silence: float, total: float) -> None:
            super().__init__(silence, total)
            borne.append(silence)

    monkeypatch.setattr(replicate, "Patience", Noted)
    async with FakeApi(gateway=gateway) as api, connected(api) as provider:
        made = await provider.create(CreateRequest("a", "https://shop.example/a.jpg", "a.png"))
        await provider.get(str(made.id))
    assert borne == [silence, 60.0]
