"""A predictions API where everything goes wrong by seeded dice, and that knows in the end what it has done.

What it does to one prediction alone (damage, states that flap) stays below what counts as proof that it is useless;
what is useless for good, by the server's own doing, is in `doomed`.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import anyio
from aiohttp import web
from PIL import Image

from tests.support.doubles import encoded
from tests.support.fake_api import FakeApi, Handler, Json, Made
from tests.support.faults import ASKED
from tests.support.wire import (
    after,
    bottomless,
    cut_short,
    empty,
    hang_up,
    not_gzip,
    page,
    picture,
    plain,
    reset,
    says,
    wrong_length,
)

BARS, WIDE, HIGH = 8, 8, 24
SHOP = "https://shop.example/sch%C3%B6n/{}.jpg?w=1&n=a%20b"


# Pictures that say whose they are: in their colour, and in a code of bars of their alpha


def colour(number: int) -> tuple[int, int, int]:
    return 24 + number % 8 * 30, 24 + number // 8 * 30, 120


def photo(number: int) -> bytes:
    return encoded(Image.new("RGB", ((BARS + 2) * WIDE, HIGH), colour(number)), "JPEG")


def cutout(number: int) -> bytes:
    alpha = Image.new("L", ((BARS + 2) * WIDE, HIGH), 0)
    for bar in (0, *(1 + bit for bit in range(BARS) if number >> bit & 1)):
        alpha.paste(255, (bar * WIDE, 0, (bar + 1) * WIDE, HIGH))
    made = Image.new("RGB", alpha.size, colour(number))
    made.putalpha(alpha)
    return encoded(made, "PNG")


def number_of(made: Image.Image) -> tuple[int, int]:
    """Whose picture this is by its colour, and by its alpha; -1 where that is nobody's."""
    red, green, _ = made.convert("RGB").getpixel((WIDE // 2, HIGH // 2))  # type: ignore[misc]
    by_colour = round((red - 24) / 30) + 8 * round((green - 24) / 30)
    if made.mode == "RGB":
        return by_colour, by_colour
    alpha = made.getchannel("A")
    bars = [alpha.getpixel((bar * WIDE + WIDE // 2, HIGH // 2)) for bar in range(BARS + 2)]
    code = sum((bars[1 + bit] == 255) << bit for bit in range(BARS))
    return by_colour, code if set(bars) <= {0, 255} and (bars[0], bars[-1]) == (255, 0) else -1


# What goes wrong


async def stall(request: web.Request) -> web.StreamResponse:
    """Break the connection after a while without an answer."""
    await anyio.sleep(2.0)
    return await reset(request)


BROKEN: list[Handler] = [reset, hang_up, cut_short(), wrong_length(), not_gzip(), page(502), page(504), stall]
GARBLED: list[Handler] = [empty(200), plain('{"id": "p1", "status":'), says(200, {"hello": "world"}), says(200, [1])]
REFUSED: list[Handler] = [
    says(429, {"detail": "slow down", "retry_after": 2}),
    says(429, {}, Retry_After="3"),
    says(200, {"code": 429, "msg": "Too many requests"}),
    says(200, {"error": {"code": 503, "message": "the server is busy, try again"}}),
    page(503),
    says(503, {"detail": "Service is temporarily unavailable"}),
]
STOPPED: list[Handler] = [says(200, {"code": 402, "msg": "quota exceeded"}), says(401, {"title": "Unauthenticated"})]
SPOILT: list[Handler] = [page(200), page(403), empty(404), empty(200), picture(cutout(0)[:-20]), bottomless]
INTERRUPTED = "Prediction interrupted; please retry (code: PA)"
FLAPS: list[Json] = [
    {"status": "failed", "output": None, "error": INTERRUPTED},
    {"status": "canceled", "output": None},
    {"status": "aborted", "output": None},
    {"status": "succeeded", "output": None},
]


@dataclass
class ChaosApi(FakeApi):
    """`async with` runs it; `calm` ends its moods, and leaves its habits."""

    dice: random.Random = field(default_factory=random.Random)
    share: float = 0.0
    """Of requests that something goes wrong with."""
    mixes: bool = True
    """Gives answers to those who did not ask: not where they could not know."""
    respelled: bool = False
    """Repeats input URLs in another spelling."""
    rewritten: bool = False
    """Lists other input URLs than were sent."""
    undated: bool = False
    """Leaves `created_at` out."""
    lag: float = 0.0
    """Seconds until a prediction is on the list."""
    apart: bool = False
    """Outputs are on another host."""
    calm: bool = False
    reasons: dict[int, str] = field(default_factory=dict)
    """Why pictures are refused for good, by number."""
    doomed: dict[str, str] = field(default_factory=dict)
    """Predictions that end badly, or never, and how."""
    whose: dict[str, int] = field(default_factory=dict)
    """The number of each prediction's picture."""
    given: int = 0
    wrong: int = 0
    """Answers, and those among them that are about another request."""
    down_until: float = 0.0
    outputs_down_until: float = 0.0
    _ends: dict[str, float] = field(default_factory=dict)
    _signs: Counter[str] = field(default_factory=Counter)
    """Of each prediction, how often it seemed useless."""
    _past: list[tuple[str, bytes]] = field(default_factory=list)
    """Answers about predictions, and their ids."""

    def __post_init__(self) -> None:
        self.respond("*", "*", self._moody)

    def number(self, image: str) -> int:
        """Whose input this is."""
        data = self.source(image)
        if data is not None:
            return number_of(Image.open(io.BytesIO(data)).convert("RGB"))[0]
        return int(re.findall(r"(\d+)\.jpg", image)[-1])

    # What it does well

    def _cutout(self, image: str) -> bytes | None:
        return None if self.number(image) in self.reasons else cutout(self.number(image))

    async def _create(self, request: web.Request) -> web.Response:
        given = (await request.json())["input"]["image"]
        number = self.number(given)
        if (reason := self.reasons.get(number, "")).startswith("Input"):
            return web.json_response({"detail": reason}, status=422)
        answer = await super()._create(request)
        made = self.bill[-1]
        self._ends[made.id] = self.now() + self.dice.choice((0, 1, 3, 8, 20))
        if not self.calm and number not in self.whose.values() and self.dice.random() < 0.05:
            self.doomed[made.id] = self.dice.choice(("interrupted", "stuck"))
        self.whose[made.id] = number
        return web.json_response(self._json(made), status=answer.status)

    def _cancel(self, name: str) -> web.Response:
        answer = super()._cancel(name)
        if (made := self.made(name)) is not None and made.canceled:
            self.doomed[name] = "canceled"
        return answer

    def _json(self, made: Made) -> Json:
        ended = self.now() >= self._ends.get(made.id, float("inf"))
        made.polls = 0 if ended and self.doomed.get(made.id) != "stuck" else 1
        found = super()._json(made)
        if made.status == "failed":
            found["error"] = self.reasons[self.whose[made.id]]
        elif made.status == "succeeded" and made.id in self.doomed:
            found |= FLAPS[0]
        if self.apart and found["output"]:
            found["output"] = f"{self.other}/out/{made.id}.png"
        if self.undated:
            del found["created_at"], found["started_at"], found["completed_at"]
        if self.respelled and "image" in found["input"]:
            found["input"] = {"image": respelled(found["input"]["image"])}
        return found

    def _list(self, request: web.Request) -> web.Response:
        shown = [made for made in self.bill if made.created <= self.now() - self.lag]
        every, self.bill = self.bill, shown
        try:
            answer = super()._list(request)
        finally:
            self.bill = every
        if self.rewritten:
            answer.text = re.sub(r'"image": "[^"]*"', '"image": "https://store.example/x"', answer.text or "")
        return answer

    async def _answer_elsewhere(self, request: web.Request) -> web.StreamResponse:
        return await (self._moody if request.path.startswith("/out/") else super()._answer_elsewhere)(request)

    # What it does badly

    async def _moody(self, request: web.Request) -> web.StreamResponse:
        self.given += 1
        parts = urlsplit(str(request.rel_url)).path.removeprefix(urlsplit(self.base).path).strip("/").split("/")
        if self.calm:
            return await self.normal(request)
        if parts[0] == "out":
            return await self._output(request, parts[1].removesuffix(".png"))
        if self.now() < self.down_until:
            return await self.dice.choice((page(503), reset, page(502)))(request)
        create, poll = request.method == "POST" and parts == ["predictions"], len(parts) == 2 and parts[0] != "files"
        if create or (poll and request.method == "GET"):
            return await self._about_one(request, None if create else parts[1])
        if self.dice.random() < self.share:
            return await self.dice.choice(BROKEN + REFUSED + (GARBLED if parts != ["predictions"] else []))(request)
        return await self.normal(request)

    async def _about_one(self, request: web.Request, known: str | None) -> web.StreamResponse:
        """Answer a create, or a question about one prediction."""
        if self.dice.random() >= self.share:
            return await self._noted(request)
        hows: list[Callable[[], Handler]] = [
            lambda: self.dice.choice(REFUSED),
            lambda: self.dice.choice(BROKEN + GARBLED),
            lambda: after(self._noted, self.dice.choice(BROKEN + GARBLED)),
            *([lambda: self._mixed] * 3 + [lambda: self._too_much] * 2 if self.mixes else []),
        ]
        if known is None:
            hows += [lambda: self.dice.choice(STOPPED)] * (self.dice.random() < 0.1)
        elif self._signs[known] < ASKED - 1:
            hows += [lambda: self._flapping] * 2
        return await self.dice.choice(hows)()(request)

    async def _output(self, request: web.Request, name: str) -> web.StreamResponse:
        if self.now() < self.outputs_down_until:
            return await self.dice.choice((page(503), reset))(request)
        if self.dice.random() >= self.share:
            return await self.normal(request)
        if self._signs[name] < ASKED - 1 and self.dice.random() < 0.6:
            self._signs[name] += 1
            return await self.dice.choice(SPOILT)(request)
        if self.dice.random() < 0.3:
            await anyio.sleep(0.1 * self.dice.random())
            return await self.normal(request)
        return await self.dice.choice((reset, hang_up, page(503), page(502), stall, says(429, {})))(request)

    async def _noted(self, request: web.Request) -> web.Response:
        """The normal answer, which others may get too."""
        answer = await self.normal(request)
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        self._past.append((json.loads(answer.body).get("id", ""), answer.body))
        return answer

    def _anothers(self, mine: tuple[str, bytes]) -> bytes:
        """One of the latest answers, but none about an earlier prediction of the same picture: nobody could tell."""
        whose = self.whose.get(mine[0])
        others = [body for name, body in self._past[-10:] if self.whose.get(name) != whose]
        return self.dice.choice(others or [mine[1]])

    async def _flapping(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self._signs[name] += 1
        answer = await self.normal(request)
        if not isinstance(answer, web.Response) or self.dice.random() < 0.2:
            return await empty(404)(request)
        return web.json_response(json.loads(answer.text or "{}") | self.dice.choice(FLAPS), status=answer.status)

    async def _mixed(self, request: web.Request) -> web.StreamResponse:
        """An answer for whoever asks: the latest to another, or one from the past."""
        answer = await self._noted(request)
        mine = self._past[-1]
        await anyio.sleep(0.05 * self.dice.random())  # meanwhile others come
        given = self._anothers(mine)
        self.wrong += given != answer.body
        return web.Response(body=given, status=answer.status, content_type="application/json")

    async def _too_much(self, request: web.Request) -> web.StreamResponse:
        """The answer, and soon after it one that nobody asked for, which the next one gets who uses the connection."""
        answer = await self._noted(request)
        body = self._anothers(self._past[-1])
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        transport, delay = request.transport, self.dice.choice((0.0, 0.002, 0.01, 0.05))
        assert transport is not None
        await answer.prepare(request)
        await answer.write_eof()
        self.wrong += 1
        request.task.get_loop().call_later(delay, transport.write, head + body)
        return answer


def respelled(url: str) -> str:
    """The same URL as other programs write it."""
    decoded, dot, rest = unquote(url).rpartition(".")
    return f"{decoded.replace(' ', '%20')}%2E{rest.replace(' ', '+')}" if dot else url
