"""The review page over HTTP: routes, and what is refused.

Programs and pages of this machine alone are answered, and those with the session's cookie alone get to see anything:
it comes with the token in the URL that was printed. What changes something needs a second token, which no other page
can read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from batch_removebg.errors import BatchError, Busy
from batch_removebg.ledger import codec
from batch_removebg.server.app import check_origin
from batch_removebg.server.guests import Handler
from batch_removebg.server.protocol import Refusal

from . import protocol
from .desk import Desk
from .pictures import SIZES
from .protocol import MOST_ROWS, Decide, TouchUp, Undo, refused

PAGE = Path(__file__).with_name("page")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_BODY, _STROKES = 1 << 20, 4 << 20  # bytes of a request's body; of one with strokes
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FOREVER, _A_WHILE = "private, max-age=31536000, immutable", "private, max-age=600"
_OPEN = ("/", "/page/")  # what is answered without a cookie
T = TypeVar("T")


@dataclass(slots=True)
class Access:
    """What lets a browser in."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)  # in the URL
    lasting: bool = False  # the key is the user's own, and may be used again
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)  # in the cookie
    change: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)  # in the header of changes

    def admits(self, key: str) -> bool:
        """Whether the key is right; unless it lasts, it was that for the last time."""
        right = bool(self.key) and _same(key, self.key)
        self.key = self.key if self.lasting or not right else ""
        return right


DESK = web.AppKey("desk", Desk)
ACCESS = web.AppKey("access", Access)
routes = web.RouteTableDef()


def make_app(desk: Desk, access: Access) -> web.Application:
    """The page over what is on the desk."""
    app = web.Application(middlewares=[_refusals, _checks], client_max_size=_STROKES)
    app[DESK], app[ACCESS] = desk, access
    app.add_routes(routes)
    app.on_response_prepare.append(_with_headers)
    return app


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal as JSON with a sentence for people."""
    try:
        return await handler(request)
    except Refusal as error:
        return _json({"error": str(error)}, error.status)
    except Busy as busy:
        return _json({"error": str(busy)}, 503, {"Retry-After": "1"})
    except BatchError as error:
        return _json({"error": str(error)}, 503)
    except web.HTTPClientError as error:
        return _json({"error": error.reason}, error.status)


@web.middleware
async def _checks(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse strangers, other sites' pages, and bodies that are too large, before anything is read."""
    headers, access = request.headers, request.app[ACCESS]
    check_origin(headers, keyless=not access.lasting)
    own, is_page = request.path == "/", request.path.startswith(_OPEN[1])
    if headers.get("Sec-Fetch-Site", "none").lower() not in ("none", "same-origin") and not (
        own and not access.lasting
    ):
        raise refused("pages of other sites are not answered", 403)
    if headers.get("Content-Encoding", "identity") != "identity":
        raise refused("send the body without a Content-Encoding", 415)
    if not _is_known(request) and (access.lasting or not (own or is_page)) and not (own and "token" in request.query):
        raise refused("open the address with its token that `batch-removebg review` has printed", 401)
    if request.method not in ("GET", "HEAD"):
        _require_change(request, access)
    return await handler(request)


def _require_change(request: web.Request, access: Access) -> None:
    headers = request.headers
    if headers.get("Origin", f"://{request.host}").partition("://")[2] != request.host:
        raise refused("pages of other sites can't change anything", 403)
    if not _same(headers.get("X-Review-Token", ""), access.change):
        raise refused("this page is of another session; load it again", 403)
    if request.content_type != "application/json":
        raise refused("the body is to be application/json", 415)


@routes.get("/")
async def _index(request: web.Request) -> web.StreamResponse:
    if (given := request.query.get("token")) is None:
        return _file(request, "index.html")
    answer = web.Response(status=303, headers={"Location": "/"})
    if not request.app[ACCESS].admits(given):
        return answer if _is_known(request) else _file(request, "refused.html", 403)
    session = request.app[ACCESS].session
    answer.set_cookie(_cookie(request), session, httponly=True, samesite="Strict", path="/")
    return answer


@routes.get("/page/{name:.+}")
async def _page(request: web.Request) -> web.StreamResponse:
    return _file(request, request.match_info["name"])


