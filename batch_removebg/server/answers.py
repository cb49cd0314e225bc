"""What all handlers share: the server's state, the base URL, and the 404."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from batch_removebg.engine.weights import Weights
from batch_removebg.model import REMOVE_BG as REMOVE_BG_VERSION

from .jobs import Jobs
from .protocol import REMOVE_BG, Refusal


@dataclass(frozen=True, slots=True)
class State:
    """What the handlers work on."""

    jobs: Jobs
    fetch: Callable[[str], Awaitable[bytes]]
    """The bytes behind a URL that a client has named; may raise a BatchError. Every foreign address passes through."""
    model: Weights
    since: float
    """When the server started, in seconds since 1970."""
    token: str | None = field(repr=False)
    """The key that requests must carry; None asks for none."""
    max_file: int
    """Bytes of the largest upload accepted."""

    @property
    def served(self) -> dict[str, str]:
        """`owner/name` by version id."""
        # The hosted model's id leads to our network too: scripts written for that model run here unchanged.
        return {REMOVE_BG_VERSION: REMOVE_BG, self.model.sha256: f"batch-removebg/{self.model.name}"}


STATE = web.AppKey("state", State)


def base_url(request: web.Request) -> str:
    """The URL of `/v1` as the client addresses it."""
    return f"{request.scheme}://{request.host}/v1"


def not_found(what: str) -> Refusal:
    """The 404 for a missing resource; `what` names its kind."""
    return Refusal(404, "Not found", f"{what} does not exist on this server, or its hour is over")
