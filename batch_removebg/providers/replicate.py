"""A Replicate-compatible predictions API over HTTP: one exchange a method, every failure a class with a remedy.

URLs are built from the base and the id. `urls.*` in answers is never followed: gateways fill it with addresses of
another company's API, and the key would leak there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import anyio.to_thread

from batch_removebg.clock import Clock, stamp
from batch_removebg.errors import (
    AnswerTooLong,
    BatchError,
    ConnectionFailed,
    CreateLost,
    DiskError,
    NotAnApi,
    PageInstead,
    PredictionFailed,
    PredictionLost,
    ServerError,
    Unreachable,
)
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import (
    REMOVE_BG,
    Capabilities,
    CreateRequest,
    Prediction,
    PredictionPage,
    ProxySpec,
    Upload,
)
from batch_removebg.net import fetch, proxies
from batch_removebg.net.patience import Patience
from batch_removebg.resources import Memory
from batch_removebg.storage import on_disk
from batch_removebg.storage.on_disk import OnDisk

from . import refusals, wire
from .owners import Owners

if TYPE_CHECKING:
    import aiohttp

HOSTED = "https://api.replicate.com/v1"

HOSTED_CAN = Capabilities(files=True, list=True, cancel=True, wait=True)
GATEWAY_CAN = Capabilities(data_uri_limit=1_000_000)
"""Gateways document create and query only, and advise data URIs below 1 MB."""

_ANSWER_LIMIT = 32 * (1 << 20)  # bytes of one API answer; a data URI output of a large picture fits
_REFUSAL_LIMIT = 1 << 20  # bytes of an error body that are read: its status counts, and the rest may be cut off
_LONG = 1 << 17  # bytes from which on an answer goes to the disk, and is parsed where there is memory for it
_SPARE = 4 << 30  # bytes of a disk that are left free: every answer in flight may be one of 16 MiB
_COPIES = 4  # of a long answer, as bytes and as texts, while it is parsed
_COLD_START = 180.0  # seconds of silence before a create counts as lost where it can't be looked for
_GONE = frozenset({404, 410})
_ENDED = frozenset({404, 409, 410})  # answers to the cancel of a prediction that has ended


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is, what it runs, and the key."""

    base: str = HOSTED  # `{base}/predictions` is the create call
    version: str = REMOVE_BG
    image_field: str = "image"  # name of the model's input for the picture
    inputs: Mapping[str, Any] = field(default_factory=dict)  # the model's other inputs
    key: str | None = field(default=None, repr=False)
    run_limit: float | None = None  # seconds after which the server is asked to cancel (`Cancel-After`), where it can
    seconds: float = 60.0  # longest silence of the server in one exchange, which may take ten times as long in all


