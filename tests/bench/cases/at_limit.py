"""1: a run takes as long as the account's limit and the model take."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.bench.behaviour import Behaviour, Limit, RunTimes
from tests.bench.figures import Bench, Case, Figure, Measured, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import CaseFailed, ours, side_by_side, simulated

LIMIT = Limit(600, 10)
MODEL = RunTimes(median=2.0, sigma=0.35, cold_share=0.01, cold_seconds=20.0)


def ideal(predictions: list[list[float]], limit: Limit) -> float:
    """Seconds from the first create to the last result, where each create is sent the moment a token is free.

    With the run times as drawn this is (N − burst) / rate + the run time of the job that ends last.
    """
    assert limit.per_minute is not None
    interval = 60 / limit.per_minute
    return max(
        max(0, index + 1 - limit.burst) * interval + (ready - created)
        for index, (created, ready, *_) in enumerate(predictions)
    )


def once(bench: Bench, images: int, seed: int, *flags: str) -> tuple[float, float, float, dict[str, Any]]:
    """Seconds ÷ ideal, share of creates rejected, creates rejected; and the facts."""
    folder = bench.scratch / f"{seed}{''.join(flags)}"
    folder.mkdir()
    manifest = url_manifest(folder / "manifest.csv", images)
    with simulated(Behaviour(creates=LIMIT, rejected_count=True, run=MODEL, seed=seed, picture=20_000)) as api:
        ran = ours(api, manifest, folder / "out", *flags)
        facts = api.facts(series=True)
    if facts["accepted"] != images:
        raise CaseFailed(f"{facts['accepted']} creates were accepted for {images} images")
    refused = facts["rejected"]
    return ran.seconds / ideal(facts["predictions"], LIMIT), len(refused) / (images + len(refused)), len(refused), facts


def run(bench: Bench) -> Measured:
    images, measured = (60 if bench.quick else 600), Measured()
    for flags, name in (((), ""), (("--rate", "600"), ", told with --rate")):
        bench.say(f"{images} images at {LIMIT.per_minute:g} a minute{name}: {bench.runs} runs side by side")
        jobs = [partial(once, bench, images, seed, *flags) for seed in range(1, bench.runs + 1)]
        ratios, shares, counts, facts = zip(*side_by_side(jobs), strict=True)
        measured.figures.append(Figure(f"seconds ÷ ideal{name}", ratios, "×", at_most(1.05)))
        if flags:
            measured.figures.append(Figure(f"creates rejected{name}", counts, "", at_most(0)))
        else:
            measured.figures.append(Figure("creates rejected", [100 * s for s in shares], "%", at_most(1)))
        begin = facts[0]["first_create"]
        measured.series["told" if flags else "untold"] = [round(p[0] - begin, 3) for p in facts[0]["predictions"]]
    measured.series["limit"] = [LIMIT.per_minute, LIMIT.burst]
    return measured


CASE = Case(
    "1",
    "At the limit",
    "600 URL images; 600 creates a minute, burst 10, rejected attempts count; run time log-normal, median 2 s, σ 0.35, "
    "1 % cold starts of 20 s, drawn anew in each run. Seconds: the whole process, start-up included. Ideal: each "
    "create sent the moment the limit allows it, until the last result.",
    run,
)
