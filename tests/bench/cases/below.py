"""2: little credit, and credit again."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import Any

from tests.bench.behaviour import Behaviour, Limit, RunTimes
from tests.bench.figures import Bench, Case, Figure, Measured, at_least, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import ours, side_by_side, simulated

LOW, FULL = Limit(60, 1), Limit(600, 10)
"""The low limit is ten times the hosted API's, and so is time: its window of a minute is 6 s here."""
WINDOW = 6.0
SPAN = 5.0
"""Seconds at full speed that are believed."""
PATIENCE = 90.0
"""Seconds from the lift that full speed is waited for."""


def rejected_a_window(rejected: list[float], end: float) -> int:
    """The most rejections in any window after the first one, which is not counted."""
    windows = Counter(int((t - rejected[0]) // WINDOW) for t in rejected[1:] if t < end)
    return max(windows.values(), default=0)


def back_at_speed(created: list[float], lifted: float, limit: Limit) -> float:
    """Seconds from the lift until a span begins in which 90 % of the new limit is used; inf if none does."""
    assert limit.per_minute is not None
    wanted = math.ceil(0.9 * SPAN * limit.per_minute / 60)
    after = [t for t in created if t >= lifted]
    spans = zip(after, after[wanted - 1 :], strict=False)
    return next((begin - lifted for begin, end in spans if end - begin <= SPAN), math.inf)


def once(bench: Bench, low_seconds: float, seed: int) -> tuple[int, float, float, dict[str, Any]]:
    """Most rejections in a window; share of the ideal speed while it was low; seconds to full speed."""
    folder = bench.scratch / str(seed)
    folder.mkdir()
    manifest = url_manifest(folder / "manifest.csv", int(low_seconds) + (100 if bench.quick else 300))
    behaviour = Behaviour(
        creates=LOW,
        changes=((low_seconds, FULL),),
        rejected_count=True,
        low_credit=True,
        run=RunTimes(median=2.0),
        seed=seed,
        picture=20_000,
    )
    with simulated(behaviour) as api:
        # Whatever it ends with: what it did until then is what is measured, and a slow run is cut off.
        ours(api, manifest, folder / "out", limit=low_seconds + PATIENCE, code=None)
        facts = api.facts(series=True)
    created = [p[0] for p in facts["predictions"]]
    first = min(created[:1] + facts["rejected"][:1])
    lifted = first + low_seconds
    assert LOW.per_minute is not None
    could = LOW.burst + math.floor(low_seconds * LOW.per_minute / 60)
    share = sum(t < lifted for t in created) / could
    return rejected_a_window(facts["rejected"], lifted), share, back_at_speed(created, lifted, FULL), facts


def run(bench: Bench) -> Measured:
    low_seconds = 12.0 if bench.quick else 60.0
    bench.say(
        f"{LOW.per_minute:g} creates a minute for {low_seconds:.0f} s, then {FULL.per_minute:g}: {bench.runs} runs"
    )
    jobs = [partial(once, bench, low_seconds, seed) for seed in range(1, bench.runs + 1)]
    rejected, shares, back, facts = zip(*side_by_side(jobs), strict=True)
    first = facts[0]["first_create"]
    return Measured(
        [
            Figure("creates rejected a window after the first, at most", rejected, "", at_most(1)),
            Figure("speed ÷ ideal while credit is low", [100 * s for s in shares], "%", at_least(90)),
            Figure("back at full speed after the limit lifts", back, "s", at_most(PATIENCE)),
        ],
        {
            "created": [round(p[0] - first, 3) for p in facts[0]["predictions"]],
            "rejected": [round(t - first, 3) for t in facts[0]["rejected"]],
            "low_seconds": low_seconds,
        },
    )


CASE = Case(
    "2",
    "Below it",
    "Low credit scaled up by ten: 60 creates a minute, burst 1, the hosted API's own 429 with whole seconds, rejected "
    "attempts count; after 60 s the limit becomes 600 a minute, burst 10. A window is a minute scaled down, 6 s. Back "
    "at full speed: 5 s begin in which 90 % of the new limit is used; given up after 90 s, a bound of this benchmark. "
    "At the real 6 a minute a window is a minute, and it takes as much longer: 198 s once, with one rejection before.",
    run,
)
