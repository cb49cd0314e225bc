"""A server on loopback that shows requests byte for byte, and answers any of them, a proxy's included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """What it is asked, and how it answers."""

    answer: Callable[[Request], bytes]
    origin: str = ""
    requests: list[Request] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]


@dataclass
class Request:
    method: str
    target: str  # as in the request's first line
    headers: dict[str, str]  # names in small letters


def reply(body: bytes = b"picture", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def raw_server(answer: Callable[[Request], bytes] = lambda request: reply()) -> AsyncIterator[RawServer]:
    served = RawServer(answer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        named = (line.partition(":") for line in head[1:] if line)
        request = Request(method, target, {name.lower(): value.strip() for name, _, value in named})
        await reader.readexactly(int(request.headers.get("content-length", 0)))
        served.requests.append(request)
        writer.write(served.answer(request))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        served.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield served
