"""Kill -9 at any moment, then resume: nothing lost, nothing bought twice, nothing torn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.bench import LONG, Crashes
from tests.fake_api import FakeApi

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(1500)]
ITEMS = 3


async def crash_and_finish(folder: Path, fatal: list[int], items: int = ITEMS) -> int:
    """Kill a run at each of these ticks in turn, then let it finish; returns the kills that hit."""
    async with FakeApi() as api:
        bench = Crashes(folder, api)
        bench.prepare(items)
        for tick in fatal:
            await bench.run(tick)
            bench.check_ledger()
        await bench.finish(items)
        return bench.kills


async def ticks_of_a_run(folder: Path, items: int = ITEMS) -> int:
    async with FakeApi() as api:
        bench = Crashes(folder, api)
        bench.prepare(items)
        code, said = await bench.run(0)
        assert code == 0, said
        return int(said.rpartition("ticks=")[2])


async def test_a_run_killed_at_any_write_loses_nothing_and_buys_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    ticks = await ticks_of_a_run(tmp_path / "whole")
    assert ticks > 60
    chosen = range(1, ticks + 1) if LONG else sorted(random.Random(2).sample(range(1, ticks + 1), 14))
    kills = 0
    for tick in chosen:
        folder = tmp_path / str(tick)
        folder.mkdir()
        kills += await crash_and_finish(folder, [tick])
    # Two workers race, so a run may have a tick or two fewer than the one that was counted.
    assert kills >= len(chosen) - 4
    print(f"crash: {kills} kills at single ticks of {ticks}, no loss")


async def test_a_run_killed_over_and_over_still_ends_well(tmp_path: Path) -> None:
    rng = random.Random(5)
    kills = 0
    for round_number in range(40 if LONG else 2):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        kills += await crash_and_finish(folder, [rng.randint(1, 50) for _ in range(6 if LONG else 4)])
    assert kills >= (200 if LONG else 6)
    print(f"crash: {kills} kills in a row, no loss")
