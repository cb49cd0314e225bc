"""FAULTS: what goes wrong, where it strikes, what becomes of the item that it strikes, and what it may cost.

`tests/integration/test_faults.py` runs the real pipeline through every one, against a server that keeps the bill.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from math import inf
from typing import Any, Literal

from aiohttp import web
from PIL import Image

from tests.support.doubles import cutout, encoded
from tests.support.fake_api import (
    FakeApi,
    Handler,
    Shape,
    output_in_dict,
    output_in_list,
    output_inline,
    output_while_processing,
    wrapped,
)
from tests.support.wire import (  # fmt: skip
    after,
    billed,
    bottomless,
    canceled_by_someone,
    changed,
    cut_short,
    dripping,
    empty,
    endless,
    hang,
    hang_up,
    hour_over,
    never_ending,
    not_gzip,
    page,
    picture,
    plain,
    redirect,
    reset,
    says,
    shaped,
    wrong_length,
)

VICTIM = 40
"""Width in pixels of the photo that is struck; the others are wider."""
ITEMS = 3
ASKED = 4
"""Times that a prediction is asked for, and an output fetched, before it counts as useless."""

Where = tuple[str, str]
How = Callable[[FakeApi], Handler]

CREATE: Where = ("POST", "/predictions")
POLL: Where = ("GET", "/predictions/*")
LIST: Where = ("GET", "/predictions")
UPLOAD: Where = ("POST", "/files")
OUTPUT: Where = ("GET", "/out/*")
ALL: Where = ("*", "*")
CREATE_OF_ANY: Where = ("POST", "/prediction[s]")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault and what may come of it, in a run over ITEMS photos."""

    at: Where
    how: How
    times: float = 1
    """Requests that meet it."""
    provider: Literal["replicate", "gateway"] = "replicate"
    settings: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 60.0
    """Real seconds of silence that are waited for."""
    failed: str = ""
    """The kind of failure that the struck item ends with; empty: it is saved."""
    stopped: str = ""
    """The kind of error that ends the run with exit code 4; empty: it goes on."""
    extra: int = 0
    """Predictions on the bill beyond one an item."""
    again: int = 0
    """Predictions that the next run buys, when all is well again."""
    duplicates: int = 0
    """`possible_duplicates` in the end."""
    waits: tuple[float, float] | None = None
    """Least and most seconds of the longest wait."""
    page: int = 100
    """Predictions on a page of the list."""

    def strike(self, api: FakeApi) -> None:
        """Let the server misbehave from now on: towards the victim, where a request says whose it is."""
        handler, left = self.how(api), itertools.count(1)

        async def answer(request: web.Request) -> web.StreamResponse:
            hit = await _about_victim(api, request) and next(left) <= self.times
            return await (handler if hit else api.normal)(request)

        if self.at in (CREATE, POLL, OUTPUT):
            api.respond(*self.at, answer)
        else:
            api.respond(*self.at, handler, times=self.times)


async def _about_victim(api: FakeApi, request: web.Request) -> bool:
    if request.method == "POST":
        image = (await request.json())["input"]["image"]
    else:
        made = api.made(request.path.rpartition("/")[2].removesuffix(".png"))
        if made is None:
            return False
        image = made.input["image"]
    data = api.source(image)
    return data is not None and Image.open(BytesIO(data)).width == VICTIM


def _always(handler: Handler) -> How:
    return lambda api: handler


def _accepted(handler: Handler) -> How:
    """Accepted and billed, and the answer lost."""
    return lambda api: after(api.normal, handler)


