"""Hosts of sources are asked politely, and one that is down pauses its own rows alone."""

from __future__ import annotations

import anyio
import pytest

from batch_removebg.errors import ConnectionFailed, Postponed, RateLimited, ServerError, Unreachable
from batch_removebg.pipeline.hosts import Host
from tests.support.doubles import FakeClock

pytestmark = pytest.mark.anyio


class Bench:
    def __init__(self) -> None:
        self.fake, self.told = FakeClock(), list[str]()
        self.host = Host("img.example", self.fake.clock, self.told.append)

    async def waited(self) -> float:
        """Seconds until the host's next turn comes, and the turn."""
        begun = self.fake.now
        await self.host.turn(self.fake.clock.sleep)
        return self.fake.now - begun

    async def out_of_reach(self, times: int) -> None:
        for _ in range(times):
            await self.host.turn(self.fake.clock.sleep)
            self.host.failed("a", Unreachable("no connection"), 0.5)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_eight_are_asked_for_at_a_time_and_the_next_in_the_order_of_their_coming(bench: Bench) -> None:
    assert [bench.host.enter() for _ in range(9)] == [True] * 8 + [False]
    order: list[int] = []

    async def take(number: int) -> None:
        await bench.host.turn(bench.fake.clock.sleep)
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(take, number)
            await anyio.lowlevel.checkpoint()
        for _ in range(3):
            bench.host.answered()
    assert order == [0, 1, 2]


@pytest.mark.parametrize(("asked", "waited"), [(6.0, 6.0), (None, 0.5)])
async def test_a_host_that_asks_for_patience_gets_it_from_all_its_rows(
    bench: Bench, asked: float | None, waited: float
) -> None:
    assert bench.host.enter()
    assert not bench.host.failed("a", RateLimited("429", retry_after=asked), 0.5)
    assert not bench.host.enter()
    assert await bench.waited() == waited


async def test_one_that_asks_for_more_than_a_run_waits_for_two_urls_in_a_row_is_left_to_the_next(bench: Bench) -> None:
    long = ServerError("503", retry_after=3600.0)
    for url in "aab":
        assert bench.host.enter()
        with pytest.raises(Postponed, match=r"503; img\.example asks to wait for 60 minutes: this row is left"):
            bench.host.failed(url, long, 0.5)
        if url == "a":  # others answer in between: its rows go on
            assert bench.host.enter()
            bench.host.answered()
    assert bench.host.enter()
    assert bench.host.failed("c", long, 0.5)
    with pytest.raises(Postponed, match=r"503; img\.example asks to wait for 60 minutes: its rows are left"):
        bench.host.enter()
    assert bench.told[-1].endswith("its rows are left to the next run")


async def test_a_host_out_of_reach_is_probed_by_one_row_then_left_for_ten_minutes(bench: Bench) -> None:
    await bench.out_of_reach(3)
    assert [told.partition("; ")[2] for told in bench.told] == [
        "img.example seems to be out of reach: its rows wait, and the others go on"
    ]
    assert await bench.waited() > 0
    assert not bench.host.enter()
    bench.host.failed("a", Unreachable("no connection"), 0.5)
    with pytest.raises(
        Postponed, match=r"no connection; img\.example stays out of reach: its rows are left to the next run"
    ):
        await bench.out_of_reach(9)
    assert 30 <= bench.fake.now - FakeClock().now <= 60
    assert len(bench.told) == 2
    await bench.fake.clock.sleep(600.0)
    assert bench.host.enter()


async def test_a_host_that_comes_back_is_said_to(bench: Bench) -> None:
    await bench.out_of_reach(4)
    await bench.waited()
    bench.host.answered()
    assert bench.told[1:] == ["img.example answers again"]
    assert bench.host.enter()


async def test_one_url_that_always_fails_is_no_outage_of_its_host(bench: Bench) -> None:
    for _ in range(9):
        assert bench.host.enter()
        assert not bench.host.failed("a", ServerError("500"), 0.5)
    for url in "bc":
        assert bench.host.enter()
        down = bench.host.failed(url, ConnectionFailed("no answer in time"), 0.5)
    assert down
