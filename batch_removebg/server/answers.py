"""What all handlers share: the server's state, the base URL, the 404, and how bodies are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

from aiohttp import web
from anyio import CapacityLimiter

from batch_removebg.engine.weights import Weights
from batch_removebg.errors import BatchError
from batch_removebg.model import REMOVE_BG as REMOVE_BG_VERSION
from batch_removebg.net.fetch import one_line

from .guests import Connection
from .jobs import Jobs
from .protocol import REMOVE_BG, Refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class State:
    """What the handlers work on."""

    jobs: Jobs
    fetch: Callable[[str], Awaitable[bytes]]  # of a URL that a client has named; may raise a BatchError
    model: Weights
    since: float  # when the server started, in seconds since 1970
    token: str | None = field(repr=False)  # the key that requests must carry; None asks for none
    max_file: int  # bytes of the largest upload accepted
    device: str = ""  # what the network runs on
    decoding: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))  # of large bodies: it takes memory

    @property
    def served(self) -> dict[str, str]:
        """`owner/name` by version id."""
        # The hosted model's id leads to our network too: scripts written for that model run here unchanged.
        return {REMOVE_BG_VERSION: REMOVE_BG, self.model.sha256: f"batch-removebg/{self.model.name}"}


OPEN = "open-"  # how the names of routes begin that need no key
STATE = web.AppKey("state", State)


def base_url(request: web.Request) -> str:
    """The URL of `/v1` as the client addresses it."""
    return f"{request.scheme}://{request.host}/v1"


def found(resource: T | None, what: str) -> T:
    """The resource; raises the 404 where there is none, with `what` it is."""
    if resource is None:
        raise Refusal(404, "Not found", f"{what} does not exist on this server, or its hour is over")
    return resource


def version_of(request: web.Request) -> str:
    """The version id of the model in the URL; raises the 404."""
    versions = {name: version for version, name in request.app[STATE].served.items()}
    name = f"{request.match_info['owner']}/{request.match_info['name']}"
    return found(versions.get(name), "the model")


def connection(request: web.Request) -> Connection:
    """What the request came over."""
    return cast(Connection, request.protocol)


async def body(
    request: web.Request, read: Callable[[], Awaitable[bytes]], limit: int, *, weight: int = 1
) -> AsyncIterator[bytes]:
    """What `read` gives of a body, chunk by chunk, counted as `hold` says; raises aiohttp's 413 above `limit` bytes."""
    size = 0
    while chunk := await read():
        size += len(chunk)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit)
        connection(request).hold(len(chunk), weight=weight)
        yield chunk


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Refuse with 400 whatever a parser stumbles over in the block: the fault lies in what it was given."""
    try:
        yield
    except (BatchError, Refusal, web.HTTPException):
        raise
    except Exception as error:  # aiohttp's, json's and codecs' have no base in common
        raise Refusal(400, "Bad request", f"{what} can't be read: {one_line(error)}") from error
