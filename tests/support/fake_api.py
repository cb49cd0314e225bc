"""A predictions API on loopback that keeps the bill and can be told to fail: the faults are in `tests/support/wire.py`.

    async with FakeApi() as api, connected(api) as provider:
        api.respond("GET", "/predictions/*", hang_up, times=1)
        ...
        assert len(api.bill) == 1

`FakeApi()` is the hosted API, `FakeApi(gateway=True)` a gateway: create and query only, and `urls` in its answers that
lead to another company's address. `api.foreign` is what that address has seen: it must stay empty.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import anyio
from aiohttp import web
from PIL import Image, UnidentifiedImageError

from batch_removebg.model import Capabilities
from batch_removebg.providers.replicate import GATEWAY_CAN, HOSTED_CAN, Endpoint, Replicate
from tests.support.doubles import cutout

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Json = dict[str, Any]
Shape = Callable[[Json], Any]

PAGE = "<!doctype html><title>Welcome</title><h1>It works!</h1>"


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    """As sent, with the query."""
    headers: Mapping[str, str]
    json: Any = None

    @property
    def key(self) -> str | None:
        return self.headers.get("Authorization")

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass
class Made:
    """A prediction that was accepted, and so is on the bill."""

    id: str
    input: Json
    created: float
    """Seconds since 1970."""
    picture: bytes | None
    """The cutout, or None where the input is no picture."""
    polls: int
    """Queries until it has ended."""
    canceled: bool = False
    removed: bool = False
    """Its hour is over."""

    @property
    def status(self) -> str:
        if self.canceled:
            return "canceled"
        if self.polls > 0:
            return "processing"
        return "succeeded" if self.picture is not None else "failed"


@dataclass
class _Rule:
    method: str
    pattern: str
    handler: Handler
    left: float


@dataclass
class FakeApi:
    """The server; `async with` runs it."""

    gateway: bool = False
    key: str | None = None
    """Asked of every request but for outputs, where there is one."""
    polls: int = 1
    """Queries until a prediction has ended; 0: it comes back finished."""
    shape: Shape = lambda prediction: prediction
    """What becomes of a prediction's JSON in answers to create and query."""
    listed: Shape = lambda prediction: prediction
    """The same for the list."""
    page: int = 100
    """Predictions on a page of the list."""
    image_field: str = "image"
    now: Callable[[], float] = time.time
    bill: list[Made] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)
    foreign: list[Seen] = field(default_factory=list)
    """Requests to the other origin."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    base: str = ""
    origin: str = ""
    other: str = ""
    """The other origin; `/out/…` there is a picture, all else needs a key that nobody here has."""
    _rules: list[_Rule] = field(default_factory=list)
    _runners: list[web.AppRunner] = field(default_factory=list)
    _sites: list[web.TCPSite] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    """Of predictions and uploads: their ids."""

    async def __aenter__(self) -> Self:
        self.origin = await self._listen(self._answer)
        self.other = await self._listen(self._answer_elsewhere)
        self.base = self.origin + ("/replicate/v1" if self.gateway else "/v1")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            for runner in self._runners:
                await runner.cleanup()

    def respond(self, method: str, pattern: str, handler: Handler, *, times: float = float("inf")) -> None:
        """Answer requests so from now on, `times` times; `pattern` (`/predictions/*`) is of the path below the base.

        The latest rule that fits is used first. `*` as method is any.
        """
        self._rules.insert(0, _Rule(method, pattern, handler, times))

    async def stop(self) -> None:
        """Refuse connections from now on."""
        await self._sites[0].stop()

    async def start(self) -> None:
        """Accept connections again, at the same port."""
        port = urlsplit(self.origin).port
        await web.TCPSite(self._runners[0], "127.0.0.1", port).start()

    def recover(self) -> None:
        """Answer normally from now on."""
        self._rules.clear()

    def made(self, prediction_id: str) -> Made | None:
        return next((made for made in self.bill if made.id == prediction_id), None)

    def asked(self, method: str, pattern: str) -> list[Seen]:
        """The requests so far to paths like these."""
        return [
            seen for seen in self.requests if seen.method == method and fnmatchcase(self._below(seen.path), pattern)
        ]

    async def normal(self, request: web.Request) -> web.StreamResponse:
        """The answer where no rule intervenes."""
        parts = [unquote(part) for part in self._below(request.rel_url.raw_path).strip("/").split("/")]
        if self.key and parts[0] != "out" and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"title": "Unauthenticated", "detail": "no valid key", "status": 401}, status=401)
        match request.method, parts:
            case "POST", ["predictions"]:
                return await self._create(request)
            case "GET", ["predictions", name]:
                return self._query(name)
            case "GET", ["predictions"] if not self.gateway:
                return self._list(request)
            case "POST", ["predictions", name, "cancel"] if not self.gateway:
                return self._cancel(name)
            case "POST", ["files"] if not self.gateway:
                return await self._upload(request)
            case "GET", ["out", name] if (made := self.made(name.removesuffix(".png"))) and made.picture:
                return web.Response(body=made.picture, content_type="image/png")
        return web.Response(text=PAGE, status=404, content_type="text/html")

    # The endpoints

    async def _create(self, request: web.Request) -> web.Response:
        given = (await request.json())["input"]
        picture = self._cutout(given[self.image_field])
        made = Made(f"p{next(self.numbers)}", given, self.now(), picture, self.polls)
        self.bill.append(made)
        return web.json_response(self.shape(self._json(made)), status=200 if self.gateway else 201)

    def _query(self, name: str) -> web.Response:
        made = self.made(name)
        if made is None:
            return web.json_response(
                {"detail": "The requested resource could not be found.", "status": 404}, status=404
            )
        made.polls -= 1
        return web.json_response(self.shape(self._json(made)))

    def _cancel(self, name: str) -> web.Response:
        made = self.made(name)
        if made is None:
            return web.json_response(
                {"detail": "The requested resource could not be found.", "status": 404}, status=404
            )
        made.canceled = made.canceled or made.polls > 0
        return web.json_response(self.shape(self._json(made)))

    def _list(self, request: web.Request) -> web.Response:
        after = request.query.get("created_after")
        since = datetime.fromisoformat(after).timestamp() if after else 0.0
        begin = int(request.query.get("cursor", 0))
        found = [self.listed(self._json(made)) for made in reversed(self.bill) if made.created >= since]
        end = begin + self.page
        following = f"{self.base}/predictions?cursor={end}" if end < len(found) else None
        return web.json_response({"previous": None, "next": following, "results": found[begin:end]})

    async def _upload(self, request: web.Request) -> web.Response:
        part = await (await request.multipart()).next()
        assert isinstance(part, aiohttp.BodyPartReader)
        assert part.name == "content"
        name = f"f{next(self.numbers)}"
        url = f"{self.base}/files/{name}/{part.filename}"
        self.uploads[url] = bytes(await part.read())
        body = {"id": name, "urls": {"get": url}, "expires_at": _stamp(self.now() + 3600)}
        return web.json_response(body, status=201)

    # What they share

    def source(self, image: str) -> bytes | None:
        """The bytes of an input; None for a URL that is not ours to fetch."""
        if image.startswith("data:"):
            return base64.b64decode(image.partition(",")[2])
        return self.uploads.get(image)

    def _cutout(self, image: str) -> bytes | None:
        data = self.source(image)
        if data is None:
            return cutout()
        try:
            return cutout(*Image.open(io.BytesIO(data)).size)
        except UnidentifiedImageError:
            return None

    def shown(self, made: Made) -> Json:
        """A prediction as answers show it."""
        return self._json(made)

    def _json(self, made: Made) -> Json:
        ended = made.status in ("succeeded", "failed", "canceled")
        root = f"{self.other if self.gateway else self.origin}/v1/predictions/{made.id}"
        # The hosted API does not echo data URIs.
        echoed = {name: value for name, value in made.input.items() if not str(value).startswith("data:")}
        return {
            "id": made.id,
            "model": "lucataco/remove-bg",
            "version": "hidden",
            "input": {} if made.removed else echoed,
            "output": f"{self.origin}/out/{made.id}.png" if made.status == "succeeded" and not made.removed else None,
            "error": "cannot identify image file" if made.status == "failed" else None,
            "status": made.status,
            "logs": "",
            "created_at": _stamp(made.created),
            "started_at": _stamp(made.created),
            "completed_at": _stamp(made.created + 2) if ended else None,
            "metrics": {"predict_time": 1.5, "total_time": 2.0} if ended else {},
            "data_removed": made.removed,
            "urls": {"get": root, "cancel": f"{root}/cancel"},
        }

    def _below(self, path: str) -> str:
        return urlsplit(path).path.removeprefix(urlsplit(self.base).path)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await _seen(request))
        path = self._below(request.rel_url.raw_path)
        for rule in self._rules:
            if rule.left > 0 and rule.method in (request.method, "*") and fnmatchcase(path, rule.pattern):
                rule.left -= 1
                return await rule.handler(request)
        return await self.normal(request)

    async def _answer_elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.foreign.append(await _seen(request))
        if request.path.startswith("/out/"):
            return web.Response(body=cutout(), content_type="image/png")
        return web.json_response({"title": "Unauthenticated"}, status=401)

    async def _listen(self, handler: Handler) -> str:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{path:.*}", handler)
        # A handler that hangs ends with its client.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._runners.append(runner)
        self._sites.append(web.TCPSite(runner, "127.0.0.1", 0))
        await self._sites[-1].start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"


@asynccontextmanager
async def connected(
    api: FakeApi, *, capabilities: Capabilities | None = None, **endpoint: Any
) -> AsyncIterator[Replicate]:
    """A provider that talks to the server, with a session of its own; `endpoint` are fields of Endpoint."""
    settings = {"base": api.base, "key": api.key, "image_field": api.image_field, "version": "v1", **endpoint}
    can = capabilities or (GATEWAY_CAN if api.gateway else HOSTED_CAN)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Replicate(session, Endpoint(**settings), capabilities=can)


# Shapes in which servers were seen to give a prediction


def wrapped(prediction: Json) -> Json:
    return {"data": prediction}


def enveloped(prediction: Json) -> Json:
    return {"status": "success", "message": "", "data": prediction}


def upper_case(prediction: Json) -> Json:
    return prediction | {"status": prediction["status"].upper()}


def pending_completed(prediction: Json) -> Json:
    words = {"processing": "pending", "succeeded": "completed"}
    return prediction | {"status": words.get(prediction["status"], prediction["status"])}


def output_in_list(prediction: Json) -> Json:
    return prediction | {"output": prediction["output"] and [prediction["output"]]}


def output_in_dict(prediction: Json) -> Json:
    return prediction | {"output": prediction["output"] and {"mask": None, "image": {"url": prediction["output"]}}}


def output_while_processing(prediction: Json) -> Json:
    return prediction | ({"status": "processing"} if prediction["status"] == "succeeded" else {})


def output_missing(prediction: Json) -> Json:
    return prediction | {"output": None}


def immediate(prediction: Json) -> Json:
    return {"created": 1_700_000_000, "data": [{"url": prediction["output"]}]}


def output_inline(api: FakeApi) -> Shape:
    """The picture itself as data URI, as self-hosted servers give it."""

    def shape(prediction: Json) -> Json:
        made = api.made(prediction["id"])
        if not prediction["output"] or made is None or made.picture is None:
            return prediction
        return prediction | {"output": data_uri(made.picture, "image/png")}

    return shape


def data_uri(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


async def _seen(request: web.Request) -> Seen:
    body = await request.read() if request.content_type == "application/json" else b""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    return Seen(request.method, request.path_qs, dict(request.headers), parsed)


def _stamp(seconds: float) -> str:
    """With nine digits, as the hosted API writes some of its times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
