"""The predictions API as an aiohttp application: routes, checks before the body, and every refusal in JSON.

Without a key it answers programs of this machine, and no page of a stranger, which may reach it under a name of its own
(DNS rebinding), or by forms and images: browsers say so in Host, Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re

from aiohttp import web
from multidict import CIMultiDictProxy

from batch_removebg.errors import Busy
from batch_removebg.net.fetch import one_line

from . import files, models, predictions
from .answers import OPEN, STATE, State, connection
from .guests import Handler
from .protocol import Refusal

_BEYOND_FILE = 1 << 20  # bytes that a body may have beyond the largest file
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{0,5})?", re.ASCII | re.IGNORECASE)

log = logging.getLogger(__name__)


def make_app(state: State) -> web.Application:
    """The API over the predictions in `state.jobs`, which the caller runs."""
    app = web.Application(middlewares=[_refusals, _checks])
    app[STATE] = state
    for module in (predictions, files, models):
        app.add_routes(module.routes)
    return app


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as a problem document, aiohttp's own included."""
    try:
        return await handler(request)
    except Refusal as error:
        refusal = error
    except Busy as busy:
        refusal = Refusal(503, "Service unavailable", str(busy), {"Retry-After": f"{busy.retry_after:.0f}"})
    except web.HTTPClientError as error:
        headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        refusal = Refusal(error.status, error.reason, error.text or error.reason, headers)
    log.warning("refused a request of %s: %d, %a", request.remote, refusal.status, one_line(refusal))
    return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)


@web.middleware
async def _checks(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse strangers, and bodies that are too large or compressed, before they are read; keep the rest in bounds."""
    state = request.app[STATE]
    check_origin(request.headers, keyless=state.token is None)
    if (request.content_length or 0) > state.max_file + _BEYOND_FILE:
        raise web.HTTPRequestEntityTooLarge(max_size=state.max_file)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(415, "Unsupported media type", "send the body without a Content-Encoding")
    if state.token is not None and not (request.match_info.route.name or "").startswith(OPEN):
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), state.token.encode())
        if not same or scheme.lower() not in ("bearer", "token"):
            detail = "You did not pass a valid authentication token"
            raise Refusal(401, "Unauthenticated", detail, {"WWW-Authenticate": "Bearer"})
    return await connection(request).answer(request, handler)


def check_origin(headers: CIMultiDictProxy[str], *, keyless: bool) -> None:
    """Raise Refusal for a request without one valid Host (400) and, where no key is asked, for a stranger's (403)."""
    hosts = headers.getall("Host", [])
    if len(hosts) != 1 or not _AUTHORITY.fullmatch(hosts[0]):
        raise Refusal(400, "Bad request", "the request needs one Host header, with a name or an address")
    if not keyless:
        return
    if not _is_here(hosts[0]):
        raise Refusal(403, "Forbidden", f"{hosts[0]} is no name of this machine; ask for localhost or 127.0.0.1")
    foreign = [origin for origin in headers.getall("Origin", []) if not _is_here(re.sub("^https?://", "", origin))]
    if foreign or any(site.lower() == "cross-site" for site in headers.getall("Sec-Fetch-Site", [])):
        raise Refusal(403, "Forbidden", f"pages of other sites are not answered ({', '.join(foreign) or 'cross-site'})")


def _is_here(authority: str) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    return found is not None and is_loopback(found[1] or found[2])


def is_loopback(host: str) -> bool:
    """Whether a name or an address leads to this machine, wherever it is asked for."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"
