"""Kill -9 a run into a bucket, then resume on the same machine or on another: each item saved once, bought once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from pathlib import Path

import anyio
import pytest

from tests.crash.bench import DEADLINE, KILLED, ROOT
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

lease.SECONDS, segments.APART = 1.5, 0.1
assemble.LostPolicy = partial(recovery.LostPolicy, looks=(0.0,))  # this list is up to date
print("begun", flush=True)
sys.exit(run_command(sys.argv[1:]))
"""


async def command(folder: Path, api: FakeApi, state: str, seconds: float | None) -> tuple[int, str]:
    """The command's exit code and what it said; killed after so long from its first create on."""
    provider = "gateway" if api.gateway else "replicate"
    words = ["run", "in", "--out", "s3://shop/cutouts", "--state", state, "--provider", provider]
    words += ["--base-url", api.base, "--concurrency", "4", "--progress", "none"]
    with anyio.fail_after(DEADLINE):
        process = await anyio.open_process(
            [sys.executable, "-c", _VICTIM, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        async with process:
            before = len(api.requests)
            while seconds is not None and len(api.requests) == before and process.returncode is None:  # noqa: ASYNC110
                await anyio.sleep(0.02)
            if seconds is not None and process.returncode is None:
                await anyio.sleep(seconds)
                process.kill()
            assert process.stderr is not None
            said = b"".join([part async for part in process.stderr]).decode()
            return await process.wait(), said


@pytest.mark.parametrize("gateway", [False, True], ids=["hosted", "gateway"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same state", "empty state"])
async def test_a_run_killed_ten_times_saves_each_item_once_and_buys_no_second(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, gateway: bool
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_key")
    (tmp_path / "in").mkdir()
    for number in range(ITEMS):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(photo(30 + number, 20, (12 * number, 90, 200)))
    rng, kills = random.Random(f"{elsewhere}{gateway}"), 0
    async with FakeApi(gateway=gateway, polls=2) as api:
        for number in range(KILLS):
            state = f"state-{number}" if elsewhere else "state"
            code, said = await command(tmp_path, api, state, rng.uniform(0.0, 0.6))
            assert code in (KILLED, 0, 3), said
            kills += code == KILLED
        code, said = await command(tmp_path, api, "at last" if elsewhere else "state", None)
        assert code == 0, said
        bill = len(api.bill)
        code, said = await command(tmp_path, api, "and again", None)
        assert (code, len(api.bill)) == (0, bill), said
    results = json.loads((tmp_path / "and again/results.json").read_text())
    kept = {item["output"]: item["sha256"] for item in results["items"]}
    assert kept == {f"{n}.png": hashlib.sha256(s3.objects[f"cutouts/{n}.png"].data).hexdigest() for n in range(ITEMS)}
    assert len(s3.keys(".png")) == ITEMS
    assert kills >= KILLS // 2
    print(f"kills {kills}, bought {bill}, possible duplicates {results['possible_duplicates']}")
    assert ITEMS <= bill <= ITEMS + results["possible_duplicates"]
