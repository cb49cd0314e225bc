"""A closed gate lets nothing more be bought, and holds nobody up."""

from __future__ import annotations

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import BudgetReached, KeyRejected, Stopping
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock

pytestmark = pytest.mark.anyio

REASON = BudgetReached("spent")


async def never(seconds: float) -> None:
    await anyio.sleep_forever()


async def test_an_open_gate_lets_pass_and_sleeps_as_long_as_asked() -> None:
    time = FakeClock()
    gate = Gate(time.clock)
    gate.check()
    await gate.sleep(7.0)
    assert time.slept == [7.0]
    assert not gate.closed.is_set()


async def test_the_first_reason_to_close_stays() -> None:
    gate = Gate(Clock())
    gate.close(REASON)
    gate.close(KeyRejected("no"))
    assert gate.reason is REASON
    assert gate.closed.is_set()


async def test_a_closed_gate_stops_whoever_comes() -> None:
    time = FakeClock()
    gate = Gate(time.clock)
    gate.close(REASON)
    with pytest.raises(Stopping, match="stopping"):
        gate.check()
    with pytest.raises(Stopping):
        await gate.sleep(7.0)
    assert time.slept == []


async def test_closing_wakes_whoever_waits() -> None:
    gate, stopped = Gate(Clock(sleep=never)), 0

    async def wait() -> None:
        nonlocal stopped
        with pytest.raises(Stopping):
            await gate.sleep(3600.0)
        stopped += 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            gate.close(REASON)
    assert stopped == 3


async def test_a_gate_that_closes_during_a_wait_stops_even_the_one_that_has_slept_enough() -> None:
    async def closing(seconds: float) -> None:
        gate.close(REASON)

    gate = Gate(Clock(sleep=closing))
    with pytest.raises(Stopping):
        await gate.sleep(1.0)


async def test_a_wait_can_be_cancelled() -> None:
    gate = Gate(Clock(sleep=never))
    with anyio.move_on_after(0) as scope:
        await gate.sleep(3600.0)
    assert scope.cancelled_caught
    gate.check()
