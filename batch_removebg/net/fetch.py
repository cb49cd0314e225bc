"""Fetching from the web with caps: the one way that bytes behind a foreign URL come in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from batch_removebg.errors import (
    BatchError,
    ConnectionFailed,
    OutputBroken,
    PredictionLost,
    RateLimited,
    ServerError,
    SourceError,
)

from . import ssrf

if TYPE_CHECKING:
    import aiohttp

_MEBIBYTE = 1 << 20
_READ_AHEAD = 1 << 18
"""Bytes of an answer that may lie unread before its connection is paused, half of it: most pictures come in one go."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 530)})


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a foreign server may make us take."""

    size: int = 200 * _MEBIBYTE
    """Bytes of one body."""
    seconds: float = 300.0
    """Of the whole exchange."""
    redirects: int = 5
    public_only: bool = False
    """Only addresses on the public internet; the session must come from `open_session(public_only=True)`."""


Origin = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class Own:
    """The API's own origin: the one place that may see the key, and may lie on a private address."""

    origin: Origin
    session: aiohttp.ClientSession
    authorization: str | None = field(default=None, repr=False)


def open_session(*, public_only: bool) -> aiohttp.ClientSession:
    """A session without cookies and without a key, for the caller to close; as many connections as are wanted."""
    import aiohttp

    resolver = ssrf.public_resolver() if public_only else None
    connector = aiohttp.TCPConnector(limit=0, resolver=resolver)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_READ_AHEAD)


@asynccontextmanager
async def session_at_need(*, public_only: bool) -> AsyncIterator[Callable[[], aiohttp.ClientSession]]:
    """What gives the one session of the block, opened at the first call, and closed at the end if it was opened.

    To import aiohttp takes a tenth of a second, which a run over files with the engine of this process does without.
    """
    opened: list[aiohttp.ClientSession] = []

    def session() -> aiohttp.ClientSession:
        if not opened:
            opened.append(open_session(public_only=public_only))
        return opened[0]

    try:
        yield session
    finally:
        for one in opened:
            await one.close()


def origin(url: str) -> Origin:
    """Scheme, host and port: what a key may be sent to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def shown(url: str) -> str:
    """A URL as it may be shown: without user, password and query, where secrets of signed URLs lie."""
    if url.startswith("data:"):
        return f"{url[:24]}…"
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "a malformed URL"


def data_uri(url: str) -> bytes:
    """The bytes in a `data:` URI (RFC 2397); raises OutputBroken where it can't be read."""
    header, comma, body = url.partition(",")
    if not comma:
        raise OutputBroken("the output is a data URI without data")
    try:
        raw = unquote_to_bytes(body)
        return base64.b64decode(raw, validate=True) if header.lower().endswith(";base64") else raw
    except binascii.Error as error:
        raise OutputBroken(f"the output is a data URI that can't be decoded ({error})") from error


async def get(
    session: aiohttp.ClientSession,
    url: str,
    *,
    caps: Caps,
    own: Own | None = None,
) -> bytes:
    """The body behind an http(s) URL, redirects followed, caps kept.

    `own` is the origin that is asked through its own session, with its key; no other origin sees that, redirects
    included. Raises PredictionLost for 404 and 410, SourceError for other refusals, RetryError for passing trouble.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=caps.seconds, sock_connect=20, sock_read=60)
    for _ in range(caps.redirects + 1):
        try:
            if not url[:8].lower().startswith(("http://", "https://")):
                raise SourceError(f"{shown(url)}: only http and https are fetched")
            ours = own if own is not None and origin(url) == own.origin else None
            if caps.public_only and ours is None:
                ssrf.check(url)
            headers = {"Authorization": ours.authorization} if ours and ours.authorization else {}
            asked = ours.session if ours else session
            async with asked.get(url, headers=headers, allow_redirects=False, timeout=timeout) as answer:
                if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise _refusal(url, answer.status)
                return await _body(answer, url, caps)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _trouble(url, error) from error
    raise SourceError(f"{shown(url)}: more than {caps.redirects} redirects")


async def _body(answer: aiohttp.ClientResponse, url: str, caps: Caps) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > caps.size:
            raise SourceError(f"{shown(url)}: larger than {caps.size // _MEBIBYTE} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _refusal(url: str, status: int) -> BatchError:
    if status in (404, 410):
        return PredictionLost(f"{shown(url)} is not there ({status})")
    if status == 429:
        return RateLimited(f"{shown(url)} answers {status}")
    if status in RETRIED:
        return ServerError(f"{shown(url)} answers {status}")
    return SourceError(f"{shown(url)} answers {status}")


def _trouble(url: str, error: Exception) -> BatchError:
    """What an error of aiohttp's, or of the system's, comes to."""
    import aiohttp

    doing = f"fetching {shown(url)}"
    if isinstance(error, TimeoutError):
        return ConnectionFailed(f"{doing}: no answer in time")
    if isinstance(error, aiohttp.InvalidURL):  # its text is the whole URL, secrets included
        return SourceError(f"{doing}: this is no URL")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ConnectionFailed(f"{doing}: {said(error)}")
    return SourceError(f"{doing}: {said(error)}")


def said(error: BaseException) -> str:
    """An exception's text in one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"
