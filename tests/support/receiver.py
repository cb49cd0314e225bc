"""A server on loopback that is told of runs: keeps what is posted to it, and answers as it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web

from tests.support.fake_api import Handler
from tests.support.wire import empty


@dataclass(frozen=True)
class Post:
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    url: str = ""
    posts: list[Post] = field(default_factory=list)
    script: list[Handler] = field(default_factory=list)  # the answers to come; 200 after them
    always: Handler | None = None
    _came: anyio.Event = field(default_factory=anyio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(Post(request.path_qs, request.headers, await request.read()))
        self._came.set()
        self._came = anyio.Event()
        handler = self.always or (self.script.pop(0) if self.script else empty(200))
        return await handler(request)

    async def until(self, path: str) -> None:
        """Wait for a post to a path."""
        while path not in self.paths:
            await self._came.wait()

    @property
    def paths(self) -> list[str]:
        return [post.path.partition("?")[0] for post in self.posts]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    served, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield served
    finally:
        await runner.cleanup()
