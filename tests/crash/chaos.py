"""One chaos run: a catalogue, a server in moods, and the real command, killed, suspended and put on again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from PIL import Image

from batch_removebg.storage.layout import STATE
from tests.crash.bench import ROOT, Crashes
from tests.crash.hurried import Hurry, peak
from tests.support.chaos_api import SHOP, ChaosApi, number_of, photo
from tests.support.long_report import LONG
from tests.support.oracle import replay

DEADLINE = 90
"""Real seconds for any one process: an hour of its own."""
ROUNDS = 5 if LONG else 3
"""Commands that are disturbed, before those that are left alone."""
CALM = 3
"""Commands within which everything has to end once it is calm."""


def kinds(dice: random.Random) -> list[dict[str, Any]]:
    """Three kinds of server: hosted, a gateway, and one with habits of its own."""
    lag, apart = dice.choice((0.0, 2.0, 8.0)), dice.random() < 0.5
    odd = {"undated": dice.random() < 0.5, "rewritten": dice.random() < 0.3, "page": dice.choice((5, 100))}
    return [{"lag": lag, "apart": apart}, {"gateway": True}, {"respelled": True, "lag": lag, "apart": apart, **odd}]


@contextlib.contextmanager
def own_disk(place: Path) -> Iterator[bool]:
    """A small file system at `place`, or False where it may not be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    try:
        mounted = os.name != "nt" and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


