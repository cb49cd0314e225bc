"""Kill -9 a run into a bucket, then resume on the same machine or on another: each item saved once, bought once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import sys
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from tests.crash.bench import KILLED, ROOT
from tests.support.doubles import photo
from tests.support.fake_api import FakeApi
from tests.support.s3 import S3, s3

__all__ = ["s3"]
pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(600)]
ITEMS, KILLS = 20, 10
_VICTIM = """
import sys
from functools import partial
from batch_removebg.cli.main import run_command
from batch_removebg.providers import recovery
from batch_removebg.run import assemble
from batch_removebg.storage import lease, segments

lease.SECONDS, segments.APART = 5.0, 0.1
assemble.LostPolicy = partial(recovery.LostPolicy, looks=(0.0,))  # this list is up to date
print("begun", flush=True)
sys.exit(run_command(sys.argv[1:]))
"""


async def begun(folder: Path, api: FakeApi, state: str) -> Process:
    """The command, which has sent something to the API, or has ended."""
    provider, before = "gateway" if api.gateway else "replicate", len(api.requests)
    words = ["run", "in", "--out", "s3://shop/cutouts", "--state", state, "--provider", provider]
    words += ["--base-url", api.base, "--concurrency", "4", "--progress", "none"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await anyio.open_process([sys.executable, "-c", _VICTIM, *words], cwd=folder, env=env)
    while len(api.requests) == before and process.returncode is None:  # noqa: ASYNC110
        await anyio.sleep(0.02)
    return process


async def ended(process: Process, seconds: float | None = None) -> tuple[int, str]:
    """Its exit code and what it said; killed after so long."""
    with anyio.fail_after(60):
        async with process:
            if seconds is not None and process.returncode is None:
                await anyio.sleep(seconds)
                process.kill()
            assert process.stderr is not None
            said = b"".join([part async for part in process.stderr]).decode()
            return await process.wait(), said


def prepare(folder: Path, items: int) -> None:
    (folder / "in").mkdir()
    for number in range(items):
        (folder / "in" / f"{number}.jpg").write_bytes(photo(30 + number, 20, (12 * number, 90, 200)))


@pytest.mark.parametrize(
    ("elsewhere", "gateway"),
    [(False, False), (True, False), (True, True)],
    ids=["same state", "empty state", "empty state, gateway"],
)
async def test_a_run_killed_ten_times_saves_each_item_once_and_buys_no_second(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, gateway: bool
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_key")
    prepare(tmp_path, ITEMS)
    rng, kills = random.Random(f"{elsewhere}{gateway}"), 0
    async with FakeApi(gateway=gateway, polls=2) as api:
        for number in range(KILLS):
            state = f"state-{number}" if elsewhere else "state"
            code, said = await ended(await begun(tmp_path, api, state), rng.uniform(0.0, 0.6))
            assert code in (KILLED, 0, 3), said
            kills += code == KILLED
        code, said = await ended(await begun(tmp_path, api, "at last" if elsewhere else "state"))
        assert code == 0, said
        bill = len(api.bill)
        code, said = await ended(await begun(tmp_path, api, "and again"))
        assert (code, len(api.bill)) == (0, bill), said
    results = json.loads((tmp_path / "and again/results.json").read_text())
    kept = {item["output"]: item["sha256"] for item in results["items"]}
    assert kept == {f"{n}.png": hashlib.sha256(s3.objects[f"cutouts/{n}.png"].data).hexdigest() for n in range(ITEMS)}
    assert len(s3.keys(".png")) == ITEMS
    assert kills >= KILLS // 2
    print(f"kills {kills}, bought {bill}, possible duplicates {results['possible_duplicates']}")
    assert ITEMS <= bill <= ITEMS + results["possible_duplicates"]


async def test_a_driver_that_slept_through_its_lease_buys_nothing_and_its_lines_do_not_count(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_key")
    prepare(tmp_path, ITEMS)
    async with FakeApi(polls=2) as api:
        sleeper = await begun(tmp_path, api, "sleeper")
        await anyio.sleep(0.2)
        sleeper.send_signal(signal.SIGSTOP)
        code, said = await ended(await begun(tmp_path, api, "taker"))
        assert code == 0, said
        bill = len(api.bill)
        sleeper.send_signal(signal.SIGCONT)
        code, said = await ended(sleeper)
        assert (code in (4, 11), len(api.bill)) == (True, bill), said
        assert re.search("lease.json(: the lease can't be renewed| isn't ours any more)", said)
        code, said = await ended(await begun(tmp_path, api, "third"))
        assert (code, len(api.bill)) == (0, bill), said
    results = json.loads((tmp_path / "third/results.json").read_text())
    assert results["counts"]["saved"] == ITEMS <= bill <= ITEMS + results["possible_duplicates"]