THROTTLED = "Request was throttled. Your rate limit resets in ~7s."
PATIENCE = {
    "body": (says(429, {"detail": "slow down", "retry_after": 7}), (7, 8.1)),
    "header-seconds": (says(429, {}, Retry_After="7"), (7, 8.1)),
    # FakeClock starts at 08:00:00 on that day.
    "header-date": (says(429, {}, Retry_After="Fri, 15 Jan 2027 08:00:30 GMT"), (20, 31.1)),
    "text": (says(429, {"detail": THROTTLED}), (7, 8.1)),
    "nothing": (empty(429), (4, 6)),
    "absurd-body": (says(429, {"retry_after": 1e9}), (120, 121.1)),
    "absurd-header": (says(429, {}, Retry_After="99999999999"), (120, 121.1)),
    "absurd-date": (says(429, {}, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), (120, 121.1)),
    "past-date": (says(429, {}, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"), (0, 6)),
    "negative": (says(429, {"retry_after": -5}), (0, 6)),
}  # fmt: skip
PLACES = {"create": CREATE, "poll": POLL, "upload": UPLOAD, "output": OUTPUT}
STATUSES = (408, 500, 502, 503, 504, 520, 521, 522, 524)
MAYBE_ACCEPTED = (500, 502, 504, 520, 524)
BROKEN = {
    "reset": reset,
    "hang-up": hang_up,
    "cut-short": cut_short(),
    "not-gzip": not_gzip(),
}
GARBLED = {
    "wrong-length": wrong_length(),
    "empty-200": empty(200),
    "invalid-json": plain('{"id": "p1", "status":'),
    "other-shape": says(200, {"hello": "world"}),
    "a-list": says(200, [1, 2, 3]),
    "a-number": says(200, 7),
    "null": plain("null"),
    "bottomless": bottomless,
}
TRANSIENT = {
    "PA": "Prediction interrupted; please retry (code: PA)",
    "E9828": "Director: unexpected error handling prediction (E9828)",
    "E6716": "Director: unexpected error handling prediction (E6716)",
    "E9243": "E9243",
    "E8765": "the run broke (E8765)",
    "unavailable": "Service is temporarily unavailable, please try again later",
}  # fmt: skip
PERMANENT = {
    "not-an-image": "cannot identify image file <_io.BytesIO object at 0x7f>",
    "out-of-memory": "CUDA out of memory (E1001)",
}
SHAPES: dict[str, Shape] = {
    "list": output_in_list,
    "dict": output_in_dict,
    "while-processing": output_while_processing,
    "wrapped": wrapped,
}
OUTPUTS = {
    "of-wrong-shape": picture(cutout(30, 40)),
    "without-alpha": picture(encoded(Image.new("RGB", (40, 30)), "PNG")),
    "not-a-picture": plain("busy", "text/plain"),
    "html": page(200),
    "empty": empty(200),
    "cut-off": picture(cutout()[:-20]),
    "forbidden": page(403),
}
STOPS = {
    "401": (says(401, {"title": "Unauthenticated"}), "key"),
    "402": (says(402, {"detail": "Insufficient credit"}), "credit"),
    "403": (says(403, {"detail": "Forbidden"}), "key"),
    "403-quota": (says(403, {"error": {"message": "no", "code": "insufficient_user_quota"}}), "credit"),
    "422-version": (says(422, {"detail": "Invalid version or not permitted"}), "version"),
    "404": (says(404, {"detail": "not found"}), "base-url"),
    "html-200": (page(200), "base-url"),
    "html-404": (page(404), "base-url"),
    "redirect": (redirect("/elsewhere", 301), "base-url"),
}
REJECTED = {
    "422-input": says(422, {"detail": "Input validation failed", "invalid_fields": []}),
    "400": says(400, {"detail": "bad request"}),
    "413-html": page(413),
    "500-invalid-request": says(500, {"error": {"message": "no", "code": "invalid_request"}}),
}


def _wire() -> Iterator[tuple[str, Fault]]:
    """Trouble on the way: the same request again, where that does no harm; else the create is looked for."""
    for name, (handler, waits) in PATIENCE.items():
        yield f"429-{name}-at-create", Fault(at=CREATE, how=_always(handler), waits=waits)
    for place, at in PLACES.items():
        yield f"429-at-{place}", Fault(at=at, how=_always(PATIENCE["body"][0]), times=3)
        for status in STATUSES:
            yield f"{status}-html-at-{place}", Fault(at=at, how=_always(page(status)), times=2)
        for name, handler in BROKEN.items():
            yield f"{name}-at-{place}", Fault(at=at, how=_always(handler), times=2)
        slow = Fault(at=at, how=_always(hang), patience=0.03 if at == OUTPUT else 0.1)
        yield f"slow-headers-at-{place}", slow
        yield f"slow-loris-at-{place}", Fault(at=at, how=_always(dripping()), patience=0.03)
    for place, at in list(PLACES.items())[:3]:
        for name, handler in GARBLED.items():
            yield f"{name}-at-{place}", Fault(at=at, how=_always(handler), times=2)


def _lost() -> Iterator[tuple[str, Fault]]:
    """Creates that are accepted, billed, and never answered."""
    lost = {**BROKEN, **GARBLED, **{f"{status}-html": page(status) for status in MAYBE_ACCEPTED}}
    for name, handler in lost.items():
        yield f"{name}-at-accepted-create", Fault(at=CREATE, how=_accepted(handler))
    yield "slow-headers-at-accepted-create", Fault(at=CREATE, how=_accepted(hang), patience=0.1)
    paged = lambda api: after(api.normal, billed(api, ITEMS, reset))  # noqa: E731  # as short as its neighbours
    yield "lost-create-on-a-later-page", Fault(at=CREATE, how=paged, page=1)
    gateway = partial(Fault, at=CREATE, provider="gateway")
    yield "gateway-lost-create", gateway(how=_accepted(reset), extra=1, duplicates=1)
    yield "gateway-refused-create", gateway(how=_always(reset), duplicates=1)
    failing = {"on_lost": "fail"}
    yield "gateway-told-to-fail", gateway(how=_accepted(reset), settings=failing, failed="lost-create", again=1)
    twice = gateway(how=_accepted(reset), times=2, failed="lost-create", again=1, extra=1, duplicates=1)
    yield "gateway-lost-create-twice", twice


def _predictions() -> Iterator[tuple[str, Fault]]:
    """Predictions that were accepted, and come to nothing, or to something odd."""
    unknown = says(404, {"detail": "The requested resource could not be found."})
    yield from _doubted("404-at-poll", _always(unknown))
    yield from _doubted("410-at-poll", _always(says(410, {})))
    stuck = {"deadline": 10.0}
    yield "stuck-processing", Fault(at=CREATE, how=never_ending, settings=stuck, extra=1)
    yield "stuck-processing-at-gateway", Fault(at=CREATE, how=never_ending, settings=stuck, extra=1, provider="gateway")
    for word in ("starting", "thinking"):
        held = changed(status=word, output=None)
        yield (
            f"stuck-{word}-always",
            Fault(at=POLL, how=held, times=inf, settings=stuck, extra=2, failed="prediction-stuck"),
        )
    for word in ("aborted", "canceled"):
        ended = changed(status=word, output=None)
        yield from _doubted(word, ended)
        yield f"{word}-always", Fault(at=POLL, how=ended, times=inf, extra=2, failed="prediction-interrupted")
    yield "canceled-from-outside", Fault(at=POLL, how=canceled_by_someone, extra=1)
    yield from _doubted("succeeded-with-null", changed(status="succeeded", output=None))
    for name, said in TRANSIENT.items():
        yield from _doubted(f"failed-{name}", changed(status="failed", error=said))
    for name, said in PERMANENT.items():
        yield f"failed-{name}", Fault(at=POLL, how=changed(status="failed", error=said), failed="prediction", again=1)
    for name, shape in SHAPES.items():
        yield f"output-{name}", Fault(at=POLL, how=partial(shaped, shape=shape), times=inf)
    yield "output-data-uri", Fault(at=POLL, how=lambda api: shaped(api, output_inline(api)), times=inf)
    yield "hour-over-at-poll", Fault(at=POLL, how=hour_over, extra=1)
    yield "404-at-output", Fault(at=OUTPUT, how=_always(empty(404)), times=ASKED - 1)
    yield "404-at-output-for-good", Fault(at=OUTPUT, how=_always(empty(404)), times=ASKED, extra=1)


def _doubted(name: str, how: How) -> Iterator[tuple[str, Fault]]:
    """Signs that a prediction is useless: not believed until they were seen several times over a while."""
    yield name, Fault(at=POLL, how=how, times=ASKED - 1)
    yield f"{name}-for-good", Fault(at=POLL, how=how, times=ASKED, extra=1)


def _outputs() -> Iterator[tuple[str, Fault]]:
    """Outputs that are no cutouts of what was sent."""
    for name, handler in OUTPUTS.items():
        yield f"output-{name}", Fault(at=OUTPUT, how=_always(handler), times=2)
        yield f"output-{name}-always", Fault(at=OUTPUT, how=_always(handler), times=inf, extra=2, failed="output")
    yield "output-wrong-length", Fault(at=OUTPUT, how=_always(wrong_length()), times=2)
    endless_picture = Fault(at=OUTPUT, how=_always(endless(200)), settings={"max_size": 1})
    yield "output-endless", endless_picture
    elsewhere: How = lambda api: redirect(f"{api.other}/out/x.png")  # noqa: E731  # one of many functions in a table
    yield "output-redirected", Fault(at=OUTPUT, how=elsewhere, times=inf)
    yield "output-redirected-for-ever", Fault(at=OUTPUT, how=_always(redirect("/out/x.png")), times=ASKED, extra=1)


def _ends() -> Iterator[tuple[str, Fault]]:
    """What no further item would fare better with: the run stops buying, and brings home what is paid for."""
    for name, (handler, kind) in STOPS.items():
        if name != "404":
            # The others are in flight when the refusal comes.
            late = partial(billed, number=ITEMS - 1, handler=handler)
            yield f"{name}-at-create", Fault(at=CREATE, how=late, times=inf, stopped=kind, extra=-1, again=1)
        yield (
            f"{name}-at-upload",
            Fault(at=UPLOAD, how=_always(handler), times=inf, stopped=kind, extra=-ITEMS, again=ITEMS),
        )
        if name not in ("404", "422-version"):
            waited = partial(billed, number=ITEMS, handler=handler)
            yield f"{name}-at-poll", Fault(at=POLL, how=waited, times=inf, stopped=kind)
    for name, refused in REJECTED.items():
        yield f"{name}-at-create", Fault(at=CREATE, how=_always(refused), failed="rejected", extra=-1, again=1)


def _outages() -> Iterator[tuple[str, Fault]]:
    """A server that is down for a while: the run pauses, and no item pays for it."""
    for name, handler in {"503": page(503), "500": page(500), **BROKEN}.items():
        yield f"down-for-20-calls-{name}", Fault(at=ALL, how=_always(handler), times=20)
        yield f"create-down-for-20-calls-{name}", Fault(at=CREATE_OF_ANY, how=_always(handler), times=20)
    gone = partial(Fault, at=ALL, times=inf, stopped="server-down", extra=-ITEMS, again=ITEMS)
    yield "down-for-good-503", gone(how=_always(page(503)))
    yield "down-for-good-reset", gone(how=_always(reset))


FAULTS: dict[str, Fault] = dict(itertools.chain(_wire(), _lost(), _predictions(), _outputs(), _ends(), _outages()))
