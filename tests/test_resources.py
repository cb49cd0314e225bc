"""Pixels get as many threads as there are cores, and no more bytes than the budget."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from batch_removebg import resources
from batch_removebg.resources import Cpu, cores, memory, open_files

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(resources, "_LIMITS", (tmp_path / "memory.max",))


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(
    ("told", "count"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 3), ("max 100000", 3), ("", 3)],
)
def test_a_container_is_given_no_more_cores_than_it_has_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    (tmp_path / "cpu.max").write_text(told + "\n")
    assert cores() == count


def test_memory_is_the_machines_or_what_a_container_may_use_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}[name])
    assert memory() == 4 << 30
    (tmp_path / "memory.max").write_text("max\n")
    assert memory() == 4 << 30
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert memory() == 1 << 30


async def test_a_function_runs_in_a_thread_with_its_arguments() -> None:
    thread, values = await Cpu().run(lambda *args, **kwargs: (threading.get_ident(), (args, kwargs)), 1, two=2)
    assert thread != threading.get_ident()
    assert values == ((1,), {"two": 2})


async def test_its_exception_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await Cpu().run(lambda: 1 / 0)


async def test_no_more_functions_run_at_once_than_there_are_threads() -> None:
    cpu, running, go_on = Cpu(threads=2), threading.Semaphore(0), threading.Event()
    started: list[int] = []

    def work(number: int) -> None:
        started.append(number)
        running.release()
        assert go_on.wait(20)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(cpu.run, work, number)
        for _ in range(2):
            await anyio.to_thread.run_sync(running.acquire)
        await anyio.wait_all_tasks_blocked()
        assert sorted(started) == [0, 1]
        go_on.set()
    assert sorted(started) == [0, 1, 2, 3, 4]


async def test_work_that_has_begun_is_not_cancelled_half_way() -> None:
    cpu, begun, go_on = Cpu(), threading.Event(), threading.Event()
    finished: list[bool] = []

    def work() -> None:
        begun.set()
        finished.append(go_on.wait(20))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cpu.run, work)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
        go_on.set()
    assert finished == [True]


class Holder:
    """Holds some of the budget until told to let go."""

    def __init__(self, cpu: Cpu, cost: int) -> None:
        self._cpu = cpu
        self._cost = cost
        self.holds = False
        self.let_go = anyio.Event()

    async def run(self) -> None:
        async with self._cpu.memory(self._cost):
            self.holds = True
            await self.let_go.wait()
        self.holds = False


async def holding(holders: list[Holder]) -> list[bool]:
    await anyio.wait_all_tasks_blocked()
    return [holder.holds for holder in holders]


async def test_pictures_wait_until_their_bytes_fit_into_the_budget() -> None:
    cpu = Cpu(budget=100)
    holders = [Holder(cpu, cost) for cost in (60, 40, 1, 30)]
    async with anyio.create_task_group() as tasks:
        for holder in holders:
            tasks.start_soon(holder.run)
        assert await holding(holders) == [True, True, False, False]
        holders[1].let_go.set()
        assert await holding(holders) == [True, False, True, True]
        for holder in holders:
            holder.let_go.set()


async def test_a_picture_above_the_whole_budget_runs_alone() -> None:
    cpu = Cpu(budget=100)
    holders = [Holder(cpu, cost) for cost in (1, 1000, 1)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(holders[0].run)
        assert await holding(holders) == [True, False, False]
        tasks.start_soon(holders[1].run)
        assert await holding(holders) == [True, False, False]
        holders[0].let_go.set()
        assert await holding(holders) == [False, True, False]
        tasks.start_soon(holders[2].run)
        assert await holding(holders) == [False, True, False]
        holders[1].let_go.set()
        assert await holding(holders) == [False, False, True]
        holders[2].let_go.set()


async def test_errors_and_cancellation_give_the_bytes_back() -> None:
    cpu = Cpu(budget=100)
    with pytest.raises(ZeroDivisionError):
        async with cpu.memory(100):
            raise ZeroDivisionError
    holder, waiter, after = Holder(cpu, 100), Holder(cpu, 100), Holder(cpu, 100)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(holder.run)
        tasks.start_soon(waiter.run)
        assert await holding([holder, waiter]) == [True, False]
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(after.run)
        assert await holding([after]) == [True]
        after.let_go.set()


def test_open_files_are_those_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = pytest.importorskip("resource")
    monkeypatch.setattr(limits, "getrlimit", lambda what: (256, 4096))
    assert open_files() == 256
    monkeypatch.setattr(limits, "getrlimit", lambda what: (limits.RLIM_INFINITY,) * 2)
    assert open_files() == 8192
