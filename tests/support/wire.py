"""What a server may answer: refusals, faults of the wire and predictions gone wrong, as handlers for FakeApi.

api.respond("GET", "/predictions/*", hang_up, times=1)
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import anyio
from aiohttp import web

from tests.support.fake_api import PAGE, FakeApi, Handler, Json, Shape

# Answers


def says(status: int, body: Any = None, **headers: str) -> Handler:
    """JSON; `Retry_After` as keyword is the header Retry-After."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=sent)

    return answer


def page(status: int) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=PAGE, status=status, content_type="text/html")

    return answer


def empty(status: int) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status)

    return answer


def redirect(to: str, status: int = 302) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": to})

    return answer


def after(first: Handler, then: Handler) -> Handler:
    """What `first` does is done, and its answer is lost: `after(api.normal, reset)` accepts a create, then breaks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await first(request)
        return await then(request)

    return answer


# Faults of the wire


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    await request.read()
    return _gone(request)


async def reset(request: web.Request) -> web.StreamResponse:
    """Reset the connection (RST) without an answer."""
    await request.read()
    assert request.transport is not None
    request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return _gone(request)


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await anyio.sleep_forever()
    raise AssertionError


def raw(head: bytes, body: bytes = b"") -> Handler:
    """Exactly these bytes, then the end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        request.transport.write(head.replace(b"\n", b"\r\n") + b"\r\n" + body)
        return _gone(request, abort=False)

    return answer


def cut_short(status: int = 200, body: bytes = b'{"id": "p1", "status": "succeeded"}') -> Handler:
    """The head promises more than comes."""
    return raw(b"HTTP/1.1 %d X\nContent-Type: application/json\nContent-Length: 9999\n" % status, body)


def wrong_length(status: int = 200, body: bytes = b'{"id": "p1", "status": "succeeded"}') -> Handler:
    """The head promises less than comes."""
    return raw(b"HTTP/1.1 %d X\nContent-Type: application/json\nContent-Length: 9\n" % status, body)


def not_gzip(status: int = 200) -> Handler:
    """The head says gzip, and the body is none."""
    return raw(b"HTTP/1.1 %d X\nContent-Encoding: gzip\nContent-Length: 2\n" % status, b"{}")


def endless(status: int, chunk: bytes = b"x" * (1 << 16)) -> Handler:
    """A body without end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(chunk)

    return answer


def dripping(status: int = 200) -> Handler:
    """A body that never falls silent and never ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await anyio.sleep(0.001)

    return answer


async def bottomless(request: web.Request) -> web.StreamResponse:
    """JSON nested so deep that walking it exhausts the stack."""
    return web.Response(text='{"data":' * 900 + "[" * 900, content_type="application/json")


def nested(depth: int, name: str = "data") -> Json:
    """Valid JSON of this depth."""
    inner: Json = {}
    for _ in range(depth):
        inner = {name: inner}
    return inner


def _gone(request: web.Request, *, abort: bool = True) -> web.StreamResponse:
    assert request.transport is not None
    (request.transport.abort if abort else request.transport.close)()
    return web.Response()  # goes nowhere


# Predictions gone wrong


def plain(text: str, kind: str = "application/json", status: int = 200) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=text, status=status, content_type=kind)

    return answer


def picture(data: bytes) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=data, content_type="image/png")

    return answer


def shaped(api: FakeApi, shape: Shape) -> Handler:
    """The normal answer, its prediction in another shape."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await api.normal(request)
        assert isinstance(response, web.Response)
        return web.json_response(shape(json.loads(response.text or "")), status=response.status)

    return answer


def changed(**fields: Any) -> Callable[[FakeApi], Handler]:
    """The normal answer, but for these fields."""
    return lambda api: shaped(api, lambda prediction: prediction | fields)


def never_ending(api: FakeApi) -> Handler:
    """Accept a prediction that will not end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await api.normal(request)
        api.bill[-1].polls = 1 << 30
        return response

    return answer


def canceled_by_someone(api: FakeApi) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        made = api.made(request.path.rpartition("/")[2])
        assert made is not None
        made.canceled = True
        return await api.normal(request)

    return answer


def hour_over(api: FakeApi) -> Handler:
    """Output and input are wiped, as an hour after the end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        made = api.made(request.path.rpartition("/")[2])
        assert made is not None
        made.polls, made.removed = 0, True
        return await api.normal(request)

    return answer


def billed(api: FakeApi, number: int, handler: Handler) -> Handler:
    """Wait for so many predictions on the bill before the answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        while len(api.bill) < number:  # noqa: ASYNC110  # the bill is a list, and rings no bell
            await anyio.sleep(0.001)
        return await handler(request)

    return answer
