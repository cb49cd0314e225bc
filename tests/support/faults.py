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

import anyio
from aiohttp import web
from PIL import Image

from tests.support.fake_api import (
    FakeApi,
    Handler,
    Shape,
    output_inline,
)
from tests.support.odd_answers import (
    BROKEN,
    ENVELOPES,
    GARBLED,
    INLINE,
    MAYBE_ACCEPTED,
    NO_URLS,
    OUTPUTS,
    PATIENCE,
    PERMANENT,
    REJECTED,
    SHAPED,
    SHAPES,
    STATUSES,
    STOPS,
    TRANSIENT,
    URLS,
)
from tests.support.wire import (  # fmt: skip
    after,
    billed,
    canceled_by_someone,
    changed,
    dripping,
    empty,
    endless,
    hang,
    hour_over,
    never_ending,
    page,
    redirect,
    reset,
    says,
    shaped,
    wrong_length,
)

VICTIM = 40
"""Width in pixels of the photo that is struck; the others are wider."""
ITEMS = 3
ASKED, FETCHED = 5, 6
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
PLACES = {"create": CREATE, "poll": POLL, "upload": UPLOAD, "output": OUTPUT}


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
    listed: Shape | None = None
    """What becomes of a prediction on the list."""
    page: int = 100
    """Predictions on a page of the list."""

    def strike(self, api: FakeApi) -> None:
        """Let the server misbehave from now on: towards the victim, where a request says whose it is."""
        handler, left = self.how(api), itertools.count(1)
        if self.listed is not None:
            api.listed = self.listed

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


def gone_and_interrupted(api: FakeApi) -> Handler:
    """An output that is missing once, of a prediction that then says once that it was interrupted."""

    async def answer(request: web.Request) -> web.StreamResponse:
        api.respond(*POLL, changed(status="failed", output=None, error=TRANSIENT["PA"])(api), times=1)
        return await empty(404)(request)

    return answer


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
    yield "404-at-output", Fault(at=OUTPUT, how=_always(empty(404)), times=FETCHED - 1)
    yield "404-at-output-for-good", Fault(at=OUTPUT, how=_always(empty(404)), times=FETCHED, extra=1)


def _doubted(name: str, how: How) -> Iterator[tuple[str, Fault]]:
    """Signs that a prediction is useless: not believed until they were seen several times over a while."""
    yield name, Fault(at=POLL, how=how, times=ASKED - 1)
    yield f"{name}-for-good", Fault(at=POLL, how=how, times=ASKED, extra=1)


def _outputs() -> Iterator[tuple[str, Fault]]:
    """Outputs that are no cutouts of what was sent."""
    for name, handler in OUTPUTS.items():
        # A whole picture without alpha isn't damaged: twice is enough.
        yield f"output-{name}", Fault(at=OUTPUT, how=_always(handler), times=1 if name == "without-alpha" else 2)
        yield f"output-{name}-always", Fault(at=OUTPUT, how=_always(handler), times=inf, extra=2, failed="output")
    for name, url in NO_URLS.items():
        how = changed(status="succeeded", output=url)
        yield f"output-at-{name}", Fault(at=POLL, how=how, times=inf, extra=2, failed="output")
    yield "output-404-then-interrupted", Fault(at=OUTPUT, how=gone_and_interrupted, times=1)
    yield "output-wrong-length", Fault(at=OUTPUT, how=_always(wrong_length()), times=2)
    endless_picture = Fault(at=OUTPUT, how=_always(endless(200)), settings={"max_size": 1})
    yield "output-endless", endless_picture
    elsewhere: How = lambda api: redirect(f"{api.other}/out/x.png")  # noqa: E731  # one of many functions in a table
    yield "output-redirected", Fault(at=OUTPUT, how=elsewhere, times=inf)
    yield "output-redirected-for-ever", Fault(at=OUTPUT, how=_always(redirect("/out/x.png")), times=FETCHED, extra=1)


def _lenient() -> Iterator[tuple[str, Fault]]:
    """What is paid for is read however it is written, and fetched again before it is given up."""
    for name, url in URLS.items():
        yield f"output-{name}", Fault(at=POLL, how=partial(_rewritten, url=url), times=inf)
    for name, uri in INLINE.items():
        yield f"output-data-{name}", Fault(at=POLL, how=partial(_rewritten, url=uri, inline=True), times=inf)
    for name, shape in SHAPED.items():
        yield f"create-{name}", Fault(at=CREATE, how=partial(shaped, shape=shape), times=inf)
        yield f"poll-{name}", Fault(at=POLL, how=partial(shaped, shape=shape), times=inf)
    yield "create-behind-a-prefix", Fault(at=CREATE, how=_prefixed)
    for status in (403, 404, 400, 416, 202):
        yield f"output-{status}-once", Fault(at=OUTPUT, how=_always(empty(status)))


def _rewritten(api: FakeApi, url: Callable[[str], Any], *, inline: bool = False) -> Handler:
    put = output_inline(api) if inline else lambda made: made
    return shaped(api, lambda made: made | {"output": made["output"] and url(put(made)["output"])})


def _prefixed(api: FakeApi) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        normal = await api.normal(request)
        assert isinstance(normal, web.Response)
        return web.Response(text=f")]}}',\n{normal.text}", status=normal.status, content_type="application/json")

    return answer


def _anothers() -> Iterator[tuple[str, Fault]]:
    """Answers to other requests: the create is looked for, the query asked again."""
    yield "answer-to-another-create", Fault(at=CREATE, how=_replayed)
    yield "answer-to-another-query", Fault(at=POLL, how=changed(id="another"), times=2)
    lost: How = lambda api: after(api.normal, reset)  # noqa: E731  # as short as its neighbours
    yield "lost-create-on-a-list-that-encodes-urls", Fault(at=CREATE, how=lost, listed=_percent_encoded)


def _replayed(api: FakeApi) -> Handler:
    """The answer to another item's create, once there is one."""

    async def answer(request: web.Request) -> web.StreamResponse:
        mine = (await request.json())["input"]["image"]
        await api.normal(request)
        while len(api.bill) < ITEMS:  # noqa: ASYNC110  # the bill is a list, and rings no bell
            await anyio.sleep(0.001)
        other = next(made for made in api.bill if made.input["image"] != mine)
        return web.json_response(api.shown(other), status=201)

    return answer


def _percent_encoded(made: dict[str, Any]) -> dict[str, Any]:
    return made | {"input": {name: value.replace("f", "%66") for name, value in made["input"].items()}}


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
    for kind, body in ENVELOPES.items():
        late = partial(billed, number=ITEMS - 1, handler=says(200, body))
        yield f"{kind}-inside-a-200-at-create", Fault(at=CREATE, how=late, times=inf, stopped=kind, extra=-1, again=1)
    busy, bad = says(200, {"code": 429, "msg": "Too Many Requests"}), says(200, {"code": 400, "msg": "not reachable"})
    yield "429-inside-a-200-at-create", Fault(at=CREATE, how=_always(busy), times=3)
    yield "400-inside-a-200-at-create", Fault(at=CREATE, how=_always(bad), failed="rejected", extra=-1, again=1)
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


FAULTS: dict[str, Fault] = dict(
    itertools.chain(_wire(), _lost(), _predictions(), _outputs(), _lenient(), _anothers(), _ends(), _outages())
)
