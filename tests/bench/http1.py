"""HTTP/1.1 on an asyncio.Protocol: as little work an exchange as can be, so that the server is never what is measured.

aiohttp.web was looked at: an exchange of its costs about as much as one of the client's, and both share two cores here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_REASONS = {200: b"OK", 201: b"Created", 404: b"Not Found", 413: b"Content Too Large", 429: b"Too Many Requests"}


@dataclass(slots=True)
class Exchange:
    """A request that came in whole, and the way to answer it: once, at any time."""

    method: str
    path: str
    """With the query."""
    head: bytes
    """The header lines, in lower case."""
    body: bytes
    _transport: asyncio.Transport

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        begin = self.head.find(b"\r\n" + name + b":")
        if begin < 0:
            return None
        begin += len(name) + 3
        end = self.head.find(b"\r\n", begin)
        return self.head[begin : end if end >= 0 else None].strip().decode("latin-1")

    def answer(self, status: int, body: bytes, kind: bytes = b"application/json", more: bytes = b"") -> None:
        """`more` are whole header lines; nothing happens where the client has gone."""
        self.send(message(status, body, kind, more))

    def send(self, whole: bytes) -> None:
        """An answer made beforehand."""
        if not self._transport.is_closing():
            self._transport.write(whole)


def message(status: int, body: bytes, kind: bytes, more: bytes = b"") -> bytes:
    """The bytes of an answer."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        _REASONS.get(status, b"-"),
        kind,
        len(body),
        more,
        body,
    )


class Connection(asyncio.Protocol):
    """One client's connection, kept alive as long as the client likes."""

    def __init__(self, handler: Callable[[Exchange], None], opened: Callable[[int], None]) -> None:
        """`opened` hears +1 and −1."""
        self._handler = handler
        self._opened = opened
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._opened(1)

    def connection_lost(self, error: Exception | None) -> None:
        self._opened(-1)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (begin := self._buffer.find(b"\r\n\r\n")) >= 0:
            line, _, fields = bytes(self._buffer[:begin]).partition(b"\r\n")
            head = b"\r\n" + fields.lower()
            taken = self._body(head, begin + 4)
            if taken is None:
                return
            body, end = taken
            del self._buffer[:end]
            method, path, _ = line.decode("latin-1").split(" ")
            self._handler(Exchange(method, path, head, body, self._transport))

    def _body(self, head: bytes, begin: int) -> tuple[bytes, int] | None:
        """The body and where it ends; None while it is not there whole."""
        if b"\r\ntransfer-encoding: chunked" in head:
            return self._chunks(begin)
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        end = begin + length
        return (bytes(self._buffer[begin:end]), end) if len(self._buffer) >= end else None

    def _chunks(self, at: int) -> tuple[bytes, int] | None:
        parts = []
        while (line := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line].split(b";")[0], 16)
            at = line + 2 + size + 2
            if len(self._buffer) < at:
                return None
            if size == 0:
                return b"".join(parts), at
            parts.append(bytes(self._buffer[line + 2 : at - 2]))
        return None