@dataclass
class Chaos:
    """A run that follows from a seed, as far as processes and sockets follow from anything."""

    folder: Path
    seed: int
    items: int = 14
    counts: Counter[str] = field(default_factory=Counter)
    """What `note` puts on record."""
    retried: int = 0
    """Commands that bought again what was refused for good."""
    log: list[str] = field(default_factory=list)
    """Each command's end, for whoever has to understand a failure."""

    async def run(self) -> None:
        """Do it all, and look at everything; raises AssertionError for what must not be."""
        self.dice = random.Random(self.seed)
        self.hurry = Hurry(speed=self.dice.choice((25.0, 40.0)) if LONG else 50.0)
        kind, as_data = kinds(self.dice)[self.seed % 3], self.dice.random() < 0.4
        as_data = as_data and "gateway" in kind
        self.api = ChaosApi(
            now=self.hurry.wall,
            dice=random.Random(self.seed),
            share=self.dice.uniform(0.1, 0.4),
            mixes=not as_data,
            **kind,
        )
        self._prepare(as_data)
        with own_disk(self.folder / "disk") as self.mounted:
            async with self.api:
                self.crashes = Crashes(self.folder, self.api, out=self.folder / "disk" / "out")
                try:
                    for _ in range(ROUNDS):
                        code = await self._command(disturbed=True)
                        self.crashes.check_ledger()
                        if code in (0, 3) and not self._unsaved() - self.api.reasons.keys():
                            break
                    await self._finish()
                except BaseException:
                    self._keep()
                    raise

    def _prepare(self, as_data: bool) -> None:
        """The catalogue: files, URLs or both, and one file twice; a few pictures are refused for good."""
        files = range(self.items if as_data else 0 if self.api.gateway else self.items // 2)
        (self.folder / "in").mkdir(parents=True)
        for number in files:
            (self.folder / "in" / f"{number}.jpg").write_bytes(photo(number))
        if files:
            (self.folder / "in" / "copy of 0.jpg").write_bytes(photo(0))
        urls = [SHOP.format(number) for number in range(len(files), self.items)]
        (self.folder / "list.txt").write_text("".join(f"{url}\n" for url in urls))
        self.inputs = [*(["in"] if files else []), *(["list.txt"] if urls else [])]
        for number in self.dice.sample(range(self.items), 2):
            said = self.dice.choice(("Input validation failed: picture {}", "cannot identify image file <{}>"))
            self.api.reasons[number] = said.format(number)

    def _keep(self) -> None:
        """Put aside what shows how it came to a failure, before the disk goes."""
        if self.crashes.out.exists():
            shutil.copytree(self.crashes.out, self.folder / "out", dirs_exist_ok=True)
        told = [f"{made.id} for {self.api.whose[made.id]}: {self.api.doomed.get(made.id)}" for made in self.api.bill]
        (self.folder / "log.txt").write_text("\n".join([f"seed {self.seed}", str(self.api.reasons), *told, *self.log]))

    # Commands

    async def _command(self, *, disturbed: bool) -> int:
        """One run of the command to its end, whatever that is; returns its exit code."""
        words = ["run", *self.inputs, "--out", str(self.crashes.out), "--base-url", self.api.base, "--deadline", "120"]
        words += ["--provider", "gateway" if self.api.gateway else "replicate"]
        words += ["--concurrency", str(self.dice.randint(2, 8))]
        if not disturbed or self.dice.random() < 0.4:
            words.append("--retry-failed")
            self.retried += 1
        async with self._begun(words) as process, anyio.create_task_group() as beside:
            if disturbed:
                beside.start_soon(self._disturb, process)
            code, said = await self.crashes.ended(process)
            beside.cancel_scope.cancel()
        self._unfill()
        self.counts["commands"] += 1
        self.counts["kills"] += code < 0
        if (found := said.rpartition("peak=")[2].strip()).isdigit():
            self._peak(int(found))
        self.log.append(f"{' '.join(words[-4:])}: {code}: {said[-1500:]}")
        assert code in (0, 3, 4, -signal.SIGKILL), said
        return code

    @contextlib.asynccontextmanager
    async def _begun(self, words: list[str]) -> AsyncIterator[Process]:
        off, now = (300.0, -300.0, 7200.0, -86400.0), self.hurry.monotonic()
        jumps = [(now + self.dice.uniform(0, 120), self.dice.choice(off)) for _ in range(self.dice.choice((0, 1, 2)))]
        self.counts["jumps"] += len(jumps)
        hurry = Hurry(self.hurry.speed, self.hurry.zero, tuple(sorted(jumps)))
        with anyio.fail_after(DEADLINE):
            async with await anyio.open_process(
                [sys.executable, str(ROOT / "tests/crash/hurried.py"), *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **hurry.told()},
            ) as process:
                try:
                    assert process.stdout is not None
                    assert (await process.stdout.receive()).startswith(b"begun")
                    yield process
                finally:
                    if process.returncode is None:
                        process.kill()

    async def _disturb(self, process: Process) -> None:
        """Do something to the run every now and then, until it is killed or has ended."""
        # Signals go by `os.kill`: asyncio's own way looks after the process first, and may take its exit code away.
        with contextlib.suppress(ProcessLookupError):
            await self._disturbing(process)

    async def _disturbing(self, process: Process) -> None:
        for _ in range(12):
            await anyio.sleep(self.dice.uniform(0.05, 0.9))
            match self.dice.choices(("kill", "suspend", "fill", "down", "outputs down"), (4, 3, 1, 1, 2))[0]:
                case "kill":
                    self._peak(peak(process.pid))
                    os.kill(process.pid, signal.SIGKILL)
                    return
                case "suspend":
                    self.counts["suspends"] += 1
                    os.kill(process.pid, signal.SIGSTOP)
                    try:
                        await anyio.sleep(self.dice.choice((0.1, 0.5, 2.0)))
                    finally:
                        os.kill(process.pid, signal.SIGCONT)
                case "fill" if self.mounted:
                    self.counts["fulls"] += 1
                    self._fill()
                    await anyio.sleep(self.dice.uniform(0.05, 0.5))
                    self._unfill()
                case "down":
                    self.api.down_until = self.hurry.wall() + self.dice.uniform(5, 60)
                case "outputs down":
                    self.api.outputs_down_until = self.hurry.wall() + self.dice.uniform(5, 100)

    def _fill(self) -> None:
        with contextlib.suppress(OSError), (self.folder / "disk" / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1 << 16))

    def _unfill(self) -> None:
        (self.folder / "disk" / "ballast").unlink(missing_ok=True)

    def _peak(self, kib: int) -> None:
        self.counts["peak"] = max(self.counts["peak"], kib // 1024)

    # What must hold

    def _results(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.crashes.out / "results.json").read_text())
        return loaded

    def _unsaved(self) -> set[int]:
        return {_number(item) for item in self._results()["items"] if item["status"] != "saved"}

    async def _finish(self) -> None:
        """Calm down, end it, and look at everything."""
        self.api.calm, code = True, 4
        for _ in range(CALM):
            code = await self._command(disturbed=False)
            if code in (0, 3) and self._unsaved() <= self.api.reasons.keys():
                break
        results, out = self._results(), self.crashes.out
        self._count(results)
        counts, items = self.counts, results["items"]
        assert code == (3 if any(item["status"] == "failed" for item in items) else 0), code
        assert counts["mixed"] == 0, [item for item in items if self._is_mixed(item)]
        for item in (item for item in items if item["status"] != "saved"):
            assert _number(item) in self.api.reasons, f"lost: {item}"
            assert self.api.reasons[_number(item)] in item["error"]["message"], f"not what the server said: {item}"
        assert len(items) == self.items + ("in" in self.inputs), len(items)
        assert counts["double"] == 0, f"bought again: {self._again()}; counted: {counts['possible_duplicates']}"
        assert counts["left"] == 0, "temporary files are left"
        assert self.api.foreign == [], self.api.foreign
        self.crashes.check_ledger()
        assert replay(out / "ledger.jsonl")[1] == (out / "ledger.jsonl").stat().st_size, "the ledger has a torn tail"
        written = {str(path.relative_to(out)) for path in out.rglob("*.png") if STATE not in path.parts}
        assert written == {item["output"] for item in items if item["output"]}, written

    def _count(self, results: dict[str, Any]) -> None:
        """Put on record what was lost, mixed up, left and bought."""
        counts, items, ledger = self.counts, results["items"], (self.crashes.out / "ledger.jsonl").read_bytes()
        counts["lost"] = sum(i["status"] != "saved" and _number(i) not in self.api.reasons for i in items)
        counts["mixed"] = sum(self._is_mixed(item) for item in items)
        counts["left"] = sum(path.name.endswith(".tmp") for path in self.folder.rglob("*"))
        counts["possible_duplicates"] = results["possible_duplicates"]
        # A failure says of these that the account has to be looked at before --retry-failed.
        counts["told"] = ledger.count(b'"kind":"lost-create"')
        allowed = counts["possible_duplicates"] + counts["told"]
        counts["double"] = max(0, sum(self._again().values()) - allowed)
        counts.update(runs=1, items=len(items), bill=len(self.api.bill), answers=self.api.given, wrong=self.api.wrong)

    def _again(self) -> dict[int, int]:
        """Predictions bought beyond one of use for each picture, by number."""
        useful = Counter(number for made, number in self.api.whose.items() if made not in self.api.doomed)
        # What the model refuses for good is bought once more by each --retry-failed.
        allowed = {number: 1 + self.retried * (number in self.api.reasons) for number in useful}
        return {number: count - allowed[number] for number, count in useful.items() if count > allowed[number]}

    def _is_mixed(self, item: dict[str, Any]) -> bool:
        if item["status"] != "saved":
            return False
        with Image.open(self.crashes.out / item["output"]) as made:
            return number_of(made) != (_number(item), _number(item))


def _number(item: dict[str, Any]) -> int:
    """Whose picture an item of results.json is."""
    return int(item["source"].partition(".jpg")[0].replace("copy of ", "").rpartition("/")[2])
