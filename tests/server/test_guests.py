"""What clients may take of the server, over real connections: whoever keeps it waiting longest gives way."""

from __future__ import annotations

import io
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from batch_removebg.server import guests, listen
from tests.support.local_doubles import Api, Stalled, api_server, data_uri, picture

pytestmark = pytest.mark.anyio
HEAD = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
CONTENT = b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n'
GET = b"GET /v1/files HTTP/1.1\r\nHost: localhost\r\n\r\n"


LARGE = 20 << 20
"""Bytes; more than the system takes on behalf of one that doesn't read."""


def open_inputs() -> int:
    """Files of clients that the server has open."""
    links = list(Path("/proc/self/fd").iterdir())
    return sum("/inputs/" in str(link.readlink()) for link in links if link.is_symlink())


class Strangers:
    """Connections to the server that are closed at the end."""

    def __init__(self, api: Api, stack: AsyncExitStack) -> None:
        self._port = int(api.base.split(":")[2].partition("/")[0])
        self._stack = stack

    async def say(self, words: bytes = b"") -> SocketStream:
        """A new connection over which this has been sent."""
        stream = await self._stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", self._port))
        if words:
            await stream.send(words)
        await anyio.lowlevel.checkpoint()
        return stream


@asynccontextmanager
async def strangers(**settings: object) -> AsyncIterator[tuple[Api, Strangers]]:
    async with api_server(**settings) as api, AsyncExitStack() as stack:
        yield api, Strangers(api, stack)


async def status(stream: SocketStream) -> int:
    """Of the answer; 0 if the server has hung up without one."""
    try:
        with anyio.fail_after(20):
            return int((await stream.receive()).split()[1])
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return 0


