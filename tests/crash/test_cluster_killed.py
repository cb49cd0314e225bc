"""Kill -9 a run whose workers are Ray's actors, at any moment, then resume: as `test_killed`, and nobody is left."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from anyio.abc import Process

from tests.crash.bench import LONG, Crashes, saved_lines
from tests.support.fake_api import FakeApi

pytest.importorskip("ray", reason="pip install 'ray>=2.50' brings what this needs")
pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(3000)]
ITEMS, KILLS, ACTORS = (2000, 50, 4) if LONG else (60, 4, 2)
GONE = 15.0  # seconds within which a killed run's cluster ends
_FOLDER = re.compile(rb"/tmp/ray\w{8}(?=/)")  # of a cluster of a run's own
_ACTOR = re.compile(rb"ray::Actor")


def lines(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def left(mark: str) -> list[int]:
    """The processes that descend from runs with that mark in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def seen(mark: str, what: re.Pattern[bytes]) -> list[bytes]:
    """What of the kind the command lines of those processes have."""
    found = []
    for pid in left(mark):
        with suppress(OSError):
            found += what.findall(Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


async def all_gone(mark: str) -> float:
    """Seconds until no process of those runs is left."""
    since = time.monotonic()
    while left(mark):
        assert time.monotonic() - since < GONE, f"{len(left(mark))} processes are left"
        await anyio.sleep(0.1)
    return time.monotonic() - since


async def grown(ledger: Path, fatal: int, process: Process) -> None:
    """Wait until the ledger has so many lines."""
    while lines(ledger) < fatal and process.returncode is None:  # noqa: ASYNC110  # another process writes it
        await anyio.sleep(0.02)


async def test_a_run_with_a_cluster_killed_over_and_over_loses_nothing_and_leaves_nobody(tmp_path: Path) -> None:
    rng, mark, longest = random.Random(7), f"run-{uuid4()}", 0.0
    folders, most = set[bytes](), 0
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api, flags=("--workers", "ray", "--concurrency", "64", "--fetch-sources"))
        (bare := tmp_path / "bare").mkdir()  # as on a machine where no Ray has run
        bench.env, bench.deadline = {"MARK": mark, "CORES": str(ACTORS), "TMPDIR": str(bare)}, 600.0
        bench.prepare(ITEMS)
        ledger = bench.out / "ledger.jsonl"
        for _ in range(KILLS):
            async with bench.begun() as process:
                fatal = lines(ledger) + rng.randint(1, 3 * ITEMS // KILLS)
                await grown(ledger, fatal, process)
                folders |= {*seen(mark, _FOLDER)}
                most = max(most, len(seen(mark, _ACTOR)))
                with suppress(ProcessLookupError):
                    process.kill()
                await bench.ended(process)
            longest = max(longest, await all_gone(mark))
            bench.check_ledger()
        results = await bench.finish(ITEMS)
        await all_gone(mark)
    assert (bench.kills, most) == (KILLS, ACTORS)
    assert (len(folders) > 0, [folder for folder in folders if Path(folder.decode()).exists()]) == (True, [])
    assert not (bench.out / ".batch-removebg/spool").exists()
    assert set(Counter(name for name, _ in saved_lines(ledger)).values()) == {1}
    figures = {"kills": KILLS, "actors": most, "clusters": len(folders), "billed": len(api.bill), "gone_after": longest}
    print(json.dumps({**figures, "counts": results["counts"]}))
