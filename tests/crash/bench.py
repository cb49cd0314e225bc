"""A run that is made to fail from outside, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from PIL import Image

from tests.support.doubles import photo
from tests.support.fake_api import FakeApi
from tests.support.long_report import LONG, note

__all__ = ["KILLED", "LONG", "Crashes", "FakeApi"]

ROOT = Path(__file__).parent.parent.parent
KILLED = -9


@dataclass
class Crashes:
    """One catalogue, one API that keeps the bill, and a command that is killed again and again."""

    folder: Path
    api: FakeApi
    out: Path = Path()
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    deadline: float = 60.0
    """Seconds for any one process, on a busy machine."""
    kills: int = 0
    torn: int = 0
    codes: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.out = self.folder / "out" if self.out == Path() else self.out

    def prepare(self, items: int) -> None:
        (self.folder / "in").mkdir()
        for number in range(items):
            (self.folder / "in" / f"{number}.jpg").write_bytes(photo(30 + number, 20, (50 * number % 256, 90, 200)))

    @contextlib.asynccontextmanager
    async def begun(self, fatal: int = 0) -> AsyncIterator[Process]:
        """The command, running: its imports are done, and nothing else."""
        provider = "gateway" if self.api.gateway else "replicate"
        words = ["run", "in", "--out", str(self.out), "--provider", provider, "--base-url", self.api.base]
        victim = [sys.executable, str(ROOT / "tests/crash/victim.py"), str(fatal)]
        with anyio.fail_after(self.deadline):
            process = await anyio.open_process(
                [*victim, *words, "--concurrency", "2", *self.flags],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.env},
            )
            async with process:
                try:
                    assert process.stdout is not None
                    assert (await process.stdout.receive()).startswith(b"begun")
                    yield process
                finally:
                    if process.returncode is None:
                        process.kill()

    async def ended(self, process: Process) -> tuple[int, str]:
        """Its exit code and what it said, once it has ended."""
        assert process.stderr is not None
        said = b"".join([part async for part in process.stderr])
        code = await process.wait()
        self.kills += code == KILLED
        self.codes[code] += 1
        return code, said.decode()

    async def run(self, fatal: int) -> tuple[int, str]:
        """The command, killed at this tick."""
        async with self.begun(fatal) as process:
            return await self.ended(process)

    async def run_for(self, seconds: float) -> int:
        """The command, killed from outside after so long; its exit code, which tells if it was quicker."""
        async with self.begun() as process:
            await anyio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return (await self.ended(process))[0]

    def check_ledger(self) -> None:
        """Invariant 1 after any crash: what a `saved` line names is there, and is what it says."""
        wrong = [
            output
            for output, digest in saved_lines(self.out / "ledger.jsonl")
            if not (self.out / output).is_file()
            or hashlib.sha256((self.out / output).read_bytes()).hexdigest() != digest
        ]
        self.torn += len(wrong)
        assert wrong == []

    async def finish(self, items: int) -> dict[str, Any]:
        """Resume to the end, put on record what was lost, and look at everything; returns results.json."""
        code, said = await self.run(0)
        results: dict[str, Any] = json.loads((self.out / "results.json").read_text()) if code in (0, 3, 4) else {}
        allowed = items + results.get("possible_duplicates", 0)
        left = [p for p in self.out.rglob("*") if p.name.endswith(".tmp")]
        spoilt = [number for number in range(items) if not self._whole(number)]
        note(
            "crash",
            kills=self.kills,
            lost=items - results.get("counts", {}).get("saved", 0),
            double=max(0, len(self.api.bill) - allowed),
            torn=self.torn + len(spoilt),
            left=len(left),
            possible_duplicates=results.get("possible_duplicates", 0),
        )
        assert code == 0, said
        self.check_ledger()
        assert results["counts"] == {"total": items, "saved": items, "failed": 0, "pending": 0}
        assert items <= len(self.api.bill) <= allowed, f"{len(self.api.bill)} predictions were billed, not {allowed}"
        if not self.api.gateway:
            # A run killed between sending again and looking at the list once more leaves the doubt on record.
            assert len(self.api.bill) == items
        assert left == []
        assert spoilt == []
        assert sorted(p.name for p in self.out.glob("*.png")) == sorted(f"{number}.png" for number in range(items))
        return results

    def _whole(self, number: int) -> bool:
        """Whether the picture is there, whole, and made from the photograph of that name."""
        try:
            with (
                Image.open(self.out / f"{number}.png") as picture,
                Image.open(self.folder / f"in/{number}.jpg") as source,
            ):
                right = picture.convert("RGB").getpixel((5, 5)) == source.getpixel((5, 5))
                return right and picture.size == source.size == (30 + number, 20)
        except OSError:
            return False


def saved_lines(ledger: Path) -> list[tuple[str, str]]:
    """(output, sha256) of every whole `saved` line; read anew here, not by the program that is tested."""
    found = []
    for line in ledger.read_bytes().split(b"\n") if ledger.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the torn tail
        if entry["event"] == "saved":
            found += [(one["output"], one["sha256"]) for one in (entry, *entry.get("outputs", ()))]
    return found