@dataclass(eq=False, repr=False)
class Replicate:
    """The hosted API, or a gateway or self-hosted server that speaks it."""

    session: aiohttp.ClientSession  # stays the caller's to close, and must carry no Authorization header
    endpoint: Endpoint
    name: str = "replicate"
    capabilities: Capabilities = HOSTED_CAN
    proxy: ProxySpec = field(default_factory=ProxySpec)
    foreign: aiohttp.ClientSession | None = None  # for other hosts
    outputs: aiohttp.ClientSession | None = None  # for outputs on the API's own
    fetching: fetch.FetchPolicy = field(default_factory=fetch.FetchPolicy)
    memory: Memory = field(default_factory=lambda: Memory(inf))  # for large answers while they are read
    scratch: Path | None = None
    """Folder where pictures that came inside an answer wait to be fetched; None: they wait in memory."""
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.version = self.endpoint.version
        self._base = self.endpoint.base.rstrip("/")
        self._owners = Owners()

    async def create(self, request: CreateRequest) -> Prediction:
        """`POST {base}/predictions`. Raises CreateLost where the server may have accepted it all the same."""
        end = self.endpoint
        body = {"version": end.version, "input": {**end.inputs, end.image_field: request.image}}
        headers = {}
        if self.capabilities.cancel and end.run_limit is not None:
            headers["Cancel-After"] = f"{max(5, round(end.run_limit))}s"
        if request.wait is not None:
            headers["Prefer"] = f"wait={request.wait}"
        doing = f"creating a prediction for {request.item}"
        # Some that can't list answer a create with its result, after a cold start: a loss costs more than the wait.
        asked, patience = self.clock.monotonic(), (request.wait or 0) + 10.0 if self.capabilities.list else _COLD_START
        self._owners.asked(request.image)
        try:
            answer = await self._exchange("POST", "/predictions", doing, json=body, headers=headers, patience=patience)
        except Unreachable:
            raise
        except ConnectionFailed as error:
            raise CreateLost(str(error)) from error
        if answer.status >= 300:
            refused = self._refusal(answer, doing)
            if isinstance(refused, ServerError) and refusals.may_have_been_accepted(answer.status):
                raise CreateLost(str(refused))
            raise refused
        created = self._read(answer)
        if created is None:
            # Something took the request and said 2xx: nobody can tell whether it was an API that billed it.
            raise CreateLost(f"{doing}: the answer ({answer.status}) holds no prediction: {self._glimpse(answer)}")
        if not self._owners.owns(created, prediction_id=created.id, image=request.image):
            answer.drop()
            raise CreateLost(f"{doing}: the answer is about another picture, so that it answers another request")
        if created.id is None and created.output is None:
            raise CreateLost(f"{doing}: the answer names neither an id nor a result: {self._glimpse(answer)}")
        honoured = "wait" in answer.headers.get("Preference-Applied", "").lower()
        held, exhausted = self.clock.monotonic() - asked, refusals.exhausted(answer.headers)
        return replace(created, held=held, wait_honoured=honoured, exhausted=exhausted, disown=answer.drop)

    async def get(self, prediction_id: str) -> Prediction:
        """`GET {base}/predictions/{id}`."""
        doing = f"asking for prediction {prediction_id}"
        try:
            answer = await self._ask("GET", f"/predictions/{quote(prediction_id, safe='')}", doing, expected=_GONE)
        except AnswerTooLong as error:
            raise PredictionFailed(str(error)) from None
        if answer.status in _GONE:
            if refusals.is_page(answer.headers, answer.body):
                raise self._refusal(answer, doing)
            raise PredictionLost(f"{doing}: the server does not know it ({answer.status})")
        found = self._read(answer)
        if found is None:
            raise ServerError(f"{doing}: the answer holds no prediction: {self._glimpse(answer)}")
        if found.id not in (None, prediction_id) or not self._owners.owns(found, prediction_id=prediction_id):
            answer.drop()
            raise ServerError(f"{doing}: the answer is about another prediction, {found.id}")
        return found

    async def cancel(self, prediction_id: str) -> None:
        """`POST {base}/predictions/{id}/cancel`; nothing where the server can't."""
        if self.capabilities.cancel:
            path = f"/predictions/{quote(prediction_id, safe='')}/cancel"
            await self._ask("POST", path, f"cancelling prediction {prediction_id}", expected=_ENDED)

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        """`GET {base}/predictions`, newest first, 100 a page."""
        doing = "listing predictions"
        params = {"created_after": stamp(created_after.timestamp())} if created_after else {}
        if cursor:
            params["cursor"] = cursor
        try:
            answer = await self._ask("GET", "/predictions", doing, params=params)
        except AnswerTooLong as error:
            raise NotAnApi(str(error)) from None
        found = wire.page(answer.body, image_field=self.endpoint.image_field, inputs=self.endpoint.inputs)
        if found is None:
            raise ServerError(f"{doing}: the answer is no list: {self._glimpse(answer)}")
        return replace(found, predictions=tuple(map(self._without_key, found.predictions)))

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        """`POST {base}/files`, multipart part `content`."""
        import aiohttp

        form = aiohttp.FormData()
        form.add_field("content", data, filename=filename, content_type=content_type)
        doing = f"uploading {filename}"
        answer = await self._ask("POST", "/files", doing, data=form)
        file = refusals.as_object(answer.body)
        url = refusals.as_object(file.get("urls")).get("get")
        if not isinstance(url, str) or "status" in file:  # a prediction has its `urls`, too
            answer.drop()
            raise ServerError(f"{doing}: the answer names no file: {self._glimpse(answer)}")
        same = file.get("size") in (None, len(data)) and self._owners.owns_file(filename, file.get("name"), url)
        digest = refusals.as_object(file.get("checksums")).get("sha256")
        if not same or (isinstance(digest, str) and digest != sha256_hex(data)):
            answer.drop()
            raise ServerError(f"{doing}: the answer is about another file")
        return Upload(url, wire.when(file.get("expires_at")))

    async def fetch(self, url: str) -> bytes:
        """The bytes of an output; only the API's own origin gets the key."""
        if isinstance(url, OnDisk):
            path = url.path  # alone: a thread keeps what it was given until it gets other work
            return await anyio.to_thread.run_sync(lambda: fetch.data_uri(on_disk.read(path)))
        if url.startswith("data:"):
            return fetch.data_uri(url)
        key = self.endpoint.key
        own = fetch.OwnApi(fetch.origin(self._base), self.outputs or self.session, f"Bearer {key}" if key else None)
        try:
            return (await fetch.get(self.foreign or self.session, url, fetching=self.fetching, own=own)).body
        except BatchError as error:
            # aiohttp's errors hold the request's headers: none of them may stay in the chain.
            error.args = (self._masked(str(error)),)
            error.__cause__ = error.__context__ = None
            raise

    async def abandon(self) -> None:
        """Close the connections to the API: nothing under way gets an answer any more."""
        await self.session.close()

    async def _ask(
        self, method: str, path: str, doing: str, *, expected: Container[int] = (), **kwargs: Any
    ) -> _Answer:
        """The answer to a request that may be repeated; raises for a refusal, unless its status is `expected`."""
        answer = await self._exchange(method, path, doing, **kwargs)
        if answer.status >= 300 and answer.status not in expected:
            raise self._refusal(answer, doing)
        return answer

    async def _exchange(self, method: str, path: str, doing: str, *, patience: float = 0.0, **kwargs: Any) -> _Answer:
        """The answer, whatever its status; raises Unreachable, NotAnApi, or ConnectionFailed where none came back."""
        import aiohttp

        end = self.endpoint
        sent = {"Accept": "application/json", **kwargs.pop("headers", {})}
        if end.key:
            sent["Authorization"] = f"Bearer {end.key}"
        waiting = Patience(max(end.seconds, patience), 10 * end.seconds)
        timeout = aiohttp.ClientTimeout(sock_connect=20)
        try:
            url = fetch.as_url(self._base + path)
            proxy = proxies.proxy_of(url)
            with waiting.kept():
                answer = await self.session.request(
                    method, url, headers=sent, proxy=proxy, timeout=timeout, allow_redirects=False, **kwargs
                )
            async with answer:
                parsed = await self._parsed(answer, doing, waiting)
                if answer.status < 300 and refusals.is_page(answer.headers, parsed):
                    page = f"{doing}: {fetch.redacted(self._base)} answers with a web page"
                    raise PageInstead(str(refusals.not_an_api(page)))
                status = answer.status
                if status < 300 and (stated := refusals.stated(parsed)) and wire.prediction(parsed) is None:
                    status = stated
                return _Answer(status, answer.headers, parsed, getattr(answer, "drop", lambda: None))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            said = f"{doing}: no connection to {fetch.redacted(self._base)} ({fetch.one_line(error)})"
            failure: BatchError = Unreachable(said)
        except ValueError:
            failure = NotAnApi(f"{doing}: {self._base} is no URL; check --base-url")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = self._masked(fetch.one_line(error))
            failure = ConnectionFailed(f"{doing}: the connection broke before the answer ({said})")
        # Raised out here, with nothing chained to it: aiohttp's errors hold the request's headers, and so the key.
        raise failure

    async def _parsed(self, answer: aiohttp.ClientResponse, doing: str, waiting: Patience) -> Any:
        """The JSON of an answer; a long one is parsed once there is memory for it, and its pictures go to the disk."""
        refused = answer.status >= 300
        begin = await fetch.read(answer, _REFUSAL_LIMIT if refused else _LONG, waiting, broken=refused)
        if refused or answer.content.at_eof():
            return wire.parsed(begin)
        # Read as it comes, not once there is memory: a server drops those who keep it waiting.
        with TemporaryFile(dir=self.scratch) if self._has_room() else BytesIO() as spool:
            spool.write(begin)
            while (size := spool.tell()) <= _ANSWER_LIMIT and not answer.content.at_eof():
                spool.write(await fetch.read(answer, _LONG, waiting))
            if size > _ANSWER_LIMIT:
                raise AnswerTooLong(f"{doing}: the answer is larger than {_ANSWER_LIMIT >> 20} MiB")
            async with self.memory.reserved(_COPIES * size):
                spool.seek(0)
                parsed = wire.parsed(spool.read())
                if self.scratch is not None and self._has_room():
                    with suppress(DiskError):  # they stay in memory: what was paid for isn't lost for want of a disk
                        parsed = await anyio.to_thread.run_sync(wire.lightened, parsed, self.scratch)
                return parsed

    def _has_room(self) -> bool:
        """Whether pictures may wait on the disk: they must leave room for the ledger's lines and the results."""
        with suppress(OSError):
            return self.scratch is not None and shutil.disk_usage(self.scratch).free > _SPARE
        return False

    def _refusal(self, answer: _Answer, doing: str) -> BatchError:
        now = self.clock.wall()
        refused = refusals.refusal(answer.status, answer.headers, answer.body, doing=doing, now=now)
        refused.args = (self._masked(str(refused)),)
        return refused

    def _read(self, answer: _Answer) -> Prediction | None:
        found = wire.prediction(answer.body, image_field=self.endpoint.image_field, base=self._base)
        return None if found is None else self._without_key(found)

    def _without_key(self, found: Prediction) -> Prediction:
        return replace(found, error=self._masked(found.error)) if found.error else found

    def _glimpse(self, answer: _Answer) -> str:
        return "no JSON" if answer.body is None else self._masked(refusals.glimpse(answer.body))

    def _masked(self, text: str) -> str:
        """Without the key: some servers quote a key they reject, and it must not get into the ledger."""
        key = self.endpoint.key
        return text.replace(key, "[key]") if key else text


class _Answer(NamedTuple):
    """Status and headers of an answer, and its parsed JSON, None where it is none."""

    status: int  # of the refusal that a 2xx may hold, where it does
    headers: Mapping[str, str]
    body: Any
    drop: Callable[[], None]  # close the connection that it came over
