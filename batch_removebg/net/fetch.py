"""Downloads from foreign URLs, with limits on size, time, redirects and addresses."""

from __future__ import annotations

import base64
import functools
import string
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    Forbidden,
    OutputBroken,
    PredictionLost,
    RateLimited,
    ServerError,
    SourceError,
    Unreachable,
)

from . import instead, proxies, ssrf
from .headers import Header, meant_for
from .patience import Patience

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

_READ_AHEAD = 1 << 18
"""aiohttp pauses a connection once twice this many bytes are unread; most pictures arrive without a pause."""
_LONGEST_LINE = 1 << 17
"""Bytes of a header's line that are read: policies, traces and cookies have many kilobytes."""
_REFUSAL = 1 << 14  # bytes of a refusal that are read, for what it says
_SENT = string.punctuation  # of what is sent as it is, beside letters and digits
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 530)})


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits on what is accepted from a foreign server."""

    size: int = 200 << 20  # bytes of one body
    seconds: float = 300.0  # for the whole exchange
    redirects: int = 20  # as browsers (Fetch standard)
    public_only: bool = False  # only addresses on the public internet; `open_session` sees to it, `proxies` of proxies'


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server told an answer by; sent back, it says whether that has changed since."""

    etag: str | None = None
    modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Those of a request that is to be answered only if something has changed."""
        given = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in given.items() if value}


UNKNOWN = Validators()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, and what to ask for changes with."""

    body: bytes
    validators: Validators = UNKNOWN
    unchanged: bool = False  # it is what it was when the validators were given, and the body is empty


@dataclass(frozen=True, slots=True)
class OwnApi:
    """The API's own origin: the only one that gets the key and may have a private address."""

    origin: str  # as `origin` gives it
    session: aiohttp.ClientSession
    authorization: str | None = field(default=None, repr=False)


def open_session(*, public_only: bool, reuse: bool = True, read_ahead: int = _READ_AHEAD) -> aiohttp.ClientSession:
    """A session without cookies, key or limit on connections, for the caller to close.

    `reuse`: connections; a picture can't be matched to its request, so none comes over one that had another before.
    """
    import aiohttp

    from .connections import CleanConnector, TracedResponse

    sockets = proxies.public_socket if public_only else None
    return aiohttp.ClientSession(
        connector=CleanConnector(limit=0, force_close=not reuse, socket_factory=sockets),
        response_class=TracedResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"batch-removebg/{import_module('batch_removebg').__version__}"},
        read_bufsize=read_ahead,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
    )


@asynccontextmanager
async def lazy_session(
    *, public_only: bool, reuse: bool = True, read_ahead: int = _READ_AHEAD
) -> AsyncIterator[Callable[[], aiohttp.ClientSession]]:
    """A function that returns the block's one session, opened at its first call and closed with the block."""
    # Importing aiohttp takes a tenth of a second, which a run over files with the local engine saves.
    async with AsyncExitStack() as stack:

        @functools.cache
        def session() -> aiohttp.ClientSession:
            opened = open_session(public_only=public_only, reuse=reuse, read_ahead=read_ahead)
            stack.push_async_callback(opened.close)
            return opened

        yield session


def as_url(text: str) -> URL:
    """A URL as aiohttp sends it: as it is written, but for what can't be sent; raises ValueError where it is none."""
    from yarl import URL

    try:
        given = URL(text, encoded=True)
        authority = URL(f"{given.scheme}://{given.raw_authority}").raw_authority if given.raw_authority else ""
    except IndexError as error:  # yarl's own for `http://[::1]x@`
        raise ValueError(text) from error
    # What a header's bytes were, where they weren't UTF-8, aiohttp keeps as escapes.
    path, query = (quote(one, _SENT, errors="surrogateescape") for one in (given.raw_path, given.raw_query_string))
    return URL.build(scheme=given.scheme, authority=authority, path=path, query_string=query, encoded=True)


@functools.lru_cache(maxsize=8)
def origin(url: str) -> str:
    """Scheme, host and port of an http(s) URL, as aiohttp would connect to it; raises ValueError for other URLs."""
    return str(as_url(url).origin())


def redacted(url: str) -> str:
    """A URL for messages: without user, password and query, which can hold secrets."""
    if url.startswith("data:"):
        return f"{url[:24]}…"
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "a malformed URL"


def data_uri(url: str) -> bytes:
    """The bytes in a `data:` URI (RFC 2397), also in lines, unpadded, or in the alphabet for URLs (RFC 4648, 5).

    Raises OutputBroken where it can't be decoded.
    """
    header, comma, body = url.partition(",")
    if not comma:
        raise OutputBroken("the output is a data URI without data")
    try:
        raw = unquote_to_bytes(body)
        if not header.lower().endswith(";base64"):
            return raw
        packed = b"".join(raw.split()).translate(_FROM_URL_SAFE).rstrip(b"=")
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError as error:  # binascii's, or half a surrogate pair
        raise OutputBroken(f"the output is a data URI that can't be decoded ({error})") from error


