"""Servers that lose answers and damage downloads all the time: nothing is bought twice, and little time is lost."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from batch_removebg.errors import OutputBroken, ServerError
from batch_removebg.events import Event, Kind
from batch_removebg.pipeline.download import RefetchPolicy
from batch_removebg.run import batch
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import FakeClock, cutout, photo
from tests.support.fake_api import FakeApi, Handler, data_uri
from tests.support.wire import after, cut_short, page, picture, reset, says

pytestmark = [pytest.mark.anyio, pytest.mark.crash]
ITEMS = 300


class Rough:
    """A run over many URLs, through an API in which `strike` says what goes wrong."""

    def __init__(self, folder: Path, strike: Callable[[FakeApi], None] = lambda api: None) -> None:
        self.folder = folder
        self.strike = strike
        self.events: list[Event] = []
        self.clock = FakeClock(idle=0.01)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[None]:
        async with FakeApi(now=lambda: self.clock.now, polls=3) as self.api:
            self.strike(self.api)
            yield

    async def run(self, items: int = ITEMS, **settings: Any) -> Summary:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "list.txt").write_text("".join(f"https://shop.example/{n}.jpg\n" for n in range(items)))
        given = Settings(out=self.folder / "out", provider="replicate", base_url=self.api.base, **settings)
        with anyio.fail_after(50):
            return await batch.run(
                [str(self.folder / "list.txt")], given, listener=self.events.append, clock=self.clock.clock
            )


def sometimes(share: float, how: list[Handler], api: FakeApi, seed: int = 7) -> Handler:
    """One of these answers to this share of the requests, the normal one to the others."""
    dice = random.Random(seed)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (dice.choice(how) if dice.random() < share else api.normal)(request)

    return answer


# Outputs


async def test_where_many_downloads_fail_nothing_is_bought_beyond_one_an_item(tmp_path: Path) -> None:
    damaged = [picture(cutout()[:-20]), cut_short(), page(200), reset, says(503), says(403), picture(b"")]
    rough = Rough(tmp_path / "rough", lambda api: api.respond("GET", "/out/*", sometimes(0.15, damaged, api)))
    async with rough.server():
        summary = await rough.run()
    assert (summary.saved, summary.exit_code, len(rough.api.bill), summary.predictions) == (ITEMS, 0, ITEMS, ITEMS)
    assert len(rough.api.asked("GET", "/out/*")) > ITEMS


async def test_an_outage_of_the_outputs_host_pauses_the_run_and_costs_no_item_anything(tmp_path: Path) -> None:
    rough = Rough(tmp_path / "rough")
    created_by: list[int] = []

    def strike(api: FakeApi) -> None:
        async def down(request: web.Request) -> web.StreamResponse:
            if rough.clock.now < FakeClock().now + 600:
                created_by.append(len(api.bill))
                return await page(503)(request)
            return await api.normal(request)

        api.respond("GET", "/out/*", down)

    rough.strike = strike
    async with rough.server():
        summary = await rough.run(concurrency=10)
    assert (summary.saved, summary.failed, summary.exit_code, len(rough.api.bill)) == (ITEMS, 0, 0, ITEMS)
    assert max(created_by) < 60  # what was in flight, and no more
    said = [event.text for event in rough.events if event.kind is Kind.WARNING]
    assert any("where the outputs are, seems to be down: the run pauses" in text for text in said)


@pytest.mark.parametrize("grace", [30.0, math.inf])
async def test_an_outputs_host_that_is_gone_for_good_ends_the_run_and_the_next_one_buys_nothing_anew(
    tmp_path: Path, grace: float
) -> None:
    gone = Rough(tmp_path / "rough", lambda api: api.respond("GET", "/out/*", page(503)))
    async with gone.server():
        summary = await gone.run(40, concurrency=10, grace=grace)
        assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (0, 0, 40, 4)
        assert "nothing but errors for 3" in str(summary.stopped)
        bought = len(gone.api.bill)
        assert 3 <= bought <= 20 + 3  # what was in flight when the first three outputs had failed, and three trials
        assert gone.clock.now - FakeClock().now < 2100  # half an hour, and a little
        gone.api.recover()
        resumed = await gone.run(40)
    assert (resumed.saved, resumed.exit_code, len(gone.api.bill)) == (40, 0, 40)
    assert resumed.predictions == 40 - bought


def spoilt(numbers: Iterable[int], how: Handler) -> Callable[[FakeApi], None]:
    """The outputs of these items are always answered so."""
    urls = {f"https://shop.example/{number}.jpg" for number in numbers}

    def strike(api: FakeApi) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            made = api.made(request.path.rpartition("/")[2].removesuffix(".png"))
            return await (how if made is not None and made.input["image"] in urls else api.normal)(request)

        api.respond("GET", "/out/*", answer)

    return strike


async def resumed(rough: Rough, items: int, *, bought: int) -> None:
    """When all is well again, the next run saves every item, and buys no more than what was never bought."""
    rough.api.recover()
    summary = await rough.run(items)
    assert (summary.saved, summary.exit_code, len(rough.api.bill), summary.predictions) == (
        items,
        0,
        items,
        items - bought,
    )


@pytest.mark.parametrize("concurrency", [1, 4, 32])
@pytest.mark.parametrize("bad", [range(4), range(36, 40), range(1, 37, 3)], ids=["first", "last", "many"])
async def test_outputs_that_never_come_hold_up_nobody_else_and_stay_pending(
    tmp_path: Path, bad: range, concurrency: int
) -> None:
    rough = Rough(tmp_path / "rough", spoilt(bad, says(500)))
    async with rough.server():
        summary = await rough.run(40, concurrency=concurrency)
        counts = summary.saved, summary.failed, summary.pending, summary.exit_code
        assert counts == (40 - len(bad), 0, len(bad), 3)
        assert len(rough.api.bill) == 40
        assert rough.clock.now - FakeClock().now < 1800
        said = [event.text for event in rough.events if event.kind is Kind.WARNING]
        assert sum("stays pending" in text for text in said) == len(bad)
        await resumed(rough, 40, bought=40)


@pytest.mark.parametrize("items", [1, 2, 3])
async def test_the_last_items_stay_pending_where_the_host_of_their_outputs_is_gone(tmp_path: Path, items: int) -> None:
    rough = Rough(tmp_path / "rough", spoilt(range(items), reset))
    async with rough.server():
        summary = await rough.run(items)
        assert (summary.failed, summary.pending, summary.exit_code) == (0, items, 3)
        await resumed(rough, items, bought=items)


@pytest.mark.parametrize("status", [403, 404])
async def test_where_every_output_is_refused_items_stay_pending_and_nothing_is_bought_anew(
    tmp_path: Path, status: int
) -> None:
    rough = Rough(tmp_path / "rough", spoilt(range(120), page(status)))
    async with rough.server():
        for _ in range(2):
            summary = await rough.run(120)
            assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (0, 0, 120, 4)
        assert f"({status})" in str(summary.stopped) or f"answers {status}" in str(summary.stopped)
        bought = len(rough.api.bill)
        assert len({made.input["image"] for made in rough.api.bill}) == bought  # none twice
        await resumed(rough, 120, bought=bought)


@pytest.mark.parametrize("concurrency", [1, 4, 32])
async def test_a_few_useless_outputs_at_the_start_stop_nobody_else(tmp_path: Path, concurrency: int) -> None:
    rough = Rough(tmp_path / "rough", spoilt(range(4), page(200)))
    async with rough.server():
        summary = await rough.run(10, concurrency=concurrency)
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (6, 4, 0, 3)
    assert len(rough.api.bill) <= 6 + 4 * 3


@pytest.mark.parametrize("items", [3, 5, 100])
@pytest.mark.parametrize(
    "settings",
    [{"concurrency": 1}, {"concurrency": 32}, {"rate": 60}, {"rate": 6}],
    ids=["alone", "many", "paced", "slow"],
)
async def test_a_run_whose_every_output_is_useless_stops_after_a_few(
    tmp_path: Path, items: int, settings: dict[str, int]
) -> None:
    rough = Rough(tmp_path / "rough", spoilt(range(items), page(200)))
    async with rough.server():
        summary = await rough.run(items, **settings)
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (0, 0, items, 4)
    assert len(rough.api.bill) <= 6
    assert len({made.input["image"] for made in rough.api.bill}) == len(rough.api.bill)  # none twice
    assert "pictures in a row" in str(summary.stopped)


@pytest.mark.parametrize("items", [4, 100])
async def test_where_no_output_has_alpha_three_to_six_are_bought_and_three_in_each_run_after_it(
    tmp_path: Path, items: int
) -> None:
    rough, bought, opaque = Rough(tmp_path / "rough", lambda _: None), list[int](), data_uri(photo(40, 30, (9, 9, 9)))
    async with rough.server():
        rough.api.shape = lambda prediction: prediction | {"output": prediction["output"] and opaque}
        begun = rough.clock.now
        for _ in range(3):
            before = len(rough.api.bill)
            summary = await rough.run(items)
            assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (0, 0, items, 4)
            assert "succeeded with data:image/jpeg" in str(summary.stopped)
            bought.append(len(rough.api.bill) - before)
        assert 3 <= bought[0] <= 6
        assert max(bought[1:]) == 3
        assert rough.clock.now - begun < 120
        rough.api.shape = lambda prediction: prediction
        summary = await rough.run(items)
        assert (summary.saved, summary.exit_code) == (items, 0)


def test_an_output_is_useless_once_it_has_come_alike_six_times() -> None:
    policy, broken = RefetchPolicy(), OutputBroken("no picture")
    assert [policy.delay(tries, tries, broken, 1.0) for tries in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert policy.delay(2, 2, broken, 0.0) == 1.0
    with pytest.raises(OutputBroken, match="no picture"):
        policy.delay(6, 6, broken, 1.0)


def test_an_output_that_no_fetch_can_change_is_useless_at_the_second() -> None:
    policy, broken = RefetchPolicy(), OutputBroken("no picture")
    assert policy.delay(1, 1, broken, 1.0, sure=True) == 1.0
    with pytest.raises(OutputBroken, match="no picture"):
        policy.delay(2, 2, broken, 1.0, sure=True)


def test_an_output_that_comes_otherwise_each_time_is_kept_for_the_next_run() -> None:
    policy, broken = RefetchPolicy(), OutputBroken("no picture")
    assert policy.delay(7, 1, broken, 1.0) == 30.0
    with pytest.raises(ServerError, match="fetched 8 times, and each time something else came"):
        policy.delay(8, 2, broken, 1.0)


# Creates


async def test_lost_creates_are_looked_for_together(tmp_path: Path) -> None:
    def strike(api: FakeApi) -> None:
        dice, met, lost = random.Random(7), set[str](), [after(api.normal, reset), reset]

        async def first_answer_lost(request: web.Request) -> web.StreamResponse:
            image = (await request.json())["input"]["image"]
            strikes = image not in met and dice.random() < 0.12
            met.add(image)
            return await (dice.choice(lost) if strikes else api.normal)(request)

        api.respond("POST", "/predictions", first_answer_lost)

    rough = Rough(tmp_path / "rough", strike)
    async with rough.server():
        summary = await rough.run()
    assert (summary.saved, summary.exit_code, len(rough.api.bill)) == (ITEMS, 0, ITEMS)
    assert (summary.predictions, summary.possible_duplicates) == (ITEMS, 0)
    assert len(rough.api.asked("POST", "/predictions")) > 1.04 * ITEMS
    assert len(rough.api.asked("GET", "/predictions")) <= 40


def lost_without_a_list(status: int, accepted: int) -> Callable[[FakeApi], None]:
    """The answer to one accepted create is lost, and the list answers with this status."""

    def strike(api: FakeApi) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            lost = len(api.bill) == accepted
            return await (after(api.normal, reset) if lost else api.normal)(request)

        api.respond("POST", "/predictions", answer)
        api.respond("GET", "/predictions", says(status))

    return strike


async def test_a_lost_create_that_can_not_be_looked_for_now_is_looked_for_by_the_next_run(tmp_path: Path) -> None:
    rough = Rough(tmp_path / "rough", lost_without_a_list(500, accepted=3))
    async with rough.server():
        summary = await rough.run(10)
        assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (9, 0, 1, 3)
        assert summary.possible_duplicates == 0
        await resumed(rough, 10, bought=10)


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_where_no_list_is_offered_a_lost_create_is_sent_again_and_counted(tmp_path: Path, status: int) -> None:
    rough = Rough(tmp_path / "rough", lost_without_a_list(status, accepted=3))
    async with rough.server():
        summary = await rough.run(10)
    assert (summary.saved, summary.exit_code, summary.possible_duplicates, len(rough.api.bill)) == (10, 0, 1, 11)
