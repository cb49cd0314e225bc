"""Calls are held to their limit, in the order they came; creates and all else do not get in each other's way."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from batch_removebg.errors import BudgetReached, CreateLost, RateLimited, ServerError, Stopping
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.providers.adaptive_rate import RateLimit
from batch_removebg.providers.base import Pause
from batch_removebg.providers.throttle import Throttled
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, ScriptedProvider, pausing

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")


def throttled(
    inner: ScriptedProvider,
    time: FakeClock,
    creates: RateLimit | None = None,
    *,
    pause: Pause | None = None,
    gate: Gate | None = None,
    **heard: Any,
) -> Throttled:
    pause = pause or pausing(time.sleep, (gate or Gate(time.clock)).sleep)
    heard = {"waited": lambda _: None, "answered": lambda: None, "trouble": lambda _: None, **heard}
    return Throttled(inner, creates or RateLimit(), RateLimit(window=16), clock=time.clock, pause=pause, **heard)


@pytest.mark.anyio
async def test_creates_go_at_the_rate_and_in_the_order_they_came() -> None:
    time, inner, began = FakeClock(), ScriptedProvider(), []
    provider = throttled(inner, time, RateLimit(0.5))

    async def buy(number: int) -> None:
        await provider.create(CreateRequest(item=str(number), image="x", output="x"))
        began.append(time.now - 1.8e9)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(buy, number)
    assert [request.item for request in inner.requests] == ["0", "1", "2", "3", "4"]
    assert began == pytest.approx([0.0, 2.01, 4.02, 6.03, 8.04])


@pytest.mark.anyio
async def test_a_rejection_reaches_the_caller_and_holds_everybody_back() -> None:
    time, inner = FakeClock(), ScriptedProvider(creates=[RateLimited("slow", retry_after=7.0)])
    provider = throttled(inner, time)
    with pytest.raises(RateLimited):
        await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert sum(time.slept) == pytest.approx(7.0)


@pytest.mark.anyio
async def test_a_rejection_that_comes_during_a_wait_prolongs_it() -> None:
    time, inner, limit = FakeClock(), ScriptedProvider(), RateLimit(window=2)
    naps: list[float] = []
    first, second = limit.sent(time.now), limit.sent(time.now)

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        time.now += seconds
        if len(naps) == 1:
            limit.rejected(second, time.now, 20.0)  # another create's

    limit.rejected(first, time.now, 5.0)
    await throttled(inner, time, limit, pause=pausing(nap)).create(REQUEST)
    assert naps == pytest.approx([5.0, 20.0])


@pytest.mark.anyio
async def test_a_rejected_poll_holds_polls_and_no_creates() -> None:
    time, inner = FakeClock(), ScriptedProvider()
    provider, begun = throttled(inner, time), time.now
    known = await provider.create(REQUEST)
    assert known.id is not None
    normal, rejections = inner.get, [RateLimited("slow", retry_after=30.0)]

    async def get(prediction_id: str) -> Any:
        if rejections:
            raise rejections.pop()
        return await normal(prediction_id)

    inner.get = get  # type: ignore[method-assign]
    with pytest.raises(RateLimited):
        await provider.get(known.id)
    await provider.create(REQUEST)
    assert time.now == begun
    await provider.get(known.id)
    assert time.now == pytest.approx(begun + 30.0)


@pytest.mark.anyio
async def test_who_waits_for_an_answer_goes_as_soon_as_one_comes() -> None:
    time, inner = FakeClock(), ScriptedProvider()

    async def never(_: float) -> None:
        await anyio.sleep_forever()

    provider = throttled(inner, time, pause=pausing(never))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(provider.create, REQUEST)
    assert inner.bill == 5


@pytest.mark.anyio
async def test_an_announced_end_holds_the_next_create() -> None:
    time = FakeClock()
    last = Prediction("p", Status.STARTING, exhausted=3.0)
    inner, begun = ScriptedProvider(creates=[last]), time.now
    provider = throttled(inner, time)
    await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert time.now == pytest.approx(begun + 3.0)


@pytest.mark.anyio
async def test_it_tells_how_long_creates_were_held_and_when_a_server_fails() -> None:
    time, waits, troubles = FakeClock(), [], []
    inner = ScriptedProvider(creates=[CreateLost("gone")])
    provider = throttled(inner, time, RateLimit(0.5), waited=waits.append, trouble=troubles.append)
    with pytest.raises(CreateLost):
        await provider.create(REQUEST)
    assert troubles == [time.now]
    await provider.create(REQUEST)
    assert waits == pytest.approx([0.0, 2.01])
    assert len(troubles) == 1


@pytest.mark.anyio
async def test_other_troubles_do_not_slow_anything_down() -> None:
    time, inner = FakeClock(), ScriptedProvider(creates=[ServerError("busy", retry_after=60.0)])
    provider = throttled(inner, time)
    with pytest.raises(ServerError):
        await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert time.slept == []


@pytest.mark.anyio
async def test_a_closing_gate_ends_all_waits_and_nothing_more_is_created() -> None:
    time, inner, stopped = FakeClock(), ScriptedProvider(), 0
    gate = Gate(time.clock)
    provider = throttled(inner, time, RateLimit(0.001), gate=gate)
    await provider.create(REQUEST)

    async def buy() -> None:
        nonlocal stopped
        try:
            await provider.create(REQUEST)
        except Stopping:
            stopped += 1

    gate.close(BudgetReached("spent"))
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(buy)
    assert (stopped, inner.bill) == (4, 1)
