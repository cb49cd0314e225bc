"""How far one driver goes: its images a second with 1 … 64 actors, and what 10⁹ pictures would take.

The driver, Ray and the ledger are real. What actors do with pixels and storage is replaced by sleeps, drawn anew for
each call around the times that one core took for 2400 px photos (`TIMES`): so 64 actors fit on two cores.
Where more actors give no more, the driver is the limit; that is looked for again with sleeps of nearly nothing.

    python -P -m tests.bench.scaling [--actors 1 2 4 …] [--seconds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batch_removebg.finish.options import Finished
from batch_removebg.imaging.probe import Measured
from batch_removebg.run import batch
from batch_removebg.run.settings import Settings
from batch_removebg.storage.spool import Spooled
from batch_removebg.workers import remote
from batch_removebg.workers.base import Read
from batch_removebg.workers.ray_pool import RayPool

TIMES = {"fast": (0.012, 0.112, 0.092), "good": (0.012, 0.181, 0.137)}
"""Look, cut, make: seconds of one core. Sums and networks (cut) were measured; how the rest is divided is a guess."""
SPREAD = 0.25  # of the logarithm
_QUICK = "BENCH_SLEEPS"  # for the actors: the three times


def _sleep(nth: int) -> None:
    median = float(os.environ[_QUICK].split()[nth])
    time.sleep(random.lognormvariate(0, SPREAD) * median)


def look(place: remote.Place, item: Any, known: Any) -> Read:
    """Stands for reading, hashing and measuring."""
    _sleep(0)
    measured = Measured(2400, 2400, 5 * 2400**2, ())
    return Read(remote.Source(item.path, hashlib.sha256(str(item.path).encode()).hexdigest(), 1 << 20, measured))


def cut(place: remote.Place, load: Any, asked: bytes) -> remote.Found:
    """Stands for the network, and for keeping its alpha."""
    _sleep(1)
    return place.alpha("")


def made(place: remote.Place, source: Any, alpha: Any, wanted: Any) -> list[Finished]:
    """Stands for the pictures, each of one byte."""
    _sleep(2)
    return [Finished(Spooled.of(place.spool, b"."), 2400, 2400) for _ in wanted]


def used(place: remote.Place, load: Any) -> str:
    """Stands for a network that is loaded."""
    return "simulated"


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
    """A pool that notes when each call was answered, and since when all its actors are there."""

    def __init__(self, pool: Any, actors: int) -> None:
        self._pool, self._actors = pool, actors
        self.close, self.hurry = pool.close, pool.hurry
        self.whole = math.inf
        self.done: list[tuple[float, int]] = []

    @property
    def at_once(self) -> int:
        return self._pool.at_once

    async def isolated(self, seconds: float, function: Any, *args: Any) -> Any:
        result = await self._pool.isolated(seconds, function, *args)
        if function in (look, cut, made):
            if self.whole == math.inf and self._pool.at_once >= self._actors:
                self.whole = time.monotonic()
            self.done.append((time.monotonic(), (look, cut, made).index(function)))
        return result

    def rate(self, sleeps: Sequence[float], calls: int) -> float:
        """Images a second: work done, from when all actors were there until the last tenth, by the work of an image."""
        work = [(at, sleeps[nth]) for at, nth in self.done[: calls * 9 // 10] if at > self.whole]
        return sum(its for _, its in work[1:]) / sum(sleeps) / (work[-1][0] - work[0][0])


def run(actors: int, sleeps: tuple[float, ...], seconds: float) -> list[str]:
    """A row of the table."""
    linear = actors / (sum(sleeps) * math.exp(SPREAD**2 / 2))
    count = int(min(linear, 500) * seconds) + 8 * actors
    pools = list[Watched]()

    @contextlib.asynccontextmanager
    async def opened(address: str, *, version: str, gpus: float, load: Any) -> AsyncIterator[Watched]:
        begin = partial(remote.ready, *load.args[:2], None)  # no network is loaded
        async with RayPool.opened(address, version=version, gpus=gpus, load=begin) as pool:
            pools.append(Watched(pool, actors))
            yield pools[-1]

    remote.RayPool = argparse.Namespace(opened=opened)  # type: ignore[misc,assignment]
    with tempfile.TemporaryDirectory() as place, cluster(actors, sleeps) as address:
        photos = Path(place, "photos")
        photos.mkdir()
        for number in range(count):
            (photos / f"{number:06}.jpg").write_bytes(b"%d" % number)
        before, began = time.process_time(), time.monotonic()
        summary = anyio.run(partial(batch.run, [str(photos)], Settings(out=Path(place, "out"), workers=address)))
        cpu, wall = time.process_time() - before, time.monotonic() - began
    assert summary.saved == count, summary
    rate = pools[0].rate(sleeps, 3 * count)
    busy = f"{1000 * cpu / count:.2f} ms"
    return [*map(str, (actors, count)), f"{rate:.1f}", f"{linear:.1f}", f"{rate / linear:.0%}", busy, f"{wall:.0f} s"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sleeps", type=float, nargs=3, default=TIMES["good"], help="look, cut, make")
    args = parser.parse_args()
    remote.look, remote.cut, remote.made, remote.used = look, cut, made, used  # type: ignore[assignment]
    sys.stdout.write("| actors | items | images/s | linear | of linear | driver's CPU an item | in all |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for actors in args.actors:
        sys.stdout.write(f"| {' | '.join(run(actors, tuple(args.sleeps), args.seconds))} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # By its own name, so that actors find the functions.
    from tests.bench import scaling

    scaling.main()
