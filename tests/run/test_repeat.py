"""Runs one after the other: each begins in its turn, trouble is waited out, and signals end them in good order."""

from __future__ import annotations

import math
import os
import signal
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg import errors
from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError
from batch_removebg.events import Event, ignore
from batch_removebg.run.repeat import Signals, every, repeated, timer
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import FakeClock

pytestmark = pytest.mark.anyio


def summary(stopped: BatchError | None = None, **changes: Any) -> Summary:
    plain: dict[str, Any] = dict.fromkeys(("saved", "failed", "pending", "skipped", "reused", "predictions"), 0)
    plain |= {"out": Path("out"), "possible_duplicates": 0, "seconds": 1.0, "failures": (), "stopped": stopped}
    return Summary(**{**plain, **changes})


class Night:
    """Runs that end as the script says, after so many seconds each."""

    def __init__(self, *script: Summary | BatchError, took: float = 60.0) -> None:
        self.time, self.script, self.took = FakeClock(), list(script), took
        self.start, self.began, self.given, self.told = self.time.now, list[float](), list[Settings](), list[str]()

    async def once(self, settings: Settings, signals: Signals) -> Summary:
        self.began.append(self.time.now - self.start)
        self.given.append(settings)
        await self.time.sleep(self.took)
        ended = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(ended, BatchError):
            raise ended
        return ended

    def tell(self, event: Event) -> None:
        self.told.append(event.text)

    async def every(self, gap: str, **given: Any) -> Summary:
        settings = Settings(out=Path("out"), every=gap, **given)
        with anyio.fail_after(20):
            return await every(self.once, settings, clock=self.time.clock, tell=self.tell)


def after(seconds: int) -> str:
    return f"2027-01-15T{8 + seconds // 3600:02}:{seconds // 60 % 60:02}+00:00"


async def test_a_run_begins_an_hour_after_the_last_one_began_until_the_time_that_is_given() -> None:
    night = Night(summary(), took=600)
    assert await night.every("1h", until=after(4 * 3600)) == summary()
    assert night.began == [0, 3600, 7200, 10800]
    assert night.told == ["the next run begins in 50 min"] * 3
    assert night.time.now - night.start == 10800 + 600  # no wait for what doesn't come


async def test_a_run_begins_at_once_where_the_last_one_took_longer() -> None:
    night = Night(summary(), took=5000)
    await night.every("1h", until=after(4 * 3600))
    assert night.began == [0, 5000, 10000]


async def test_the_time_of_the_clock_is_one_moment_for_all_runs_and_what_is_forced_is_so_once() -> None:
    night = Night(summary())
    await night.every("1h", until="23:59:59", force=("a",), start_over=True, retry_failed=True)
    assert {one.until for one in night.given} == {night.given[0].until}
    assert "T" in (night.given[0].until or "")
    assert {(one.force, one.start_over) for one in night.given[1:]} == {(None, False)}
    assert (night.given[0].force, night.given[0].start_over) == (("a",), True)
    assert all(one.retry_failed for one in night.given)


TROUBLE = [
    errors.OutOfCredit("no credit"),
    errors.DiskError("the disk is full"),
    errors.ServerDown("the server is down"),
    errors.WindowClosed("--max-runtime 5m"),
]


@pytest.mark.parametrize("trouble", [*map(summary, TROUBLE), *TROUBLE[:3], errors.LockedError("another run")])
async def test_after_trouble_that_passes_the_next_run_begins_in_its_turn(trouble: Summary | BatchError) -> None:
    night = Night(trouble, trouble, summary())
    assert (await night.every("1h", until=after(3 * 3600))).exit_code == 0
    assert night.began == [0, 3600, 7200]
    assert night.told.count(str(trouble)) == (2 if isinstance(trouble, BatchError) else 0)


