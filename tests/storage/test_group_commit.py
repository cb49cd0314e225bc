"""Group commit: what comes while work is under way is merged into the next group, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from batch_removebg.storage.group_commit import GroupCommit

pytestmark = pytest.mark.anyio


class Work:
    """Notes its groups, and ends each when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go_on = anyio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, parts: list[int]) -> Sequence[int]:
        self.groups.append(list(parts))
        await self.go_on.acquire()
        if self.error is not None:
            raise self.error
        return [part * 10 for part in parts]


async def start(commit: GroupCommit[int, int], results: list[int], numbers: range, tasks: anyio.abc.TaskGroup) -> None:
    async def one(number: int) -> None:
        results.append(await commit(number))

    for number in numbers:
        tasks.start_soon(one, number)
    await anyio.wait_all_tasks_blocked()


async def test_what_comes_while_work_is_under_way_goes_together_in_the_next_group() -> None:
    work, results = Work(), list[int]()
    commit = GroupCommit(work)
    async with anyio.create_task_group() as tasks:
        await start(commit, results, range(1), tasks)
        await start(commit, results, range(1, 5), tasks)
        assert work.groups == [[0]]
        work.go_on.release()
        await anyio.wait_all_tasks_blocked()
        assert (work.groups, results) == ([[0], [1, 2, 3, 4]], [0])
        work.go_on.release()
    assert results == [0, 10, 20, 30, 40]


async def test_as_many_groups_are_worked_on_at_once_as_there_are_lanes() -> None:
    work, results = Work(), list[int]()
    commit = GroupCommit(work, lanes=2)
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            await start(commit, results, range(number, number + 1), tasks)
        assert work.groups == [[0], [1]]
        work.go_on.release()
        await anyio.wait_all_tasks_blocked()
        assert work.groups == [[0], [1], [2, 3]]
        for _ in range(2):
            work.go_on.release()
    assert sorted(results) == [0, 10, 20, 30]


async def test_an_error_is_everyones_in_the_group_and_nobodys_in_the_next() -> None:
    work = Work()
    commit = GroupCommit(work)
    work.error, raised = KeyError("broken"), list[str]()

    async def one(number: int) -> None:
        with pytest.raises(KeyError) as caught:
            await commit(number)
        raised.append(str(caught.value))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(one, number)
        await anyio.wait_all_tasks_blocked()
        work.go_on.release()
    assert raised == ["'broken'"] * 3
    work.error = None
    work.go_on.release()
    assert await commit(7) == 70


async def test_a_call_that_is_cancelled_is_worked_on_all_the_same() -> None:
    work = Work()
    commit = GroupCommit(work)
    async with anyio.create_task_group() as tasks:
        await start(commit, [], range(1), tasks)
        await start(commit, [], range(1, 3), tasks)
        tasks.cancel_scope.cancel()
        for _ in range(2):
            work.go_on.release()
    assert work.groups == [[0], [1, 2]]


async def test_whoever_waits_hears_of_it_when_the_leading_task_is_killed_from_outside() -> None:
    import asyncio

    work = Work()
    commit = GroupCommit(work)
    leader, follower = asyncio.ensure_future(commit(1)), asyncio.ensure_future(commit(2))
    await anyio.wait_all_tasks_blocked()
    first = work.groups
    assert first == [[1, 2]]
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    with pytest.raises(RuntimeError, match="ended from outside"):
        await follower
    work.go_on.release()
    assert await commit(3) == 30
