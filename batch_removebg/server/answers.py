"""What all handlers share: the base URL, the body of a request, and the refusals that any of them may give."""

from __future__ import annotations

from aiohttp import web

from .protocol import Refusal

_DISK_FULL_FOR = 30  # seconds a client is asked to wait


def base_url(request: web.Request) -> str:
    """The URL of `/v1` as the client knows it."""
    return f"{request.scheme}://{request.host}/v1"


async def json_body(request: web.Request) -> object:
    """The body's JSON; raises Refusal where it is none, or is not sent as such."""
    # A page in a browser can send other types across origins without being asked first, but not this one.
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported media type", "send the body as application/json")
    try:
        body: object = await request.json()
    except ValueError as error:
        raise Refusal(400, "Bad request", f"the body is not JSON: {error}") from error
    return body


def not_found(what: str) -> Refusal:
    """The 404 for a thing of that name."""
    return Refusal(404, "Not found", f"{what} does not exist on this server, or its hour is over")


def disk_full(error: OSError) -> Refusal:
    """The 503 for a disk that takes nothing more."""
    detail = f"this server can't store the file: {error.strerror or error}"
    return Refusal(503, "Service unavailable", detail, {"Retry-After": str(_DISK_FULL_FOR)})
