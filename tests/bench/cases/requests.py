"""3: few requests an image, and the result in hand soon after it is ready."""

from __future__ import annotations

from functools import partial
from statistics import median, quantiles
from typing import Any

from tests.bench.behaviour import Behaviour, Limit, RunTimes
from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import CaseFailed, ours, side_by_side, simulated

LIMIT = Limit(600, 10)
MODEL = RunTimes(median=2.0, sigma=0.35, cold_share=0.01, cold_seconds=20.0)
LEARNING = 0.2
"""Share of the run before its steady state."""


def once(bench: Bench, images: int, seed: int, *, prefer_wait: bool) -> tuple[float, float, list[list[float]]]:
    """Requests an image, share of creates with `Prefer: wait`, and (delay, run time) of each in the steady state."""
    folder = bench.scratch / f"{seed}{prefer_wait}"
    folder.mkdir()
    manifest = url_manifest(folder / "manifest.csv", images)
    behaviour = Behaviour(creates=LIMIT, run=MODEL, prefer_wait=prefer_wait, seed=seed, picture=20_000)
    with simulated(behaviour) as api:
        ours(api, manifest, folder / "out")
        facts: dict[str, Any] = api.facts(series=True)
    steady = facts["predictions"][int(LEARNING * images) :]
    if len(steady) != images - int(LEARNING * images):
        raise CaseFailed(f"{facts['accepted']} creates were accepted for {images} images")
    refused = sum(t >= steady[0][0] for t in facts["rejected"])
    others = facts["lists"] + facts["cancels"] + facts["throttled"] + facts["unknown"]
    asked = len(steady) + sum(p[3] for p in steady) + refused + others
    waited = 100 * facts["waits"] / images
    return asked / len(steady), waited, [[told - ready, ready - created] for created, ready, told, *_ in steady]


def run(bench: Bench) -> Measured:
    images, measured = (60 if bench.quick else 300), Measured()
    for prefer_wait, name, most in ((True, "with Prefer: wait", 2.2), (False, "by polling alone", 4.0)):
        bench.say(f"{images} images {name}: {bench.runs} runs side by side")
        jobs = [partial(once, bench, images, seed, prefer_wait=prefer_wait) for seed in range(1, bench.runs + 1)]
        asked, waited, delays = zip(*side_by_side(jobs), strict=True)
        late = [[delay for delay, _ in one] for one in delays]
        soon = [100 * sum(d <= max(0.5, 0.1 * ran) for d, ran in one) / len(one) for one in delays]
        measured.figures += [
            Figure(f"API requests an image, {name}", asked, "", at_most(most)),
            Figure(f"result in hand after it is ready, median, {name}", [median(d) for d in late], "s", at_most(0.5)),
            Figure(f"the same, 95th percentile, {name}", [quantiles(d, n=20)[-1] for d in late], "s"),
            Figure(f"creates that say Prefer: wait, {name}", waited, "%"),
            Figure(f"in hand within 0.5 s or 10 % of the run time, {name}", soon, "%", at_least(95)),
        ]
        measured.series["wait" if prefer_wait else "poll"] = [round(d, 4) for one in late for d in one]
    return measured


CASE = Case(
    "3",
    "Few requests",
    "300 URL images of the same model and limit as in 1. Requests: creates (rejected ones too), polls, lists and "
    "cancels as the API counted them; outputs are not the API's. Steady state: all but the first fifth of the run. In "
    "hand: the first answer that tells the result.",
    run,
)
