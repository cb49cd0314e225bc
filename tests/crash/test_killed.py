"""Kill -9 at any moment, then resume: nothing lost, nothing bought twice, nothing torn."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from batch_removebg.ledger.decisions import Decided, Decisions
from tests.crash.bench import LONG, Crashes, saved_lines
from tests.support.fake_api import FakeApi

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(1500)]
ITEMS = 3
PARTS = 4 if LONG else 2
ROUNDS = 10 if LONG else 1
IN_A_ROW = 6 if LONG else 5


async def crash_and_finish(folder: Path, fatal: list[int], *, gateway: bool = False) -> Crashes:
    """Kill a run at each of these ticks in turn, then let it finish."""
    folder.mkdir()
    async with FakeApi(gateway=gateway) as api:
        bench = Crashes(folder, api)
        bench.prepare(ITEMS)
        for tick in fatal:
            await bench.run(tick)
            bench.check_ledger()
        await bench.finish(ITEMS)
        return bench


async def whole_run(folder: Path) -> tuple[int, float]:
    """How many ticks, and how many seconds after its imports, an undisturbed run has."""
    folder.mkdir()
    async with FakeApi() as api:
        bench = Crashes(folder, api)
        bench.prepare(ITEMS)
        async with bench.begun() as process:
            since = time.monotonic()
            code, said = await bench.ended(process)
        assert code == 0, said
        return int(said.rpartition("ticks=")[2]), time.monotonic() - since


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_run_killed_at_any_write_loses_nothing_and_buys_nothing_twice(tmp_path: Path, part: int) -> None:
    ticks, _ = await whole_run(tmp_path / "whole")
    assert ticks > 60
    every = range(1, ticks + 1)
    chosen = [*every[part::PARTS]] if LONG else random.Random(part).sample(every, 3)
    kills = [(await crash_and_finish(tmp_path / str(tick), [tick])).kills for tick in chosen]
    # Two workers race, so a run may have a tick or two fewer than the one that was counted.
    assert sum(kills) >= len(chosen) - 2


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_run_killed_over_and_over_still_ends_well(tmp_path: Path, part: int) -> None:
    rng = random.Random(part)
    kills = 0
    for number in range(ROUNDS):
        fatal = [rng.randint(1, 50) for _ in range(IN_A_ROW)]
        kills += (await crash_and_finish(tmp_path / str(number), fatal)).kills
    assert kills >= ROUNDS * IN_A_ROW // 2


@pytest.mark.parametrize("part", range(PARTS // 2))
async def test_a_run_killed_at_any_moment_from_outside_loses_nothing(tmp_path: Path, part: int) -> None:
    _, seconds = await whole_run(tmp_path / "whole")
    rng, kills = random.Random(part), 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with FakeApi() as api:
            bench = Crashes(folder, api)
            bench.prepare(ITEMS)
            for _ in range(IN_A_ROW):
                await bench.run_for(rng.uniform(0, seconds))
                bench.check_ledger()
            await bench.finish(ITEMS)
            kills += bench.kills
    assert kills > 0


@pytest.mark.parametrize("part", range(PARTS // 2))
async def test_where_creates_cannot_be_looked_for_a_kill_costs_at_most_what_is_counted(
    tmp_path: Path, part: int
) -> None:
    rng = random.Random(100 + part)
    kills = 0
    for number in range(ROUNDS):
        fatal = [rng.randint(1, 45) for _ in range(IN_A_ROW)]
        # finish() holds the bill against the items and the possible duplicates.
        kills += (await crash_and_finish(tmp_path / str(number), fatal, gateway=True)).kills
    assert kills >= ROUNDS * IN_A_ROW // 2


async def test_what_was_rejected_is_bought_once_more_and_no_oftener_whenever_that_is_killed(tmp_path: Path) -> None:
    rng, items = random.Random(9), 40 if LONG else 4
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api)
        bench.prepare(items)
        assert (await bench.run(0))[0] == 0
        made = dict(saved_lines(bench.out / "ledger.jsonl"))
        said = [Decided(item=f"{Path(n).stem}.jpg", verdict="rejected", output_sha256=made[n]) for n in made]
        Decisions(bench.out / "decisions.jsonl").append(said, "2027-01-01T00:00:00.000Z")
        bench.flags = ("--redo", "rejected")
        for _ in range(30 if LONG else 6):
            await bench.run(rng.randint(5, 400 if LONG else 45))
            bench.check_ledger()
        assert bench.kills > 0
        bench.flags = ()
        code, told = await bench.run(0)  # what was begun is ended without another word
        assert code == 0, told
        bench.flags = ("--redo", "rejected")
        for _ in range(2):
            code, told = await bench.run(0)
            assert code == 0, told
        bench.check_ledger()
        assert len(api.bill) == 2 * items


SHOPS = ("square", "tall", "grey")


async def test_several_pictures_of_each_prediction_are_all_there_after_any_kill_and_are_bought_once(
    tmp_path: Path,
) -> None:
    for name, text in zip(SHOPS, ("canvas = [40, 40]", "canvas = [20, 60]", "background = 'grey'"), strict=True):
        (tmp_path / f"{name}.toml").write_text(f"format = 'jpeg'\n{text}\n")
    flags = tuple(word for name in SHOPS for word in ("--preset", str(tmp_path / f"{name}.toml")))
    rng, items = random.Random(5), 200 if LONG else 4
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api, flags=flags)
        bench.prepare(items)
        for _ in range(30 if LONG else 4):
            await bench.run(rng.randint(20, 40 if not LONG else 2000))
            bench.check_ledger()
        code, said = await bench.run(0)
        assert code == 0, said
        bench.check_ledger()
        assert len(api.bill) == items
        made = sorted(path.relative_to(bench.out).as_posix() for path in bench.out.rglob("*.jpg"))
        assert made == sorted(f"{name}/{number}.jpg" for name in SHOPS for number in range(items))
        assert bench.kills > 0
        assert [*bench.out.rglob("*.tmp")] == []
