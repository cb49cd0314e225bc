"""A server that swaps, replays and delays its answers: no picture ever gets another item's name."""

from __future__ import annotations

import hashlib
import io
import json
import random
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from PIL import Image

from tests.integration.test_rough_servers import Rough
from tests.support.fake_api import FakeApi, Handler
from tests.support.long_report import LONG, note

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

ITEMS = 150
ANSWERS = 100_000 if LONG else 1_500


def colour(url: str) -> tuple[int, ...]:
    return tuple(hashlib.sha256(url.encode()).digest()[:3])


def own_picture(api: FakeApi) -> Handler:
    """A cutout whose colour says which URL it was made from."""

    async def answer(request: web.Request) -> web.Response:
        made = api.made(request.path.rpartition("/")[2].removesuffix(".png"))
        assert made is not None
        drawn, buffer = Image.new("RGBA", (40, 30), (*colour(made.input["image"]), 255)), io.BytesIO()
        drawn.paste((0, 0, 0, 0), (0, 0, 10, 30))
        drawn.save(buffer, "PNG")
        return web.Response(body=buffer.getvalue(), content_type="image/png")

    return answer


class Mixer:
    """Gives an answer to whoever asks next, plays earlier ones back, or keeps them for a while."""

    def __init__(self, api: FakeApi, seed: int) -> None:
        self.api = api
        self.dice = random.Random(seed)
        self.given = self.wrong = 0
        self.past: list[bytes] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        normal = await self.api.normal(request)
        assert isinstance(normal, web.Response)
        assert isinstance(normal.body, bytes)
        mine, chance = normal.body, self.dice.random()
        self.past.append(mine)
        if chance < 0.1:
            await anyio.sleep(0.002 * self.dice.random())  # meanwhile others come
        given = self.dice.choice(self.past[-50:]) if chance < 0.2 else mine
        self.given += 1
        self.wrong += given is not mine
        return web.Response(body=given, status=normal.status, content_type="application/json")


@pytest.mark.timeout(1800 if LONG else 60)
async def test_no_picture_is_saved_under_another_items_name(tmp_path: Path) -> None:
    answers = wrong = mixed = 0
    seed = 0
    while answers < ANSWERS:
        mixers: list[Mixer] = []

        def strike(api: FakeApi, mixers: list[Mixer] = mixers, seed: int = seed) -> None:
            mixers.append(Mixer(api, seed))
            api.respond("POST", "/predictions", mixers[0].answer)
            api.respond("GET", "/predictions/*", mixers[0].answer)
            api.respond("GET", "/out/*", own_picture(api))

        rough = Rough(tmp_path / str(seed), strike)
        async with rough.server():
            summary = await rough.run(ITEMS)
            while (
                summary.failed or summary.pending
            ):  # whoever gets another's answer six times in a row; what is paid for is taken up
                summary = await rough.run(ITEMS, retry_failed=True)
        saved = [item for item in json.loads(summary.results.read_text())["items"] if item["status"] == "saved"]
        for item in saved:
            with Image.open(rough.folder / "out" / item["output"]) as made:
                mixed += made.getpixel((20, 15)) != (*colour(item["source"]), 255)
        assert len(saved) == ITEMS, summary.failures
        assert len(rough.api.bill) <= ITEMS + summary.possible_duplicates
        answers, wrong, seed = answers + mixers[0].given, wrong + mixers[0].wrong, seed + 1
    note("whose answer", answers=answers, mixed=mixed)
    assert wrong > answers / 20
    assert mixed == 0
