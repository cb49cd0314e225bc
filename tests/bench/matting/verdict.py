"""What was wanted, and whether it is so: ours against rembg as it comes, on the same weights and pictures."""

from __future__ import annotations

from statistics import fmean, median

from tests.bench.figures import Figure, at_least, at_most
from tests.bench.matting.methods import BASELINE
from tests.bench.matting.record import Record

WORSE = 1.05
"""A picture is worse where an error is more than 5 % above rembg's."""


def figures(record: Record, method: str) -> list[Figure]:
    """With the issue's targets; one value each, of all pictures that both have made."""
    names = record.pictures(BASELINE, method)
    if not names or method == BASELINE:
        return []
    found = [
        Figure("band error below rembg's", [below(record, method, "band", names)], "%", at_least(25)),
        Figure("composite error below rembg's", [below(record, method, "composite", names)], "%", at_least(40)),
        Figure("the same, without grain and JPEG", [below(record, method, "cut", names)], "%"),
        Figure("the same, were every edge flawless", [at_best(record, method, names)], "%"),
        Figure("band error of the median picture below", [100 * (1 - typical(record, method, "band", names))], "%"),
        Figure(
            "composite error of the median picture below",
            [100 * (1 - typical(record, method, "composite", names))],
            "%",
        ),
    ]
    ours, theirs = pace(record, method), pace(record, BASELINE)
    if ours and theirs:
        found.append(Figure("speed against rembg's", [ours / theirs], "×", at_least(3)))
    bad = {name for metric in ("band", "composite") for name, _ in worse(record, method, metric)}
    found.append(Figure("pictures worse by more than 5 %", [float(len(bad))], f"of {len(names)}", at_most(0)))
    return found


def below(record: Record, method: str, metric: str, names: list[str]) -> float:
    """How many % the mean error lies below rembg's; negative: above."""
    return 100 * (1 - ratio(fmean(record.values(method, metric, names)), fmean(record.values(BASELINE, metric, names))))


def at_best(record: Record, method: str, names: list[str]) -> float:
    """How many % the composite error would lie below rembg's if there were none within 5 px of an edge."""
    beyond, theirs = record.values(method, "beyond", names), record.values(BASELINE, "composite", names)
    return 100 * (1 - ratio(fmean(beyond), fmean(theirs)))


def typical(record: Record, method: str, metric: str, names: list[str]) -> float:
    """The median picture's error as a share of rembg's."""
    pairs = zip(record.values(method, metric, names), record.values(BASELINE, metric, names), strict=True)
    return median(ratio(ours, theirs) for ours, theirs in pairs)


def ratio(ours: float, theirs: float) -> float:
    """Nothing against nothing is alike."""
    if theirs:
        return ours / theirs
    return 1.0 if not ours else float("inf")


def worse(record: Record, method: str, metric: str) -> list[tuple[str, float]]:
    """The pictures whose error is more than 5 % above rembg's, as a multiple of it, the worst first."""
    names = record.pictures(BASELINE, method)
    pairs = zip(names, record.values(method, metric, names), record.values(BASELINE, metric, names), strict=True)
    times = [(name, ratio(ours, theirs)) for name, ours, theirs in pairs]
    return sorted([one for one in times if one[1] > WORSE], key=lambda one: -one[1])


def pace(record: Record, method: str, size: int = 0) -> float | None:
    """Pictures a second, starts included, of the sizes that both it and rembg came to the end of."""
    mine, base = record.timed.get(method, {}), record.timed.get(BASELINE, {})
    sizes = [s for s in mine if s in base and not mine[s].ended and not base[s].ended and size in (0, s)]
    seconds = sum(mine[s].seconds for s in sizes)
    return sum(mine[s].pictures for s in sizes) / seconds if seconds else None
