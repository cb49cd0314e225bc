"""Kill -9 at any moment of a touch-up, then run: the picture is the edit's, or the edit isn't on record."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest
from PIL import Image

from tests.crash.bench import KILLED, LONG, ROOT, Crashes, FakeApi, saved_lines

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(1500)]


def touch_up(bench: Crashes, fatal: int) -> tuple[int, str]:
    """Erase all of the first picture, killed at this tick; exit code and what it said."""
    words = [sys.executable, str(ROOT / "tests/crash/victim.py"), str(fatal), "touch-up", str(bench.out), "0.jpg"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=bench.folder, env={"PYTHONPATH": str(ROOT)}
    )
    return done.returncode, done.stderr


def on_record(out: Path) -> bool:
    """Whether a whole line tells of the edit."""
    path = out / "decisions.jsonl"
    return path.exists() and any(
        json.loads(line)["alpha"] for line in path.read_text().splitlines(True) if line.endswith("\n")
    )


async def test_a_touch_up_killed_at_any_write_is_a_picture_after_the_next_run_or_not_on_record(tmp_path: Path) -> None:
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api)
        bench.prepare(1)
        assert (await bench.run(0))[0] == 0
        before, clean = (bench.out / "0.png").read_bytes(), tmp_path / "clean"
        shutil.copytree(bench.out, clean)
        code, said = await anyio.to_thread.run_sync(touch_up, bench, 0)
        assert (code, "made" in said) == (0, True), said
        ticks = int(said.rpartition("ticks=")[2])
        assert ticks > 15
        for tick in range(1, ticks + 1) if LONG else random.Random(1).sample(range(1, ticks + 1), 8):
            shutil.rmtree(bench.out)
            shutil.copytree(clean, bench.out)
            assert (await anyio.to_thread.run_sync(touch_up, bench, tick))[0] == KILLED
            edited = on_record(bench.out)
            code, said = await bench.run(0)
            assert code == 0, said
            picture = (bench.out / "0.png").read_bytes()
            assert saved_lines(bench.out / "ledger.jsonl")[-1] == ("0.png", hashlib.sha256(picture).hexdigest())
            with Image.open(bench.out / "0.png") as made:
                assert (made.getchannel("A").getextrema() == (0, 0)) is edited
            assert edited or picture == before
            assert [path for path in bench.out.rglob("*.tmp") if path.parent.name != "edits"] == []
        assert len(api.bill) == 1
