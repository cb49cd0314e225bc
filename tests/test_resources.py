"""Pixels get as many threads and processes as there are cores, a time, and no more bytes than the budget."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from batch_removebg import resources
from batch_removebg.errors import SourceError, Stopping, WorkFailed
from batch_removebg.resources import Cpu, cores, memory, open_files, patience
from batch_removebg.worker import LEFT, Worker

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Groups:
    monkeypatch.setattr(resources, "_OWN", tmp_path / "own")
    monkeypatch.setattr(resources, "_GROUPS", tmp_path / "cgroup")
    return Groups(tmp_path)


class Groups:
    """Control groups of a machine that is ours."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.own("0::/")

    def own(self, *lines: str) -> None:
        (self._root / "own").write_text("".join(f"{line}\n" for line in lines))

    def write(self, name: str, text: str) -> None:
        path = self._root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


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
    monkeypatch: pytest.MonkeyPatch, groups: Groups, told: str, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    groups.write("cpu.max", told)
    assert cores() == count


def test_memory_is_the_machines_or_what_a_container_may_use_of_it(
    monkeypatch: pytest.MonkeyPatch, groups: Groups
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}[name])
    assert memory() == 4 << 30
    groups.write("memory.max", "max")
    assert memory() == 4 << 30
    groups.write("memory.max", "1073741824")
    assert memory() == 1 << 30


SERVICE, SLICE = "system.slice/night.service", "system.slice"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ([f"0::/{SERVICE}"], {f"{SERVICE}/memory.max": "300", f"{SERVICE}/cpu.max": "200 100"}, (2, 300)),
        ([f"0::/{SERVICE}"], {f"{SLICE}/memory.max": "200", f"{SERVICE}/memory.max": "300"}, (4, 200)),
        ([f"0::/{SERVICE}"], {f"{SERVICE}/cpu.max": "max 100", f"{SLICE}/cpu.max": "100 100"}, (1, 4096)),
        ([f"0::/{SERVICE}"], {"other.slice/memory.max": "100", f"{SERVICE}/sub/memory.max": "100"}, (4, 4096)),
        (
            ["4:cpu,cpuacct:/a/b", "3:memory:/a", "0::/"],  # version 1: each has groups of its own
            {
                "memory/a/memory.limit_in_bytes": "500",
                "memory/a/b/memory.limit_in_bytes": "100",
                "cpu/a/cpu.cfs_quota_us": "150",
                "cpu/a/cpu.cfs_period_us": "100",
                "cpu/a/b/cpu.cfs_quota_us": "-1",
                "cpu/a/b/cpu.cfs_period_us": "100",
            },
            (2, 500),
        ),
        (["3:memory:/docker/1f"], {"memory/memory.limit_in_bytes": "400"}, (4, 400)),  # its own is mounted as the root
        (["0::/../../x"], {"memory.max": "600"}, (4, 600)),  # entered from outside
        ([], {"memory.max": "600"}, (4, 4096)),
    ],
)
def test_limits_are_the_least_of_this_process_own_group_and_those_around_it(
    monkeypatch: pytest.MonkeyPatch, groups: Groups, own: list[str], files: dict[str, str], expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 4096}[name])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    groups.own(*own)
    for name, text in files.items():
        groups.write(name, text)
    assert (cores(), memory()) == expected


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


def crash(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def leave_once(mark: str) -> str:
    if Path(mark).exists():
        return "done"
    Path(mark).touch()
    os._exit(LEFT)


def busy(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    time.sleep(60)


class Ticks:
    """A sleep that is over at once, as soon as the work has begun; it counts the seconds."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark
        self.slept = 0.0

    async def __call__(self, seconds: float) -> None:
        self.slept += seconds
        while not (self._mark.exists() and self._mark.read_text()):  # noqa: ASYNC110  # of another process
            await anyio.sleep(0.005)


def is_gone(mark: Path) -> bool:
    try:
        os.kill(int(mark.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


async def gone(mark: Path) -> bool:
    with anyio.move_on_after(20):
        while not is_gone(mark):  # noqa: ASYNC110  # nobody says so
            await anyio.sleep(0.005)
    return is_gone(mark)


async def test_isolated_work_is_done_by_another_process_which_is_used_again() -> None:
    cpu = Cpu(threads=1)
    first, second = [await cpu.isolated(30.0, os.getpid) for _ in range(2)]
    assert first == second != os.getpid()
    with pytest.raises(ValueError, match="math domain error"):
        await cpu.isolated(30.0, resources.math.sqrt, -1)
    assert await cpu.isolated(30.0, os.getpid) == first


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux tells whom it would kill")
async def test_where_memory_runs_out_a_process_for_pictures_ends_before_the_run() -> None:
    assert await Cpu().isolated(30.0, Path("/proc/self/oom_score_adj").read_text) == "1000\n"
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 1000


@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT"), (signal.SIGKILL, "want of memory")]
)
async def test_a_crash_fails_its_picture_for_good_and_the_next_gets_another_process(
    number: signal.Signals, why: str
) -> None:
    cpu = Cpu(threads=1)
    with pytest.raises(WorkFailed, match=why) as failed:
        await cpu.isolated(30.0, crash, number)
    assert isinstance(failed.value, SourceError)
    assert (failed.value.kind, failed.value.of_content) == ("crash", True)
    assert await cpu.isolated(30.0, abs, -1) == 1


async def test_a_process_that_cannot_go_on_is_a_bug_and_no_fault_of_the_picture() -> None:
    with pytest.raises(RuntimeError, match="couldn't go on"):
        await Cpu().isolated(30.0, leave, 1)
    with pytest.raises(WorkFailed, match=r"end \(exit code 3\)"):
        await Cpu().isolated(30.0, leave, 3)


async def test_what_an_idle_process_that_just_left_was_asked_is_asked_again(tmp_path: Path) -> None:
    assert await Cpu().isolated(30.0, leave_once, str(tmp_path / "mark")) == "done"


async def test_work_is_killed_at_its_deadline_which_counts_seconds_as_they_are_slept(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    ticks = Ticks(mark)
    with pytest.raises(WorkFailed, match="was given up after 150 seconds of work"):
        await Cpu(sleep=ticks).isolated(patience(120_000_000), busy, str(mark))
    assert ticks.slept == 150
    assert await gone(mark)


async def test_once_the_run_stops_work_gets_three_seconds_and_its_picture_stays_pending(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    ticks = Ticks(mark)
    cpu = Cpu(sleep=ticks)
    cpu.hurry()
    with pytest.raises(Stopping):
        await cpu.isolated(300.0, busy, str(mark))
    assert ticks.slept == 3
    assert await gone(mark)


async def test_cancelled_work_is_killed_and_leaves_its_place(tmp_path: Path) -> None:
    cpu, mark = Cpu(threads=1), tmp_path / "mark"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cpu.isolated, 60.0, busy, str(mark))
        while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110  # of another process
            await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert await gone(mark)
    assert await cpu.isolated(30.0, abs, -1) == 1


async def test_work_cancelled_before_it_began_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Worker] = []
    monkeypatch.setattr(resources.Worker, "take", lambda: made.append(Worker()) or made[0])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await Cpu().isolated(30.0, abs, -1)
    assert [worker.killed for worker in made] in ([], [True])


def test_patience_grows_with_the_pixels_and_the_effort() -> None:
    assert [patience(0), patience(1_000_000), patience(1_000_000, 0), patience(1_000_000, 9)] == [30, 31, 35, 2590]
