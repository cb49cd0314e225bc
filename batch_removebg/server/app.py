"""The predictions API as an aiohttp application, with keys checked and every refusal in JSON."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from batch_removebg.clock import Clock
from batch_removebg.engine.weights import Weights
from batch_removebg.net.fetch import Caps, open_session

from .files import FileHandlers
from .inputs import CAPS, Inputs
from .jobs import Jobs
from .models import ModelHandlers
from .predictions import OPEN_ROUTE, PredictionHandlers
from .protocol import REMOVE_BG, REMOVE_BG_VERSION, Refusal
from .uploads import Uploads

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_INPUTS: web.AppKey[Inputs] = web.AppKey("inputs", Inputs)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large requests may be, in bytes."""

    file: int = 100 << 20
    body: int = 101 << 20


def make_app(
    jobs: Jobs, *, model: Weights, clock: Clock, token: str | None = None, sizes: Sizes | None = None, caps: Caps = CAPS
) -> web.Application:
    """The API over a prediction store that the caller runs; `token` is asked of every request where there is one."""
    sizes = sizes or Sizes()
    # Scripts written for the hosted model run here unchanged: its version id leads to our network too.
    served = {REMOVE_BG_VERSION: REMOVE_BG, model.sha256: f"batch-removebg/{model.name}"}
    app = web.Application(middlewares=[_refusals, _keys(token)], client_max_size=sizes.body)
    uploads = Uploads(jobs.inputs, clock)

    async def inputs(app: web.Application) -> AsyncIterator[None]:
        async with open_session(public_only=caps.public_only) as session:
            app[_INPUTS] = Inputs(jobs.inputs, uploads, session, caps)
            yield

    app.cleanup_ctx.append(inputs)
    app.add_routes(PredictionHandlers(jobs, lambda: app[_INPUTS], served).routes())
    app.add_routes(FileHandlers(uploads, file_limit=sizes.file).routes())
    app.add_routes(ModelHandlers(jobs, model, served, clock).routes())
    return app


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as a problem document, aiohttp's own included."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
    except web.HTTPClientError as error:
        body = {"title": error.reason, "detail": error.text or error.reason, "status": error.status}
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return web.json_response(body, status=error.status, headers=kept)


def _keys(token: str | None) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token is not None and request.match_info.route.name != OPEN_ROUTE and not _fits(request, token):
            detail = "You did not pass a valid authentication token"
            raise Refusal(401, "Unauthenticated", detail, {"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return check


def _fits(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return same and scheme.lower() in ("bearer", "token")
