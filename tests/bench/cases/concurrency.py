"""4: as much in flight as keeps the limit busy, and no more connections than that takes."""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import Any

from tests.bench.behaviour import Behaviour, Limit, RunTimes
from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import CaseFailed, ours, side_by_side, simulated

LIMIT = Limit(600, 10)
CAP = 256
MODELS = (
    ("a fast model (0.5 s)", LIMIT, 0.5),
    ("a slow model (8 s)", LIMIT, 8.0),
    ("no limit, 4 s", Limit(), 4.0),
)


def in_flight(predictions: list[list[float]], step: float = 0.25) -> list[tuple[float, int]]:
    """(seconds since the first create, predictions that were created and not yet known to have ended)."""
    first = predictions[0][0]
    events = sorted([(p[0], 1) for p in predictions] + [(p[2], -1) for p in predictions])
    series, count, index, at = [], 0, 0, first
    while index < len(events):
        while index < len(events) and events[index][0] <= at:
            count += events[index][1]
            index += 1
        series.append((round(at - first, 3), count))
        at += step
    return series


def most_in_flight(predictions: list[list[float]]) -> int:
    events = sorted([(p[0], 1) for p in predictions] + [(p[2], -1) for p in predictions])
    count = most = 0
    for _, change in events:
        count += change
        most = max(most, count)
    return most


def once(bench: Bench, name: str, limit: Limit, run_time: float, images: int, seed: int) -> dict[str, Any]:
    """The figures of one run, and its series."""
    folder = bench.scratch / f"{name[:8]}{seed}"
    folder.mkdir()
    manifest = url_manifest(folder / "manifest.csv", images)
    behaviour = Behaviour(creates=limit, run=RunTimes(median=run_time, sigma=0.2), seed=seed, picture=20_000)
    with simulated(behaviour) as api:
        ours(api, manifest, folder / "out")
        facts = api.facts(series=True)
    made = facts["predictions"]
    if len(made) != images:
        raise CaseFailed(f"{len(made)} creates were accepted for {images} images")
    series = in_flight(made)
    first, last = made[0][0], made[-1][0]
    begin = min(2 * run_time, (last - first) / 2)
    steady = [p for p in made if p[0] - first >= begin]
    speed = (len(steady) - 1) / max(1e-9, last - steady[0][0])
    through = mean(count for at, count in series if begin <= at <= last - first)
    law = (limit.per_minute or 0) / 60 * mean(p[1] - p[0] for p in made)
    return {
        "busy": 100 * speed / (limit.per_minute / 60) if limit.per_minute else None,
        "law": through / law if law else None,
        "most": most_in_flight(made),
        "opened": facts["opened"] / max(1, facts["most_open"]),
        "connections": facts["opened"],
        "series": series,
    }


def run(bench: Bench) -> Measured:
    images, measured = (80 if bench.quick else 300), Measured()
    for name, limit, run_time in MODELS:
        number = images if limit.per_minute else 2 * images
        bench.say(f"{number} images, {name}: {bench.runs} runs side by side")
        jobs = [partial(once, bench, name, limit, run_time, number, seed) for seed in range(1, bench.runs + 1)]
        found = side_by_side(jobs)
        if limit.per_minute:
            busy, law = [one["busy"] for one in found], [one["law"] for one in found]
            measured.figures.append(Figure(f"speed ÷ limit, {name}", busy, "%", at_least(95)))
            measured.figures.append(Figure(f"in flight ÷ Little's law, {name}", law, "×"))
        measured.figures += [
            Figure(f"most in flight, {name}", [one["most"] for one in found], "", at_most(CAP)),
            Figure(f"connections opened, {name}", [one["connections"] for one in found]),
            Figure(f"opened ÷ most open at once, {name}", [one["opened"] for one in found], "×", at_most(1.25)),
        ]
        measured.series[name] = found[0]["series"]
    return measured


CASE = Case(
    "4",
    "Concurrency by itself",
    "300 URL images at 600 creates a minute, burst 10, for run times around 0.5 s and 8 s; 600 images without any "
    "limit at 4 s. Speed: creates a second once two run times have passed. In flight: created, and not yet known to "
    "have ended; Little's law: the limit × the mean run time. Bounds for speed and connections are this benchmark's.",
    run,
)
