"""A run that is made to fail from outside, and what must hold afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from PIL import Image

from tests.doubles import photo
from tests.fake_api import FakeApi

ROOT = Path(__file__).parent.parent.parent
LONG = os.environ.get("BATCH_REMOVEBG_LONG") == "1"
KILLED = -9


@dataclass
class Crashes:
    """One catalogue, one API that keeps the bill, and a command that is killed again and again."""

    folder: Path
    api: FakeApi
    out: Path = Path()
    kills: int = 0

    def __post_init__(self) -> None:
        self.out = self.folder / "out" if self.out == Path() else self.out

    def prepare(self, items: int) -> None:
        (self.folder / "in").mkdir()
        for number in range(items):
            (self.folder / "in" / f"{number}.jpg").write_bytes(photo(30 + number, 20, (50 * number, 90, 200)))

    async def run(self, fatal: int) -> tuple[int, str]:
        """The command, killed at this tick; its exit code and what it said."""
        words = ["run", "in", "--out", str(self.out), "--provider", "replicate", "--base-url", self.api.base]
        victim = [sys.executable, str(ROOT / "tests/crash/victim.py"), str(fatal)]
        with anyio.fail_after(60):
            done = await anyio.run_process(
                [*victim, *words, "--concurrency", "2"],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=False,
            )
        self.kills += done.returncode == KILLED
        return done.returncode, done.stderr.decode()

    def check_ledger(self) -> None:
        """Invariant 1 after any crash: what a `saved` line names is there, and is what it says."""
        ledger = self.out / "ledger.jsonl"
        for line in ledger.read_bytes().splitlines() if ledger.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the torn tail
            if entry["event"] == "saved":
                data = (self.out / entry["output"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == entry["sha256"]

    async def finish(self, items: int) -> None:
        """Resume to the end, and look at everything."""
        code, said = await self.run(0)
        assert code == 0, said
        self.check_ledger()
        results: dict[str, Any] = json.loads((self.out / "results.json").read_text())
        assert results["counts"] == {"total": items, "saved": items, "failed": 0, "pending": 0}
        assert len(self.api.bill) == items, f"{len(self.api.bill)} predictions were billed for {items} items"
        assert results["possible_duplicates"] == 0
        assert [p for p in self.out.rglob("*") if p.name.endswith(".tmp")] == []
        pictures = sorted(p.name for p in self.out.glob("*.png"))
        assert pictures == sorted(f"{number}.png" for number in range(items))
        for number in range(items):
            with (
                Image.open(self.out / f"{number}.png") as picture,
                Image.open(self.folder / f"in/{number}.jpg") as source,
            ):
                assert picture.size == source.size == (30 + number, 20)
                assert picture.convert("RGB").getpixel((5, 5)) == source.getpixel((5, 5))