async def get(
    session: aiohttp.ClientSession,
    url: str,
    *,
    fetching: FetchPolicy,
    own: OwnApi | None = None,
    headers: Sequence[Header] = (),
    known: Validators = UNKNOWN,
) -> Fetched:
    """The body of an http(s) URL, within `fetching`, after redirects; none where it is still what `known` tells.

    Requests to the origin of `own` go through its session, with its key; other origins never get the key, redirects
    included, and each of `headers` goes where it is meant for. Cookies live as long as the call. Raises PredictionLost
    for 404 and 410, Forbidden for 401 and 403, SourceError for other refusals, RetryError for transient failures.
    """
    import aiohttp

    patience, seen, jar, first = Patience(60.0, fetching.seconds), set[tuple[str, str]](), None, None
    for _ in range(fetching.redirects + 1):
        try:
            target = as_url(url)  # parsed once: what is compared here is what aiohttp connects to
            if target.scheme not in ("http", "https"):
                raise SourceError(f"{redacted(url)}: only http and https are fetched")
            ours = own if own is not None and str(target.origin()) == own.origin else None
            sent = {
                "Accept-Encoding": "identity",
                **known.headers(),
                **meant_for(target, first := first or target, headers),
            }
            if ours and ours.authorization:
                sent["Authorization"] = ours.authorization
            if jar and (cookies := jar.filter_cookies(target)):
                sent["Cookie"] = "; ".join(f"{one.key}={one.coded_value}" for one in cookies.values())
            if (hop := (str(target), sent.get("Cookie", ""))) in seen:
                raise SourceError(f"{redacted(url)}: its redirects lead in a circle")
            seen.add(hop)
            with patience.kept():
                answer = await _send(
                    ours.session if ours else session, target, sent, judged=fetching.public_only and not ours
                )
            async with answer:
                if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                    jar = jar or aiohttp.CookieJar(unsafe=True, quote_cookie=False)
                    jar.update_cookies(answer.cookies, target)
                    url = urljoin(url, answer.headers["Location"])
                    continue
                validators = Validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
                if answer.status == 304 and known.headers():
                    return Fetched(b"", validators, unchanged=True)
                if not 200 <= answer.status < 300 or answer.status in (204, 205):
                    raise await _refusal(url, answer, patience)
                body = _unpacked(await read(answer, fetching.size + 1, patience), fetching.size + 1)
                if len(body) > fetching.size:
                    raise SourceError(f"{redacted(url)}: larger than {fetching.size >> 20} MiB")
                return Fetched(body, validators)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, zlib.error) as error:
            raise _trouble(url, error) from error
    raise SourceError(f"{redacted(url)}: more than {fetching.redirects} redirects")


async def _send(
    session: aiohttp.ClientSession, target: URL, headers: Mapping[str, str], *, judged: bool
) -> aiohttp.ClientResponse:
    import aiohttp

    proxy = proxies.proxy_of(target)
    await proxies.through(proxy, target, public_only=judged)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=20)
    return await session.get(target, headers=headers, proxy=proxy, allow_redirects=False, timeout=timeout)


def _unpacked(body: bytes, most: int) -> bytes:
    """What is in a gzip, whatever its header called it (no picture begins so), `most` bytes of it; else the body."""
    return zlib.decompressobj(31).decompress(body, most) if body.startswith(b"\x1f\x8b\x08") else body


async def read(answer: aiohttp.ClientResponse, most: int, patience: Patience, *, broken: bool = False) -> bytes:
    """The next bytes of an answer, at least `most` unless it ends before, or breaks off where it may be `broken`."""
    import aiohttp

    chunks, size = [], 0
    try:
        with patience.kept():
            async for chunk in answer.content.iter_any():
                patience.heard()
                chunks.append(chunk)
                size += len(chunk)
                if size >= most:
                    break
    except (aiohttp.ClientError, TimeoutError, OSError):
        if not broken:
            raise
    return b"".join(chunks)


async def _refusal(url: str, answer: aiohttp.ClientResponse, patience: Patience) -> BatchError:
    status = answer.status
    if status in (404, 410):
        return PredictionLost(f"{redacted(url)} is not there ({status})")
    said = instead.says(_unpacked(await read(answer, _REFUSAL, patience, broken=True), _REFUSAL))
    text = f"{redacted(url)} answers {status}{said}"
    if status in RETRIED:
        kind = RateLimited if status == 429 else ServerError
        return kind(text, retry_after=retry_after(answer.headers, now=time.time()))
    return (Forbidden if status in (401, 403) else SourceError)(text)


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds that a server asks to wait, given so or as a date; None where it asks for none that makes sense."""
    asked = headers.get("Retry-After", "")
    try:
        if asked[:1].isalpha():
            date = parsedate_to_datetime(asked)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
        else:
            seconds = float(asked)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, seconds) if isfinite(seconds) else None


def _trouble(url: str, error: Exception) -> BatchError:
    """The error to raise for one of aiohttp's or the system's."""
    import aiohttp

    doing = f"fetching {redacted(url)}"
    refused = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(refused, ssrf.NotPublic):
        return SourceError(f"{redacted(url)} leads nowhere public: {refused.strerror}")
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)):
        return Unreachable(f"{doing}: {one_line(error)}")
    if isinstance(error, TimeoutError):
        return ConnectionFailed(f"{doing}: no answer in time")
    if "content-encoding" in str(error).lower():  # nothing but gzip and deflate was asked for
        return SourceError(f"{doing}: it is sent in an encoding that wasn't asked for")
    if isinstance(error, ValueError):  # its text may be the whole URL, secrets included
        return SourceError(f"{doing}: this is no URL")
    return ConnectionFailed(f"{doing}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """An exception's text in one line of at most 301 characters."""
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):  # its text may hold the proxy's password
        return f"the proxy answers {error.status} ({error.message})"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {error.host}:{error.port} can't be reached ({error.os_error.strerror}); check HTTPS_PROXY"
    if isinstance(error, aiohttp.ClientResponseError):  # its text holds the whole URL, and what the server echoes of it
        return "the answer can't be read as HTTP"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"
