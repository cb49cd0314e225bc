"""The lane of copies: bounded for the reader, never in the way of anybody else, and it knows when a run is over."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.pipeline.copy_queue import CopyQueue

pytestmark = pytest.mark.anyio


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


async def test_it_ends_only_once_nothing_more_comes_and_nothing_is_on_its_way() -> None:
    lane: CopyQueue[str] = CopyQueue(10, lambda: 0)
    taken: list[str | None] = []

    async def copier() -> None:
        while taken[-1:] != [None]:
            taken.append(await lane.take())

    lane.began()
    lane.began()
    async with anyio.create_task_group() as group:
        group.start_soon(copier)
        lane.ended()  # the reader is done
        lane.ended()
        await turns()
        assert taken == []
        lane.put(["late"])  # of the one that is on its way still
        await turns()
        assert taken == ["late"]
        lane.ended()
    assert taken == ["late", None]


async def test_all_takers_are_told_of_the_end() -> None:
    lane: CopyQueue[str] = CopyQueue(10, lambda: 0)
    told: list[str | None] = []

    async def taker() -> None:
        told.append(await lane.take())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(taker)
        await turns()
        assert told == []
        lane.ended()  # the reader is done
        await turns()
        group.cancel_scope.cancel()  # those that nobody has told would wait for ever
    assert told == [None] * 3


async def test_the_reader_waits_while_there_are_as_many_as_may_be_and_nobody_else_does() -> None:
    parked = 2
    lane: CopyQueue[int] = CopyQueue(4, lambda: parked)
    await lane.room()
    lane.put(range(5))  # beyond the bound: it was on its way already
    passed = False

    async def reader() -> None:
        nonlocal passed
        await lane.room()
        passed = True

    async with anyio.create_task_group() as group:
        group.start_soon(reader)
        for left in (4, 3, 2):
            await lane.take()
            await turns()
            assert not passed, left
        await lane.take()
    assert passed
