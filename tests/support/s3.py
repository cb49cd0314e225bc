"""S3 on loopback that can be told to fail: what a store keeps, and each fault as a value to put between.

async with S3() as s3:
    s3.faults.append(Fault("PUT", "*.png", slow_down, times=3))
    store, prefix = opened("s3://shop/cutouts/")
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from xml.sax.saxutils import escape, unescape

import pytest
from aiohttp import web

BUCKET = "shop"
Keep = Callable[[], Awaitable[web.StreamResponse]]
How = Callable[[web.Request, Keep], Awaitable[web.StreamResponse]]


def answer(status: int, code: str) -> web.Response:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return web.Response(status=status, text=body, content_type="application/xml")


async def keep(request: web.Request, keep: Keep) -> web.StreamResponse:
    """Nothing befalls it."""
    return await keep()


async def slow_down(request: web.Request, keep: Keep) -> web.StreamResponse:
    return answer(503, "SlowDown")


async def expired(request: web.Request, keep: Keep) -> web.StreamResponse:
    return answer(400, "ExpiredToken")


async def race(request: web.Request, keep: Keep) -> web.StreamResponse:
    """Two conditional puts at the same time: try again."""
    return answer(409, "ConditionalRequestConflict")


async def bad_digest(request: web.Request, keep: Keep) -> web.StreamResponse:
    """What came isn't what was sent."""
    return answer(400, "BadDigest")


async def lost(request: web.Request, keep: Keep) -> web.StreamResponse:
    """It is done, and the answer never comes."""
    await keep()
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def torn(request: web.Request, keep: Keep) -> web.StreamResponse:
    """Half of the answer comes."""
    whole = await keep()
    assert isinstance(whole, web.Response)
    assert request.transport is not None
    body = bytes(whole.body or b"")  # type: ignore[arg-type]
    half = web.StreamResponse(status=whole.status, headers={**whole.headers, "Content-Length": str(len(body))})
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    request.transport.close()
    return half


async def gone(request: web.Request, keep: Keep) -> web.StreamResponse:
    """Nobody answers."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def slow(seconds: float) -> How:
    async def slowly(request: web.Request, keep: Keep) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await keep()

    return slowly


@dataclass
class Fault:
    """What befalls the next requests of a kind."""

    method: str  # or *
    pattern: str  # of keys
    how: How
    times: float = 1


@dataclass
class Object:
    """What is kept under a key."""

    data: bytes
    etag: str
    about: Mapping[str, str]


@dataclass
class S3:
    """The server, in a thread of its own, since some clients block; one bucket."""

    page: int = 1000
    conditions: bool = True  # False: a store that ignores them
    objects: dict[str, Object] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # method and key
    failed: int = 0
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[S3]:
        loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        async def serve() -> None:
            app = web.Application(client_max_size=1 << 26)
            app.router.add_route("*", "/{tail:.*}", self._request)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await done.wait()
            await runner.cleanup()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join()
            loop.close()

    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIDOFTHESHOP",
            "AWS_SECRET_ACCESS_KEY": "SecretOfTheShop",
            "AWS_REGION": "us-east-1",
        }

    def keys(self, ending: str = "") -> list[str]:
        return sorted(key for key in self.objects if key.endswith(ending))

    async def _request(self, request: web.Request) -> web.StreamResponse:
        bucket, _, key = request.path.lstrip("/").partition("/")
        if not key and request.method == "GET":
            key = f"?list={request.query.get('prefix', '')}"
        self.seen.append((request.method, key))
        if bucket != BUCKET:
            return answer(404, "NoSuchBucket")
        data = await request.read()

        async def keep() -> web.StreamResponse:
            lists = request.method == "GET" and key.startswith("?list=")
            return self._listed(request) if lists else self._kept(request, key, data)

        for fault in self.faults:
            if fault.times > 0 and fault.method in ("*", request.method) and fnmatchcase(key, fault.pattern):
                fault.times -= 1
                self.failed += 1
                return await fault.how(request, keep)
        return await keep()

    def _kept(self, request: web.Request, key: str, data: bytes) -> web.Response:
        there, headers = self.objects.get(key), request.headers
        if request.method == "POST":  # many are deleted
            keys = re.findall(r"<Key>.*?</Key>", data.decode())
            for each in keys:
                self.objects.pop(unescape(each[5:-6]), None)
            rows = "".join(f"<Deleted>{each}</Deleted>" for each in keys)
            return web.Response(text=f"<DeleteResult>{rows}</DeleteResult>", content_type="application/xml")
        if request.method == "PUT":
            if self.conditions and headers.get("If-None-Match") == "*" and there is not None:
                return answer(412, "PreconditionFailed")
            if self.conditions and "If-Match" in headers and (there is None or there.etag != headers["If-Match"]):
                return answer(412 if there is not None else 404, "PreconditionFailed" if there else "NoSuchKey")
            if headers["x-amz-checksum-sha256"] != base64.b64encode(hashlib.sha256(data).digest()).decode():
                return answer(400, "BadDigest")
            about = {name.lower(): text for name, text in headers.items() if name.lower().startswith("x-amz-meta-")}
            about["Content-Type"] = headers.get("Content-Type", "")
            self.objects[key] = Object(data, f'"{hashlib.md5(data).hexdigest()}"', about)
            return web.Response(headers={"ETag": self.objects[key].etag})
        if there is None:
            return answer(404, "NoSuchKey")
        when = {"ETag": there.etag, "Last-Modified": "Fri, 27 Nov 2026 12:00:00 GMT"}
        about = {name: text for name, text in there.about.items() if text}
        if request.method == "HEAD":
            return web.Response(headers={**when, **about, "Content-Length": str(len(there.data))})
        return web.Response(body=there.data, headers={**when, **about})

    def _listed(self, request: web.Request) -> web.Response:
        prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        after = after or request.query.get("start-after", "")
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > after]
        folders = set[str]()
        if request.query.get("delimiter"):
            folders = {key[: at + 1] for key in keys if (at := key.find("/", len(prefix))) >= 0}
            keys = sorted({*folders, *(key for key in keys if "/" not in key[len(prefix) :])})
            keys = [key for key in keys if key > after]
        some, more = keys[: self.page], len(keys) > self.page
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-27T12:00:00.000Z</LastModified>"
            f"<ETag>{self.objects[key].etag}</ETag><Size>{len(self.objects[key].data)}</Size></Contents>"
            if key not in folders
            else f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
            for key in some
        )
        token = f"<NextContinuationToken>{escape(some[-1])}</NextContinuationToken>" if more else ""
        text = (
            f'<?xml version="1.0"?><ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}'
            f"{rows}</ListBucketResult>"
        )
        return web.Response(text=text, content_type="application/xml")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A store that `s3://shop/…` leads to."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with S3().running() as server:
        for name, value in server.env().items():
            monkeypatch.setenv(name, value)
        yield server
