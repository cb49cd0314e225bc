"""Every fault at once, by dice: each item ends under its own picture, or failed for a reason that the server gave.

The bill is one prediction an item, beside what the server has spoilt and what is counted as possible duplicates.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path

import anyio
import pytest

from tests.crash.chaos import Chaos
from tests.support.long_report import LONG, note

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

SECONDS = float(os.environ.get("BATCH_REMOVEBG_CHAOS", "1800"))
SEED = os.environ.get("BATCH_REMOVEBG_SEED")
LANES = 4
MOST_MEMORY = 150
"""MiB that no command may need, however long it runs and whatever it meets."""


async def broken(folder: Path, seed: int) -> str:
    """What was wrong with the run of that seed; empty: nothing."""
    chaos = Chaos(folder, seed, items=(14, 30, 60)[seed // 3 % 3] if LONG else 14)
    try:
        await chaos.run()
        assert chaos.counts["peak"] < MOST_MEMORY, f"{chaos.counts['peak']} MiB"
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        return f"seed {seed}: {error!r}\nSee {folder}/log.txt, and {folder}/out"
    else:
        shutil.rmtree(folder)
        return ""
    finally:
        note("chaos", f"seed {seed}", **chaos.counts)


@pytest.mark.skipif(LONG, reason="new seeds are tried instead")
@pytest.mark.parametrize("seed", range(5) if SEED is None else [int(SEED)])
async def test_whatever_goes_wrong_each_item_ends_as_itself_and_is_paid_for_once(tmp_path: Path, seed: int) -> None:
    assert not (wrong := await broken(tmp_path / "chaos", seed)), wrong


@pytest.mark.skipif(not LONG, reason="takes half an hour")
@pytest.mark.timeout(SECONDS + 200)
async def test_in_a_long_chaos_nothing_is_lost_mixed_up_or_bought_twice(tmp_path: Path) -> None:
    until, found = time.monotonic() + SECONDS, list[str]()
    seeds = itertools.count(int(SEED or time.time_ns() // 1000 % 10**9))

    async def lane() -> None:
        while time.monotonic() < until:
            seed = next(seeds)
            if wrong := await broken(tmp_path / str(seed), seed):
                print(wrong, flush=True)
                found.append(wrong.splitlines()[0])

    async with anyio.create_task_group() as lanes:
        for _ in range(LANES):
            lanes.start_soon(lane)
    assert not found, "\n".join(found)
