"""9: how soon photographs are cut out on this machine, beside rembg with the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import photographs
from tests.bench.matting import methods
from tests.bench.matting.methods import MODEL
from tests.bench.processes import ROOT, CaseFailed, Ran, command, measured

SIZES = {1000: (24, 2.0), 2400: (16, 3.0), 4000: (8, 4.0)}
"""Longest side in pixels: photographs in the folder, and how many times rembg's speed is wanted."""
MORE = 168
"""Photographs of 1000 px, for the pace without the start: so many that what two starts differ by is lost among them."""
PRECISE = ("--precision", "float32")
LIMIT = 300.0
"""Seconds for any one process."""


@dataclass(frozen=True, slots=True)
class Done:
    """One process over a folder."""

    speed: float
    """Photographs a second, from before the process is made to its end."""
    seconds: float
    rss: int
    written: int
    """Bytes of its PNGs."""


def rembg(photos: Path, out: Path) -> Ran:
    """Its own batch command, over our weights."""
    program = methods.PEER / "bin" / "rembg"
    if not program.exists():
        raise CaseFailed("rembg is not here; `make bench` brings it")
    return measured(["env", f"U2NET_HOME={methods.home()}", program, "p", "-m", MODEL, photos, out], limit=LIMIT)


def ours(photos: Path, out: Path, *flags: str) -> Ran:
    """The command as it is, but for the network."""
    return command("run", photos, "--out", out, "--model", MODEL, "--progress", "none", "-q", *flags, limit=LIMIT)


def done(ran: Ran, photos: Path, out: Path) -> Done:
    """What a process came to; raises CaseFailed where pictures are missing."""
    number, made = sum(1 for _ in photos.iterdir()), list(out.glob("*.png"))
    if ran.code or len(made) != number:
        raise CaseFailed(f"{len(made)} of {number} pictures, exit code {ran.code}: {ran.said[-800:].strip()}")
    return Done(number / ran.seconds, ran.seconds, ran.rss, sum(path.stat().st_size for path in made))


def network_alone() -> float:
    """Runs of the network a second, all cores at full load, on what `auto` takes: no picture is quicker."""
    words = [sys.executable, "-m", "batch_removebg", "bench-engine", "--model", MODEL, "--seconds", "4", "--json"]
    told = json.loads(subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return float(max(row["inference"] or 0.0 for row in told["rows"]))


def run(bench: Bench) -> Measured:
    found = Measured()
    for longest, (number, wanted) in SIZES.items():
        photos = bench.scratch / f"photos-{longest}"
        photographs(photos, 2 if bench.quick else number, longest, grain=2.5)
        kinds: dict[str, list[Done]] = {"rembg": [], "ours": [], "precise": []}
        for turn in range(bench.runs):
            bench.say(f"{longest} px, round {turn + 1} of {bench.runs}")
            outs = {kind: bench.scratch / f"{longest}-{kind}-{turn}" for kind in kinds}
            kinds["rembg"].append(done(rembg(photos, outs["rembg"]), photos, outs["rembg"]))
            kinds["ours"].append(done(ours(photos, outs["ours"]), photos, outs["ours"]))
            kinds["precise"].append(done(ours(photos, outs["precise"], *PRECISE), photos, outs["precise"]))
        found.figures += _beside(kinds, f"{longest} px", wanted)
    found.figures += _near_the_limit(bench)
    return found


def _beside(kinds: dict[str, list[Done]], named: str, wanted: float) -> list[Figure]:
    """Ratios of the same round, and what they are of."""
    pairs = list(zip(kinds["ours"], kinds["rembg"], strict=True))
    precise = list(zip(kinds["precise"], kinds["rembg"], strict=True))
    times = [mine.speed / its.speed for mine, its in pairs]
    return [
        Figure(f"photographs a second ÷ rembg's, {named}", times, "×", at_least(wanted)),
        *([Figure(f"the same, the quickest precision, {named}", times, "×", at_least(4.5))] if "2400" in named else []),
        Figure(f"the same, in float32, {named}", [m.speed / its.speed for m, its in precise], "×"),
        Figure(f"peak memory ÷ rembg's, {named}", [mine.rss / its.rss for mine, its in pairs], "×", at_most(1.0)),
        Figure(
            f"bytes of the PNGs ÷ rembg's, {named}", [m.written / its.written for m, its in pairs], "×", at_most(1.15)
        ),
        *(Figure(f"photographs a second, {kind}, {named}", [one.speed for one in kinds[kind]]) for kind in kinds),
        *(Figure(f"peak memory, {kind}, {named}", [one.rss / 1e6 for one in kinds[kind]], "MB") for kind in kinds),
    ]


def _near_the_limit(bench: Bench) -> list[Figure]:
    """How near the pace, once started, comes to that of the network alone."""
    few, more = bench.scratch / "few", bench.scratch / "more"
    less, most = (2, 6) if bench.quick else (SIZES[1000][0], MORE)
    photographs(few, less, 1000, grain=2.5)
    photographs(more, most, 1000, grain=2.5)
    paces, limits = [], []
    for turn in range(bench.runs):
        bench.say(f"1000 px against the network alone, round {turn + 1} of {bench.runs}")
        outs = [bench.scratch / f"{name}-{turn}" for name in ("few", "more")]
        begun, all_of_it = (done(ours(p, out), p, out) for p, out in zip((few, more), outs, strict=True))
        paces.append((most - less) / (all_of_it.seconds - begun.seconds))
        limits.append(network_alone())
    shares = [100 * pace / limit for pace, limit in zip(paces, limits, strict=True)]
    return [
        Figure("pace once started ÷ the network alone at full load, 1000 px", shares, "%", at_least(85)),
        Figure("photographs a second once started, 1000 px", paces),
        Figure("runs of the network alone a second, all cores", limits),
    ]


CASE = Case(
    "9",
    "Cutouts here",
    "Folders of JPEGs made from photographs with a sensor's grain, 24 of 1000 px on their longest side, 16 of 2400, 8 "
    "of 4000; `run --model u2netp` against `rembg p -m u2netp` 2.0.86 on the same weights, whole processes in turn, "
    "start-up included. Pace once started: 168 photographs less 24. The network alone: `bench-engine`, the quickest of "
    "what is here.",
    run,
)
