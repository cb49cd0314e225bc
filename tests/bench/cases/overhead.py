"""5: what an image costs us where the server costs nothing, beside the official client and a bare loop."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.behaviour import Behaviour, Limit
from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import CaseFailed, Ran, Simulated, measured, ours

AT_ONCE = Behaviour(others=Limit(), picture=200_000)
LOOPS = ("ours", "official", "bare")
ROUNDS = 3
"""Times as many as other cases have: only after some does the system make those wait who don't fsync."""
LIMIT = 300.0
"""Seconds for any one process."""


@dataclass(frozen=True, slots=True)
class Done:
    """One process's work."""

    speed: float
    """Images a second from its first create to its end, so that no start-up counts."""
    cpu: float
    api_cpu: float
    """Seconds that the simulated API worked meanwhile."""


def once(api: Simulated, loop: str, manifest: Path, images: int, folder: Path) -> Done:
    """One of the loops over the manifest, in a process of its own; its files are counted."""
    # Kept until the end: a file system that has just removed thousands of files is slow to make new ones.
    out = folder / f"out-{loop}-{sum(1 for _ in folder.iterdir())}"
    api.reset(AT_ONCE)
    if loop == "ours":
        ran: Ran = ours(api, manifest, out, limit=LIMIT)
    else:
        ran = measured([sys.executable, "-m", "tests.bench.peers", loop, api.url, manifest, out], limit=LIMIT)
    facts = api.facts()
    written = sum(1 for _ in out.glob("*/*.png"))
    if ran.code or written != images or facts["accepted"] != images:
        raise CaseFailed(f"{loop}: {written} files, exit code {ran.code}: {ran.said[-800:].strip()}")
    return Done(images / (ran.ended - facts["first_create"]), ran.cpu, facts["cpu"])


def run(bench: Bench) -> Measured:
    images = 100 if bench.quick else 1000
    manifest = url_manifest(bench.scratch / "manifest.csv", images)
    single = url_manifest(bench.scratch / "single.csv", 1)
    done: dict[str, list[Done]] = {loop: [] for loop in LOOPS}
    starting = []
    with Simulated() as api:
        rounds = bench.runs if bench.quick else ROUNDS * bench.runs
        for number in range(rounds):
            bench.say(f"round {number + 1} of {rounds}: {images} images each")
            # Another one begins each round: what the disk still has to write must not always fall on the same.
            for loop in LOOPS[number % 3 :] + LOOPS[: number % 3]:
                done[loop].append(once(api, loop, manifest, images, bench.scratch))
            starting.append(once(api, "ours", single, 1, bench.scratch).cpu)
    speed = {loop: [one.speed for one in done[loop]] for loop in LOOPS}
    cpu = [1000 * one.cpu / images for one in done["ours"]]
    served = [1000 * one.api_cpu / images for one in done["bare"]]
    net = [1000 * (one.cpu - start) / (images - 1) for one, start in zip(done["ours"], starting, strict=True)]
    return Measured(
        [
            Figure("images a second ÷ the official client's", _ratios(speed, "official"), "×", at_least(2.5)),
            Figure("images a second ÷ a bare aiohttp loop's", _ratios(speed, "bare"), "×", at_least(0.4)),
            Figure("CPU an image, start-up taken off", net, "ms", at_most(2.5)),
            Figure("CPU an image, start-up included", cpu, "ms"),
            Figure("CPU of the simulated API an image, with the bare loop", served, "ms"),
            *(Figure(f"images a second, {loop}", speed[loop]) for loop in LOOPS),
        ],
        {"speed": speed},
    )


def _ratios(speed: dict[str, list[float]], other: str) -> list[float]:
    return [mine / its for mine, its in zip(speed["ours"], speed[other], strict=True)]


CASE = Case(
    "5",
    "Little overhead",
    "1000 URL images, outputs of 200 kB, a server that answers at once and knows no limit. Ours, the official client's "
    "async calls and a bare aiohttp loop (64 in flight each, files written) take turns, each in a process of its own; "
    "ratios are of the same round. Speed: from the first create to the end of the process. CPU: user and system; "
    "start-up is that of a run of one image. The bare loop fsyncs nothing: as long as the system takes its writes into "
    "memory, in the first round or two, it does some 2,500 images a second and the ratio is 0.23 to 0.3; from then on "
    "it waits for the disk like ours, and the ratio is 0.5.",
    run,
)
