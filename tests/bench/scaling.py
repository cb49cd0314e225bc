"""How far one driver goes: its images a second with 1 … 64 actors, what bounds it, and the plot of both.

The driver, Ray and the ledger are real. What actors do with pixels and storage is replaced by sleeps, drawn anew for
each call around the times that one core took for 2400 px photos (`TIMES`): so 64 actors fit on two cores.
Where more actors give no more, the driver is the limit; that is looked for again with sleeps of nearly nothing.

    python -P -m tests.bench.scaling [--actors 1 2 4 …] [--seconds 20]     all of it, into results/scaling.{json,svg}
    python -P -m tests.bench.scaling --sleeps 0.001 0.001 0.001 …          one table, printed alone
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batch_removebg.__main__ import save_memory
from batch_removebg.finish.options import Finished
from batch_removebg.imaging.probe import Measured
from batch_removebg.resources import cores
from batch_removebg.run import batch
from batch_removebg.run.settings import Settings
from batch_removebg.storage.spool import Spooled
from batch_removebg.workers import remote
from batch_removebg.workers.base import Read
from batch_removebg.workers.ray_pool import RayPool

RESULTS = Path(__file__).parent / "results"
TIMES = {"fast": (0.012, 0.112, 0.092), "good": (0.012, 0.181, 0.137)}
"""Look, cut, make: seconds of one core. Sums and networks (cut) were measured; how the rest is divided is a guess."""
SPREAD = 0.25  # of the logarithm
LIMIT = (0.001, 0.001, 0.001)  # the same where the driver's limit is looked for
MANY = (2, 4, 8)  # with so many actors
_QUICK = "BENCH_SLEEPS"  # for the actors: the three times
_BUSY = 0.85  # of a thread's or the cores' time: there is hardly more
_DRIVER, _THREADS, _ACTORS, _REST = "driver's loop", "its other threads", "actors", "rest of Ray"
_OTHERS = "other programs"


def _sleep(nth: int) -> None:
    median = float(os.environ[_QUICK].split()[nth])
    time.sleep(random.lognormvariate(0, SPREAD) * median)


def look(place: remote.Place, item: Any, known: Any) -> Read:
    """Stands for reading, hashing and measuring."""
    _sleep(0)
    measured = Measured(2400, 2400, 5 * 2400**2, ())
    return Read(remote.Source(item.path, hashlib.sha256(str(item.path).encode()).hexdigest(), 1 << 20, measured))


def made(place: remote.Place, source: Any, alpha: Any, wanted: Any) -> list[Finished]:
    """Stands for the network, for keeping its alpha, and for the pictures, each of one byte."""
    assert isinstance(alpha, remote.Cut)
    _sleep(1)
    _sleep(2)
    return [Finished(Spooled.of(place.spool, b"."), 2400, 2400) for _ in wanted]


def used(place: remote.Place) -> str:
    """Stands for a network that is loaded."""
    return "simulated"


def spent() -> Counter[str]:
    """Seconds of CPU so far, by who took them: parts of the run, and all else on this machine."""
    tick, took, below = os.sysconf("SC_CLK_TCK"), Counter[str](), dict[int, tuple[int, str, float]]()
    for process in filter(str.isdecimal, (path.name for path in Path("/proc").iterdir())):
        with contextlib.suppress(OSError):
            below[int(process)] = _stat(f"/proc/{process}/stat", tick)
    own = {os.getpid()}
    while more := {process for process, (parent, *_) in below.items() if parent in own} - own:
        own |= more
    for process in own - {os.getpid()}:
        _, name, seconds = below[process]
        took[_ACTORS if name.startswith("ray::Actor") else _REST] += seconds
    took[_DRIVER] = _stat(f"/proc/self/task/{os.getpid()}/stat", tick)[2]
    took[_THREADS] = below[os.getpid()][2] - took[_DRIVER]
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    took[_OTHERS] = (user + nice + system) / tick - sum(took.values())
    return took


def _stat(path: str, tick: int) -> tuple[int, str, float]:
    """A process' or thread's parent, name, and seconds of CPU."""
    name, _, rest = Path(path).read_text().rpartition(")")
    fields = rest.split()
    return int(fields[1]), name.partition("(")[2], (int(fields[11]) + int(fields[12])) / tick


@contextlib.contextmanager
def cluster(actors: int, sleeps: tuple[float, ...]) -> Iterator[str]:
    """The address of a real cluster with room for so many actors, which sleep instead of working."""
    from ray.cluster_utils import Cluster

    os.environ[_QUICK] = " ".join(map(str, sleeps))
    args = {"num_cpus": actors, "include_dashboard": False, "object_store_memory": 80_000_000}
    made_of = Cluster(initialize_head=True, head_node_args=args)
    try:
        yield made_of.address
    finally:
        made_of.shutdown()


class Watched:
    """A pool that notes when each call was answered, from when all its actors are there until most are done."""

    def __init__(self, pool: Any, actors: int, calls: int) -> None:
        self._pool, self._actors, self._most = pool, actors, calls * 9 // 10
        self.close, self.hurry = pool.close, pool.hurry
        self.answered = 0
        self.done: list[tuple[float, int]] = []
        self.spent: list[Counter[str]] = []  # by then, at the begin and at the end

    @property
    def at_once(self) -> int:
        return self._pool.at_once

    async def isolated(self, seconds: float, function: Any, *args: Any) -> Any:
        return self._noted(function, await self._pool.isolated(seconds, function, *args))

    async def together(self, seconds: float, function: Any, *args: Any) -> Any:
        return self._noted(function, await self._pool.together(seconds, function, *args))

    def _noted(self, function: Any, result: Any) -> Any:
        if function in (look, made):
            self.answered += 1
            if not self.spent and self._pool.at_once >= self._actors:
                self.spent.append(spent())
            if len(self.spent) == 1:
                self.done.append((time.monotonic(), (look, made).index(function)))
                if self.answered >= self._most:
                    self.spent.append(spent())
        return result

    def row(self, sleeps: Sequence[float], linear: float) -> dict[str, Any]:
        """Images a second: work done by the work of an image, and who took how much CPU for one."""
        works = sleeps[0], sum(sleeps[1:])
        seconds, images = self.done[-1][0] - self.done[0][0], sum(works[nth] for _, nth in self.done[1:]) / sum(works)
        took = self.spent[1] - self.spent[0]
        busy = {who: round(1000 * took[who] / images, 2) for who in (_DRIVER, _THREADS, _ACTORS, _REST)}
        bound = "the actors"
        if sum(took.values()) > _BUSY * cores() * seconds:
            bound = f"the {cores()} cores, of which others took {took[_OTHERS] / sum(took.values()):.0%}"
        elif took[_DRIVER] > _BUSY * seconds:
            bound = "the driver's loop, which has one core"
        elif images < _BUSY * linear * seconds:
            bound = "waits between driver and actors"
        rate = images / seconds
        return {"rate": round(rate, 1), "linear": round(linear, 1), "cpu": busy, "bound": bound}


def run(actors: int, sleeps: tuple[float, ...], seconds: float) -> dict[str, Any]:
    """A row of the table."""
    linear = actors / (sum(sleeps) * math.exp(SPREAD**2 / 2))
    count = int(min(linear, 500) * seconds) + 8 * actors
    pools = list[Watched]()

    @contextlib.asynccontextmanager
    async def opened(address: str, *, version: str, gpus: float, load: Any) -> AsyncIterator[Watched]:
        place, token, _ = load.args
        begin = partial(remote.ready, replace(place, load=None), token, None)  # no network is loaded
        async with RayPool.opened(address, version=version, gpus=gpus, load=begin) as pool:
            pools.append(Watched(pool, actors, 2 * count))
            yield pools[-1]

    remote.RayPool = argparse.Namespace(opened=opened)  # type: ignore[misc,assignment]
    with tempfile.TemporaryDirectory() as place, cluster(actors, sleeps) as address:
        photos = Path(place, "photos")
        photos.mkdir()
        for number in range(count):
            (photos / f"{number:06}.jpg").write_bytes(b"%d" % number)
        summary = anyio.run(partial(batch.run, [str(photos)], Settings(out=Path(place, "out"), workers=address)))
    assert summary.saved == count, summary
    return {"actors": actors, "items": count, **pools[0].row(sleeps, linear)}


def table(actors: Sequence[int], sleeps: tuple[float, ...], seconds: float) -> list[dict[str, Any]]:
    """A row for each number of actors, printed as it comes."""
    parts = (_DRIVER, _THREADS, _ACTORS, _REST)
    heads = ["actors", "items", "images/s", "linear", "of linear", *(f"{part}, ms" for part in parts), "bounded by"]
    _print(heads)
    _print(["---"] * len(heads))
    rows = []
    for many in actors:
        rows.append(row := run(many, sleeps, seconds))
        of_linear = f"{row['rate'] / row['linear']:.0%}"
        busy = [row["cpu"][part] for part in parts]
        _print([many, row["items"], row["rate"], row["linear"], of_linear, *busy, row["bound"]])
    return rows


def _print(cells: Sequence[object]) -> None:
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables and, if none was chosen, write them and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sleeps", type=float, nargs=3, help="look, cut, make: this table alone")
    args = parser.parse_args()
    save_memory()  # as the program does
    remote.look, remote.made, remote.used = look, made, used  # type: ignore[assignment]
    if args.sleeps:
        table(args.actors, tuple(args.sleeps), args.seconds)
        return
    results = {"sleeps": TIMES["good"], "real": table(args.actors, TIMES["good"], args.seconds)}
    sys.stdout.write("\nThe driver's limit, with sleeps of 1 ms:\n\n")
    results["limit"] = table(MANY, LIMIT, args.seconds)
    (RESULTS / "scaling.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    from tests.bench import plots

    plots.draw({"scaling": {"series": results}}, RESULTS)


if __name__ == "__main__":
    # By its own name, so that actors find the functions.
    from tests.bench import scaling

    scaling.main()