@pytest.mark.parametrize("last", [errors.LockedError("another run"), errors.LedgerDamaged(Path("x/ledger"), "a line")])
async def test_what_the_last_run_raised_is_raised_at_the_end(last: BatchError) -> None:
    night = Night(summary(), last)
    with pytest.raises(type(last)):
        await night.every("1h", until=after(2 * 3600))
    assert len(night.began) == 2


@pytest.mark.parametrize("fault", [errors.SettingsError("no key"), errors.ManifestError("no such file")])
async def test_what_cannot_be_carried_out_as_given_ends_it(fault: BatchError) -> None:
    night = Night(fault)
    with pytest.raises(type(fault)):
        await night.every("1h")
    assert len(night.began) == 1
    night = Night(summary(fault))
    assert (await night.every("1h")).exit_code == 2
    assert len(night.began) == 1


async def test_a_manifest_that_is_out_for_a_while_is_read_again_in_the_next_turn() -> None:
    night = Night(summary(), errors.ManifestError("can't be downloaded"), summary())
    assert (await night.every("1h", until=after(3 * 3600))).exit_code == 0
    assert len(night.began) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_between_two_runs_ends_it_with_the_outcome_of_the_last(number: int) -> None:
    async def wait(begun: float) -> bool:
        os.kill(os.getpid(), number)
        await anyio.sleep_forever()
        return True

    began = 0

    async def once(signals: Signals) -> Summary:
        nonlocal began
        began += 1
        return summary(failed=1)

    with anyio.fail_after(20):
        assert (await repeated(once, wait, clock=Clock(), tell=ignore)).exit_code == 3
    assert began == 1


async def test_a_run_hears_of_signals_also_of_one_that_came_as_it_began_and_no_other_follows() -> None:
    heard: list[int] = []

    async def once(signals: Signals) -> Summary:
        os.kill(os.getpid(), signal.SIGTERM)
        while not signals.heard:
            await anyio.lowlevel.checkpoint()
        with signals() as received:
            heard.append(await anext(received))
            os.kill(os.getpid(), signal.SIGINT)
            heard.append(await anext(received))
        return summary(errors.BudgetReached("spent"))

    with anyio.fail_after(20):
        assert (await repeated(once, never, clock=Clock(), tell=ignore)).exit_code == 4
    assert heard == [signal.SIGTERM, signal.SIGINT]


async def never(_: float) -> bool:
    raise AssertionError("nothing is waited for")


async def test_a_second_signal_ends_what_is_beside_a_run() -> None:
    async def once(signals: Signals) -> Summary:
        os.kill(os.getpid(), signal.SIGTERM)
        while not signals.heard:
            await anyio.lowlevel.checkpoint()
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep_forever()
        return summary()

    with anyio.fail_after(20), pytest.raises(errors.Interrupted, match="SIGTERM"):
        await repeated(once, never, clock=Clock(), tell=ignore)


async def test_ten_thousand_runs_take_no_memory() -> None:
    count, sizes = 0, list[int]()

    async def once(signals: Signals) -> Summary:
        nonlocal count
        count += 1
        if count in (1000, 10_000):
            sizes.append(tracemalloc.get_traced_memory()[0])
        with signals():
            if count % 10 == 0:
                raise errors.DiskError(f"the disk is full for the {count}th time")
        return summary()

    async def wait(begun: float) -> bool:
        await anyio.lowlevel.checkpoint()
        return count < 10_000

    tracemalloc.start()
    try:
        with pytest.raises(errors.DiskError, match="10000th"):
            await repeated(once, wait, clock=Clock(), tell=ignore)
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 20_000


async def test_a_clock_that_jumps_past_the_end_ends_the_wait() -> None:
    time, left = FakeClock(), [math.inf]
    wait: Callable[[float], Awaitable[bool]] = timer(3600, lambda: left[0], time.clock, ignore)
    begun = time.now

    async def jump() -> None:
        await time.sleep(600)
        left[0] = -1.0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(jump)
        assert await wait(begun) is False
    assert time.now - begun < 700