async def taken(stream: SocketStream) -> int:
    """Bytes that come until the server hangs up."""
    got = 0
    try:
        while got < LARGE:
            got += len(await stream.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass
    return got


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not true():
            await anyio.lowlevel.checkpoint()


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The sizes of the files that the server has of its clients."""
    monkeypatch.setattr(listen.tempfile, "tempdir", str(tmp_path))
    return lambda: [path.stat().st_size for path in tmp_path.glob("*/inputs/*")]


async def test_one_connection_too_many_closes_the_one_that_has_been_silent_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen, "_CONNECTIONS", 4)  # of one client 3, that is
    async with strangers() as (_, them):
        silent = await them.say()
        headers = await them.say(b"GET /v1/files HTTP/1.1\r\nX: ")
        served = await them.say(GET)
        assert await status(served) == 200
        fourth = await them.say(GET)
        assert (await status(fourth), await status(silent)) == (200, 0)
        assert await status(await them.say(GET)) == 200
        assert await status(headers) == 0
        await served.send(GET)  # one that has been served is kept
        assert await status(served) == 200


async def test_a_client_whose_connections_are_all_being_served_is_refused_one_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen, "_CONNECTIONS", 4)
    network = Stalled()
    async with strangers(network=network) as (api, them), anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(api.create, data_uri(picture()))
        await until(lambda: network.calls == 1)
        await anyio.wait_all_tasks_blocked()
        assert await status(await them.say(GET)) == 429
        network.released.set()


async def test_a_broken_upload_frees_its_file_at_once(inputs: Callable[[], list[int]]) -> None:
    async with strangers() as (_, them):
        stream = await them.say(HEAD + b"Content-Length: 1000000\r\n\r\n" + CONTENT + bytes(300_000))
        await until(lambda: sum(inputs()) > 200_000)  # it lies on the disk while it comes
        await stream.aclose()
        await until(lambda: inputs() == [])


async def test_an_upload_that_is_too_long_frees_its_file_at_once(inputs: Callable[[], list[int]]) -> None:
    async with strangers(max_file=400_000) as (_, them):
        stream = await them.say(HEAD + b"Content-Length: 1000000\r\n\r\n" + CONTENT + bytes(500_000))
        assert await status(stream) == 413
        assert inputs() == []


async def test_where_too_many_bytes_are_on_their_way_the_slowest_request_is_refused(
    monkeypatch: pytest.MonkeyPatch, inputs: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr(listen, "_ROOM", 1 << 20)
    monkeypatch.setattr(guests, "_YOUNG", 0.0)
    async with strangers() as (api, them):
        slow = await them.say(HEAD + b"Content-Length: 1000000\r\n\r\n" + CONTENT + bytes(600_000))
        await until(lambda: sum(inputs()) > 400_000)
        assert (await api.upload(bytes(600_000)))["size"] == 600_000
        assert await status(slow) == 429
        await until(lambda: len(inputs()) == 1)


@pytest.mark.parametrize("path", [b"files", b"predictions"])
async def test_a_body_that_does_not_come_on_is_given_up(monkeypatch: pytest.MonkeyPatch, path: bytes) -> None:
    monkeypatch.setattr(guests, "_PATIENCE", 0.05)
    async with strangers() as (_, them):
        json = b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head = HEAD if path == b"files" else json
        assert await status(await them.say(head + b"Content-Length: 1000\r\n\r\n{")) == 408


async def test_a_body_earns_time_by_its_bytes_and_never_more_than_the_patience() -> None:
    one: Any = object.__new__(guests.Connection)
    one._loop, one.scope = SimpleNamespace(time=lambda: 100.0), SimpleNamespace(deadline=102.0)
    one.hold(guests._PROGRESS // 2)
    assert one.scope.deadline == 102.0 + guests._PATIENCE / 2
    one.hold(guests._PROGRESS)
    assert one.scope.deadline == 100.0 + guests._PATIENCE
    one.scope.deadline = math.inf  # it is whole
    one.hold(1)
    assert one.scope.deadline == math.inf


async def test_a_request_whose_body_has_come_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "_PATIENCE", 0.05)
    network = Stalled()
    async with api_server(network) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(api.create, data_uri(picture()))
        await until(lambda: network.calls == 1)
        await anyio.sleep(0.1)  # longer than the patience with bodies
        network.released.set()


async def test_headers_that_do_not_come_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "HEADERS", 0.05)
    async with strangers() as (_, them):
        assert await status(await them.say(b"GET /v1/files HTTP/1.1\r\nX: ")) == 0


async def large_answer(api: Api, them: Strangers) -> SocketStream:
    """A connection over which 20 MiB are being sent that nobody takes."""
    file = await api.upload(io.BytesIO(bytes(LARGE)))
    path = file["urls"]["get"].partition("/v1")[2]
    return await them.say(f"GET /v1{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


async def test_an_answer_that_is_not_taken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "_TAKING", 0.05)
    async with strangers() as (api, them):
        stream = await large_answer(api, them)
        await anyio.sleep(0.2)  # longer than the server's patience
        assert await taken(stream) < LARGE


async def test_one_that_takes_no_answer_gives_way_and_its_file_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "_CONNECTIONS", 4)
    async with strangers() as (api, them):
        stream = await large_answer(api, them)
        await until(lambda: open_inputs() == 1)
        for _ in range(2):
            await them.say()
        assert await taken(stream) < LARGE
        await until(lambda: open_inputs() == 0)


async def test_what_is_too_large_or_compressed_is_refused_before_it_comes() -> None:
    async with strangers() as (_, them):
        assert await status(await them.say(HEAD + b"Content-Length: 99999999999\r\n\r\n")) == 413
        assert await status(await them.say(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n")) == 415


async def test_a_strangers_request_is_refused_before_its_body_comes() -> None:
    async with strangers() as (_, them):
        assert await status(await them.say(HEAD + b"Origin: null\r\nContent-Length: 1000\r\n\r\n")) == 403


async def test_what_has_been_counted_is_released_whatever_becomes_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After refusals, broken uploads and whole ones, as much as ever may be on its way."""
    monkeypatch.setattr(listen, "_ROOM", 1 << 20)
    async with strangers(max_file=700_000) as (api, them):
        for _ in range(5):
            stream = await them.say(HEAD + b"Content-Length: 900000\r\n\r\n" + CONTENT + bytes(750_000))
            assert await status(stream) in (413, 429)
            broken = await them.say(HEAD + b"Content-Length: 900000\r\n\r\n" + CONTENT + bytes(300_000))
            await broken.aclose()
            assert (await api.upload(bytes(600_000)))["size"] == 600_000
