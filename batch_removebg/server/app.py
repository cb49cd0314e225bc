"""The predictions API as an aiohttp application: routes, key check, and every refusal in JSON."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from batch_removebg.errors import Busy

from . import files, models, predictions
from .answers import STATE, State
from .protocol import Refusal

_BEYOND_FILE = 1 << 20  # bytes that a body may have beyond the largest file

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(state: State) -> web.Application:
    """The API over the predictions in `state.jobs`, which the caller runs."""
    app = web.Application(middlewares=[_refusals, _keys], client_max_size=state.max_file + _BEYOND_FILE)
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
    return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)


@web.middleware
async def _keys(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests without the server's key, if it has one."""
    token = request.app[STATE].token
    if token is not None and request.match_info.route.name != predictions.OPEN_ROUTE:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
        if not same or scheme.lower() not in ("bearer", "token"):
            detail = "You did not pass a valid authentication token"
            raise Refusal(401, "Unauthenticated", detail, {"WWW-Authenticate": "Bearer"})
    return await handler(request)
