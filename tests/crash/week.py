"""A week of `watch` in minutes: `week.py DAYS [FILE]`; prints how much memory it takes, and writes that to a file.

The loop, its runs, the client and the system's hints are the real ones; time passes whenever nobody has anything to do.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from PIL import Image

from batch_removebg.__main__ import save_memory
from batch_removebg.events import Event, Kind
from batch_removebg.run.hints import Wake, system
from batch_removebg.run.settings import Settings
from batch_removebg.run.watch import watch
from tests.support.doubles import FakeClock, photo
from tests.support.fake_api import FakeApi

HOUR, DAY = 3600.0, 86_400.0
OPEN = range(8, 18)
"""Hours of a day in which pictures come."""
BURST, FOLDER = 24, 6
"""Pictures that come at once, and those in a folder that is moved in."""
MORE = 12.0
"""MiB that the last day may take beyond the first."""


@dataclass
class Week:
    """A folder that pictures come to, and what must have become of them."""

    folder: Path
    days: int
    burst: int = BURST
    memory: list[float] = field(default_factory=list)
    """MiB in each hour."""
    saved: list[int] = field(default_factory=list)
    """Pictures by then."""
    counts: Counter[str] = field(default_factory=Counter)
    made: dict[str, int] = field(default_factory=dict)
    """The number of the picture that each name shows."""
    wanted: Counter[str] = field(default_factory=Counter)
    """How often each name has to be saved."""
    deaf: bool = False

    def __post_init__(self) -> None:
        self.photos, self.out, self.dice = self.folder / "photos", self.folder / "out", random.Random(1)
        self.time, self.before = FakeClock(idle=0.02), list[str]()
        self._write(self.photos, "first.jpg")  # an empty folder is looked at each 5 s

    async def run(self) -> None:
        """All of it; raises AssertionError where something was lost, or bought twice."""
        async with FakeApi(now=lambda: self.time.now) as self.api:
            settings = Settings(out=self.out, provider="replicate", base_url=self.api.base, concurrency=8)
            async with anyio.create_task_group() as beside:
                how = {"say": self._say, "listener": self._hear, "hints": self._hints, "clock": self.time.clock}
                beside.start_soon(lambda: watch([str(self.photos)], settings, **how))
                for day in range(self.days):
                    await self._day(day)
                beside.cancel_scope.cancel()
        self._check()

    async def _day(self, day: int) -> None:
        self.before = sorted(self.made)
        for hour in range(24):
            if (day, hour) == (self.days // 2, 12):
                await self.api.stop()
            self.deaf = day == self.days - 2 and hour in (10, 14)
            begun = self.time.now
            if hour in OPEN:
                await self._arrivals(day, hour)
            await self.time.sleep(begun + HOUR - self.time.now)
            if (day, hour) == (self.days // 2, 12):
                await self.api.start()
            self._note()

    async def _arrivals(self, day: int, hour: int) -> None:
        """A burst, what is replaced and deleted, and a folder that is moved in."""
        await self.time.sleep(self.dice.uniform(60, 900))
        for number in range(self.burst):
            self._write(self.photos, f"{day}/{hour}-{number}.jpg")
        await self.time.sleep(self.dice.uniform(60, 900))
        if len(self.before) > 2:
            self._write(self.photos, self.before.pop(self.dice.randrange(len(self.before))))
            gone = self.before.pop(self.dice.randrange(len(self.before)))
            (self.photos / gone).unlink()
        if hour % 3 == 0:
            aside = self.folder / f"{day}-{hour}"
            for number in range(FOLDER):
                self._write(aside, f"{number}.jpg", shown=f"{day}-{hour}/{number}.jpg")
            aside.rename(self.photos / aside.name)

    def _write(self, folder: Path, name: str, shown: str = "") -> None:
        number = self.counts["pictures"]
        self.counts["pictures"] += 1
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo(*_size(number)))
        self.made[shown or name] = number
        self.wanted[shown or name] += 1

    def _say(self, text: str) -> None:
        self.counts["passes"] += " saved, " in text
        print(f"hour {len(self.memory):3}: {text}", flush=True)

    def _hear(self, event: Event) -> None:
        self.counts["saved"] += event.count if event.kind is Kind.SAVED else 0

    async def _hints(self, places: Sequence[Path], out: Path, wake: Wake, stop: anyio.Event) -> None:
        await system()(places, out, lambda path: None if self.deaf else wake(path), stop)

    def _note(self) -> None:
        """Record the memory, without what the double of the API and the clock remember."""
        self.counts["bought"] += len(self.api.bill)
        for kept in (self.api.bill, self.api.requests, self.api.uploads, self.time.slept):
            kept.clear()
        status = Path("/proc/self/status").read_text()
        self.memory.append(next(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmRSS" in line))
        self.saved.append(self.counts["saved"])

    def _check(self) -> None:
        lines = map(json.loads, (self.out / "ledger.jsonl").read_text().splitlines())
        assert Counter(line["item"] for line in lines if line["event"] == "saved") == self.wanted
        assert self.counts["bought"] == self.counts["pictures"]
        for name, number in self.made.items():
            with Image.open((self.out / name).with_suffix(".png")) as picture:
                assert picture.size == _size(number), name

    def check_memory(self) -> None:
        """Raise AssertionError where the last day took more than the first."""
        assert max(self.memory[-24:]) <= max(self.memory[:24]) + MORE, self.table()

    def told(self) -> str:
        """What the table is of."""
        pictures, passes, bought = (self.counts[name] for name in ("pictures", "passes", "bought"))
        out, last = self.days // 2 + 1, self.days - 1
        return f"""# {self.days} days of `watch`

`make test-week` lets the loop watch a folder by a clock that moves on whenever there is nothing to do, by the system's
own hints. {pictures} pictures came in {passes} passes: from 8:00 to 18:00 {self.burst} at once each hour,
and each third {FOLDER} more in a folder that was moved in; from day 2 on, one was replaced and one deleted each hour.
On day {out} the API was down from 12:00 to 13:00, and on day {last} what the system tells was lost for two hours. Each
picture was saved once, and {bought} predictions were bought. Memory is the process's (RSS), with the double of
the API in it, but without the processes that decode pictures.
"""

    def table(self) -> str:
        """Half a day in a row."""
        rows = ["| day | until | saved | memory, MiB: highest | at the end |", "|---|---|---|---|---|"]
        for end in range(12, len(self.memory) + 1, 12):
            some, day = self.memory[end - 12 : end], (end - 1) // 24 + 1
            until = "24:00" if end % 24 == 0 else "12:00"
            rows.append(f"| {day} | {until} | {self.saved[end - 1]} | {max(some):.1f} | {some[-1]:.1f} |")
        return "\n".join(rows)


def _size(number: int) -> tuple[int, int]:
    return 24 + number % 96, 24 + number // 96


def main() -> None:
    os.environ["REPLICATE_API_TOKEN"] = "r8_none"
    save_memory()
    days, *files = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        week = Week(Path(folder), int(days))
        anyio.run(week.run)
    print(week.table())
    for file in files:
        Path(file).write_text(f"{week.told()}\n{week.table()}\n")
    week.check_memory()


if __name__ == "__main__":
    main()
