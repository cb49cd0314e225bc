"""Clients within bounds: of connections, of bytes on their way, of time.

What is full is emptied of whoever has kept the server waiting longest: slow clients never keep out a quick one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web
from anyio import CancelScope

from .protocol import Refusal

log = logging.getLogger(__name__)

HEADERS = 30.0  # seconds for a request's headers, and that a connection may be idle
_PATIENCE, _PROGRESS = 10.0, 160 << 10  # seconds in which a body brings so many bytes, or ends
_YOUNG = 2.0  # seconds after its head in which a request is not yet taken for a slow one
_TAKING = 300.0  # seconds for an answer to be taken
_EACH = 3 / 4  # of the whole, for one client
_RETRY = {"Retry-After": "5"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """A client's connection, which knows since when its client has kept the server waiting."""

    bounds: tuple[Bounds, ...] = ()  # of its client, and of all
    scope: CancelScope | None = None  # of the request that is being answered
    _sending: CancelScope | None = None
    refusal: Refusal | None = None  # of the next request, or of this one instead of its handler's answer
    client = ""
    waits_since = 0.0  # on the loop's clock; infinite while the server works
    served = False  # whether a request of it has been answered as it wished, and it has taken the answer
    held = 0  # bytes of the body that count

    def __init__(self, guests: Guests, *server: Any, **options: Any) -> None:
        super().__init__(*server, **options)
        self._guests = guests

    def connection_made(self, transport: Any) -> None:
        """See asyncio's."""
        super().connection_made(transport)
        self.client, self.waits_since = (self.peername or ("",))[0], self._loop.time()
        self._guests.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio's."""
        self.leave()
        super().connection_lost(exc)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer; raises Refusal if the body comes too slowly, or the place is needed for others."""
        if self.refusal:
            raise self.refusal
        self.waits_since = self._loop.time()
        try:
            with CancelScope(deadline=self.waits_since + _PATIENCE) as self.scope:
                request.content.on_eof(self._complete)
                return await handler(request)
        finally:
            self.scope, self.held = None, 0
        if not self.refusal:
            detail = f"a body must end, or bring {_PROGRESS} bytes, within {_PATIENCE:.0f} seconds; send it again"
            self.refusal = Refusal(408, "Request timeout", detail)
        raise self.refusal

    def _complete(self) -> None:
        if self.scope:
            self.waits_since = self.scope.deadline = inf

    def hold(self, size: int, *, weight: int = 1) -> None:
        """Count `size` more bytes of the body, which take the room of `weight` times as many on the disk."""
        self.held += size * weight
        if self.scope and self.scope.deadline < inf:
            earned = self.scope.deadline + _PATIENCE * size / _PROGRESS
            self.scope.deadline = min(self._loop.time() + _PATIENCE, earned)
        for bound in self.bounds:
            holding = [one for one in bound.here if one.held]
            if sum(one.held for one in holding) > bound.room:
                return min(holding, key=lambda one: (one.patience(), one is not self)).turn_away(bound.refusal)
        return None

    def leave(self) -> None:
        """Count the connection no longer."""
        for bound in self.bounds:
            bound.here.discard(self)

    def turn_away(self, refusal: Refusal) -> None:
        """Answer the request with `refusal`: now, or as soon as it has come."""
        self.refusal = refusal
        if self.scope:
            self.scope.cancel()

    async def finish_response(self, request: Any, resp: web.StreamResponse, start_time: float | None) -> Any:
        """See aiohttp's."""
        if self.refusal:
            resp.force_close()
        self.waits_since = self._loop.time()
        try:
            with CancelScope(deadline=self.waits_since + _TAKING) as self._sending:
                sent = await super().finish_response(request, resp, start_time)
                self.served = self.served or resp.status < HTTPStatus.BAD_REQUEST
                return sent
        finally:
            self._sending = None
        self.abort()
        raise ConnectionResetError

    def patience(self) -> tuple[bool, float]:
        """The lower, the sooner its place is given to another."""
        young = self.scope is not None and self._loop.time() - self.waits_since < _YOUNG
        return self.served or young, self.waits_since

    def abort(self) -> None:
        """Close the connection at once, whatever is on its way."""
        self.leave()
        if self._sending:  # asyncio would wait for ever for a file to go out over a transport that is aborted
            self._sending.cancel()
        elif self.transport is not None:
            self.transport.abort()

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP (400), or to an error of ours (500)."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a bug in batch-removebg", exc_info=exc)
        else:
            log.warning("refused what %s sent: it is not HTTP", self.client)
        title = HTTPStatus(status).phrase
        answer = web.json_response(Refusal(status, title, message or title).body, status=status)
        answer.force_close()
        return answer


@dataclass(eq=False)
class Bounds:
    """Connections that share a bound."""

    connections: float
    room: float  # bytes of bodies that are on their way
    refusal: Refusal
    here: set[Connection] = field(default_factory=set)


class Guests:
    """Everyone who is connected."""

    def __init__(self, connections: int, room: int) -> None:
        """At most so many `connections`, and `room` bytes of bodies that are on their way; for each client, 3/4."""
        own = Refusal(429, "Too many requests", "too much of yours is in flight; send less at a time", _RETRY)
        self._bounds = partial(Bounds, connections * _EACH, room * _EACH, own)
        self._own: WeakValueDictionary[str, Bounds] = WeakValueDictionary()
        whole = Refusal(503, "Service unavailable", "too much is in flight; try again later", _RETRY)
        self._all = Bounds(connections, room, whole)

    def admit(self, new: Connection) -> None:
        """Let one more in; another connection is closed for it, or its requests are refused, if there are too many."""
        new.bounds = (self._own.setdefault(new.client, self._bounds()), self._all)
        for bound in new.bounds:
            bound.here.add(new)
        for bound in new.bounds:
            if len(bound.here) > bound.connections:
                slowest = min(bound.here, key=Connection.patience)
                return new.turn_away(bound.refusal) if slowest is new else slowest.abort()
        return None
