"""ATTACKS: what strangers do to a server, each named by its fault, `attacks.py PORT CROWD SEED` all of it at once."""

from __future__ import annotations

import gzip
import json
import random
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.abc import SocketStream

from tests.support.local_doubles import MODEL, data_uri

Attack = Callable[[int, random.Random], Awaitable[None]]
"""Gets the server's port, and its dice."""

_JSON = "Host: localhost\r\nContent-Type: application/json\r\n"
_FORM = "Host: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
_CONTENT = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n'


async def half_open(port: int, rng: random.Random) -> None:
    """Connects and says nothing."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await _until_closed(stream)


async def slow_headers(port: int, rng: random.Random) -> None:
    """Sends a header's byte now and then."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET /v1/files HTTP/1.1\r\nX: ")
        await _drip(stream, rng)


async def slow_body(port: int, rng: random.Random) -> None:
    """Sends a megabyte of a picture, and the rest of it byte by byte."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(_head("files", _FORM, 50 << 20) + _CONTENT + rng.randbytes(1 << 20))
        await _drip(stream, rng)


async def slow_json(port: int, rng: random.Random) -> None:
    """Sends a megabyte of a data URI, and the rest of it byte by byte."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(_head("predictions", _JSON, 20 << 20) + b'{"input": {"image": "data:,' + b"x" * (1 << 20))
        await _drip(stream, rng)


async def slow_reader(port: int, rng: random.Random) -> None:
    """Asks again and again, and takes no answer."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        while True:
            await stream.send(b"GET /v1/predictions HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
            await anyio.sleep(rng.uniform(0.2, 1))


async def broken_upload(port: int, rng: random.Random) -> None:
    """Goes away in the middle of a picture, or sends one that is broken or too large."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        match rng.randrange(3):
            case 0:
                await stream.send(_head("files", _FORM, 8 << 20) + _CONTENT + rng.randbytes(rng.randrange(1 << 20)))
            case 1:
                body = _CONTENT + rng.randbytes(200_000)
                await _ask(stream, _head("files", _FORM, len(body)) + body, 400)
            case _:
                await _ask(stream, _head("files", _FORM, 1 << 40) + _CONTENT, 413)


async def bomb(port: int, rng: random.Random) -> None:
    """Sends what is small and would become large: pictures, compressed bodies, data URIs, tiny values."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    picture = json.dumps({"version": MODEL.sha256, "input": {"image": data_uri(png)}}).encode()
    zipped = gzip.compress(bytes(4 << 20))
    large = b'{"input": {"image": "data:,' + b"%41" * (1 << 20) + b'"}}'
    headers, body, status = rng.choice(
        [
            (_JSON, picture, 201),
            (_JSON + "Content-Encoding: gzip\r\n", zipped, 415),
            (_JSON, large, 422),
            (_JSON, b"[[]" + b",[]" * (1 << 20) + b"]", 400),
        ]
    )
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await _ask(stream, _head("predictions", headers, len(body)) + body, status)


async def nesting(port: int, rng: random.Random) -> None:
    """Sends values within values, and parts within parts."""
    path, headers, body = rng.choice(
        [
            ("predictions", _JSON, b"[" * 1_000_000),
            ("predictions", _JSON, b'{"input":' * 900),
            ("files", _FORM, b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 3000),
        ]
    )
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await _ask(stream, _head(path, headers, len(body)) + body, 400)


async def foreign_page(port: int, rng: random.Random) -> None:
    """Asks as a page of a stranger does, from a browser on this machine."""
    who = rng.choice(
        ["Host: evil.example", "Host: localhost\r\nOrigin: null", "Host: [::1]\r\nSec-Fetch-Site: cross-site"]
    )
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await _ask(stream, f"GET /v1/files HTTP/1.1\r\n{who}\r\n\r\n".encode(), 403)


async def not_http(port: int, rng: random.Random) -> None:
    """Sends noise."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await _ask(stream, b"\x16\x03\x01" + rng.randbytes(200) + b"\r\n\r\n", 400)


HELD: dict[Attack, int] = {half_open: 8, slow_headers: 4, slow_body: 2, slow_json: 1, slow_reader: 1}
"""Those that hold a place for as long as they can, and how many there are of each to one of QUICK."""
QUICK: tuple[Attack, ...] = (broken_upload, bomb, nesting, foreign_page, not_http)


async def run(port: int, crowd: int, seed: int) -> None:
    """All attacks at once, `crowd` times HELD, until cancelled; prints answers that should not have been given."""

    async def again(attack: Attack, rng: random.Random, pause: float) -> None:
        while True:
            await anyio.sleep(rng.uniform(0, 2 * pause))
            with suppress(OSError, anyio.BrokenResourceError, anyio.EndOfStream):  # the server may hang up on anyone
                try:
                    await attack(port, rng)
                except AssertionError as error:
                    print(f"{attack.__name__}: {error}", flush=True)

    async with anyio.create_task_group() as tasks:
        for attack, times in HELD.items():
            for number in range(times * crowd):
                tasks.start_soon(again, attack, random.Random(f"{seed} {attack.__name__} {number}"), 0.5)
        for attack in QUICK:
            tasks.start_soon(again, attack, random.Random(f"{seed} {attack.__name__}"), 0.2)


def _head(path: str, headers: str, length: int) -> bytes:
    return f"POST /v1/{path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n".encode()


async def _drip(stream: SocketStream, rng: random.Random) -> None:
    while True:
        await anyio.sleep(rng.uniform(0.2, 1))
        await stream.send(b"x")


async def _until_closed(stream: SocketStream) -> None:
    with suppress(anyio.EndOfStream):
        while True:
            await stream.receive()


async def _ask(stream: SocketStream, sent: bytes, status: int) -> None:
    """Send a request; an answer must have this status, or 429 or 503 where too much is in flight."""
    await stream.send(sent)
    answer = (await stream.receive()).split(maxsplit=2)[1]
    assert int(answer) in (status, 408, 429, 503), f"{answer!r} instead of {status}"


if __name__ == "__main__":
    anyio.run(run, *map(int, sys.argv[1:]))