def _file(request: web.Request, name: str, status: int = 200) -> web.StreamResponse:
    """A file of the page, by its name in the package."""
    files = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.suffix in _TYPES}
    if name not in files:
        raise refused("the page has no such file", 404)
    data = files[name].read_bytes()
    etag = hashlib.sha256(data).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"'}
    if any(each.value == etag for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    form = _TYPES[files[name].suffix]
    return web.Response(body=data, status=status, content_type=form, charset="utf-8", headers=headers)


@routes.get("/api/about")
async def _about(request: web.Request) -> web.StreamResponse:
    return _json({"token": request.app[ACCESS].change, **await request.app[DESK].about()})


@routes.get("/api/changes")
async def _changes(request: web.Request) -> web.StreamResponse:
    return _json(await request.app[DESK].changes(_number(request, "since", 0)))


@routes.get("/api/view")
async def _view(request: web.Request) -> web.StreamResponse:
    found = await request.app[DESK].view(protocol.query(request.query.items()))
    return _json(found, 202 if "wait" in found else 200)


@routes.get("/api/view/{view}/items")
async def _items(request: web.Request) -> web.StreamResponse:
    first, count = _number(request, "from", 0), _number(request, "count", MOST_ROWS)
    return _json(await request.app[DESK].rows(request.match_info["view"], first, min(count, MOST_ROWS)))


@routes.get("/api/view/{view}/next")
async def _next(request: web.Request) -> web.StreamResponse:
    what, back = request.query.get("what", "undecided"), request.query.get("back") == "1"
    if what not in ("undecided", "flagged", "failed"):
        raise refused("what is undecided, flagged or failed")
    after = _number(request, "after", -1)
    return _json(await request.app[DESK].next(request.match_info["view"], after, what, back=back))


@routes.get(r"/api/item/{n:\d{1,15}}")
async def _item(request: web.Request) -> web.StreamResponse:
    return _json(await request.app[DESK].item(int(request.match_info["n"])))


@routes.get(r"/thumb/{n:\d{1,15}}/{kind:cutout|source}/{sha:[0-9a-f]{1,64}}")
async def _thumb(request: web.Request) -> web.StreamResponse:
    desk, size = request.app[DESK], _number(request, "size", SIZES[0])
    if size not in SIZES:
        raise refused(f"size is one of {SIZES}")
    n, kind, sha = (request.match_info[name] for name in ("n", "kind", "sha"))
    _, _, state = await desk.find(int(n))
    headers = {"Cache-Control": _A_WHILE if sha == "0" else _FOREVER}
    return web.Response(body=await desk.pictures.thumb(state, kind, size), content_type="image/webp", headers=headers)


@routes.get(r"/picture/{n:\d{1,15}}/{kind:source|cutout|alpha|bare}")
async def _picture(request: web.Request) -> web.StreamResponse:
    desk, kind, version = request.app[DESK], request.match_info["kind"], request.query.get("version", "")
    size, output = _number(request, "size", 0) or None, _number(request, "output", 0)
    _, _, state = await desk.find(int(request.match_info["n"]))
    data, form, (width, height) = await desk.pictures.picture(state, kind, size, output, version)
    changing = kind in ("alpha", "bare") and desk.items.edit(state) is not None
    headers = {"X-Full-Size": f"{width}x{height}", "Cache-Control": "no-store" if changing else _A_WHILE}
    return web.Response(body=data, content_type=form, headers=headers)


@routes.post("/api/decisions")
async def _decide(request: web.Request) -> web.StreamResponse:
    return _json(await request.app[DESK].decide(await _body(request, Decide)))


@routes.post("/api/undo")
async def _undo(request: web.Request) -> web.StreamResponse:
    return _json(await request.app[DESK].undo((await _body(request, Undo)).undo))


@routes.post(r"/api/item/{n:\d{1,15}}/touch-up")
async def _touch_up(request: web.Request) -> web.StreamResponse:
    asked = await _body(request, TouchUp, _STROKES)
    return _json(await request.app[DESK].touch_up(int(request.match_info["n"]), asked))


async def _body(request: web.Request, kind: type[T], limit: int = _BODY) -> T:
    """The body as a value; raises Refusal for what is none, and aiohttp's 413."""
    if (request.content_length or 0) > limit or len(data := await request.read()) > limit:
        raise refused(f"a body has {limit >> 20} MiB at most", 413)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refused(f"the body can't be read: {error}") from error


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch(r"-1|\d{1,15}", text, re.ASCII):
        raise refused(f"{name} is a number")
    return int(text)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=codec.encode(value), status=status, content_type="application/json", headers=headers)


def _is_known(request: web.Request) -> bool:
    """Whether it comes from a browser that was let in."""
    return _same(request.cookies.get(_cookie(request), ""), request.app[ACCESS].session)


def _cookie(request: web.Request) -> str:
    """The cookie's name: cookies are shared by all ports of a host."""
    assert request.transport is not None  # noqa: S101  # it is there as long as it is answered
    return f"review-{request.transport.get_extra_info('sockname')[1]}"


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known.encode())
