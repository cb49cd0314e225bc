"""rendered.md: by kind and seed, with intervals, the drawn pictures beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.machine import described
from tests.bench.matting.methods import BASELINE
from tests.bench.matting.record import Record
from tests.bench.matting.rendered import BAD, Marks
from tests.bench.table import piped

Values = NDArray[np.float64]
Rows = list[list[str]]
DRAWS = 4000
APART = "glass"
"""The kind that is reported apart: what is see-through is half of what a good network leaves."""
METHOD = f"""\
- **Pictures.** Rendered by Cycles from models that code makes (`tests/bench/rendering`); alpha is coverage in linear
  light, counted by rays of its own. They stand for product photographs, and are none.
- **Errors** are those of [truth.md](truth.md): *composite* in levels of 255, *band* the MAE of alpha within 5 px of
  edges, in thousandths. *Bias*: mean of alpha less the truth in that band, in thousandths; below 0, cutouts are too
  small. *Bad*: share of pictures whose IoU, at alpha ≥ 0.5, is below {BAD}.
- **Intervals** hold 95 % of {DRAWS} draws of as many pictures with replacement: of the mean's ratio to rembg's."""


def interval(ours: Values, theirs: Values, seed: int = 0) -> tuple[float, float]:
    """In which 95 % of the ratios of means lie where pictures are drawn anew, each with both its errors."""
    picks = np.random.default_rng(seed).integers(len(ours), size=(DRAWS, len(ours)))
    ratios = ours[picks].mean(axis=1) / np.maximum(theirs[picks].mean(axis=1), 1e-12)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)


def against(ours: Values, theirs: Values) -> str:
    """As −40 % (−52…−25)."""
    ratio = ours.mean() / max(float(theirs.mean()), 1e-12)
    if len(ours) < 3:
        return _percent(ratio)
    low, high = interval(ours, theirs)
    return f"{_percent(ratio)} ({_percent(low, '')}…{_percent(high, '')})"


def _percent(ratio: float, unit: str = " %") -> str:
    return f"{100 * (ratio - 1):+.0f}{unit}".replace("-", "−")


def markdown(marks: Marks, drawn: Path | None = None) -> str:
    """The whole report."""
    machine = (
        "\n".join(f"Measured on {line}; rembg {marks.rembg}." for line in described([dict(marks.machine)]))
        if marks.machine
        else ""
    )
    seeds = ", ".join(map(str, sorted(set(marks.seeds.values()))))
    about = f"{len(marks.scores)} rendered pictures, seeds {seeds}. Composite error, mean (median) and against rembg's"
    parts = [
        f"{about}; the drawn pictures of truth.md in the last column:",
        piped(by_method(marks, Record.load(drawn) if drawn and drawn.exists() else None)),
        "The same by kind, and by seed:",
        *(
            piped(by_kind(marks, method))
            for method in marks.methods
            if method != BASELINE and BASELINE in marks.methods
        ),
        METHOD,
        machine,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def by_method(marks: Marks, drawn: Record | None = None) -> Rows:
    rows = [["method", "all", "against", f"without {APART}", "against", "band", "bias", "bad", "drawn: against"]]
    for method in marks.methods:
        names = marks.pictures(method)
        clear = [name for name in names if marks.kinds[name] != APART]
        shared = marks.pictures(BASELINE, method)
        cells = []
        for part in (names, clear):
            both = [name for name in part if name in shared]
            cells += [_typical(marks.values(method, "composite", part)), _compared(marks, method, both)]
        cells += [
            _shown(marks, method, "band", names),
            _shown(marks, method, "bias", names),
            _bad(marks, method, names),
        ]
        rows.append([method, *cells, _on(drawn, method)])
    return rows


def _compared(marks: Marks, method: str, names: Sequence[str]) -> str:
    if method == BASELINE or not names:
        return ""
    return against(marks.values(method, "composite", names), marks.values(BASELINE, "composite", names))


def _on(drawn: Record | None, method: str) -> str:
    names = drawn.pictures(BASELINE, method) if drawn and method != BASELINE else []
    if drawn is None or not names:
        return ""
    ours, theirs = (np.array(drawn.values(which, "composite", names)) for which in (method, BASELINE))
    return against(ours, theirs)


def by_kind(marks: Marks, method: str) -> Rows:
    """One method and rembg, a row for each kind and each seed."""
    rows = [
        [
            f"`{method}`",
            "pictures",
            "composite",
            "rembg's",
            "against",
            "band",
            "rembg's",
            "against",
            "bias",
            "rembg's",
            "bad",
            "rembg's",
        ]
    ]
    shared = marks.pictures(BASELINE, method)
    groups: list[tuple[str, Callable[[str], bool]]] = [
        ("all", lambda name: True),
        (f"without {APART}", lambda name: marks.kinds[name] != APART),
        *((kind, lambda name, kind=kind: marks.kinds[name] == kind) for kind in dict.fromkeys(marks.kinds.values())),
        *(
            (f"seed {seed}", lambda name, seed=seed: marks.seeds[name] == seed)
            for seed in sorted(set(marks.seeds.values()))
        ),
    ]
    for title, belongs in groups:
        names = [name for name in shared if belongs(name)]
        if not names:
            continue
        row = [title, str(len(names))]
        for metric in ("composite", "band"):
            ours, theirs = (marks.values(which, metric, names) for which in (method, BASELINE))
            scale = 1000 if metric == "band" else 1
            row += [_typical(ours * scale), _typical(theirs * scale), against(ours, theirs)]
        row += [_shown(marks, which, "bias", names) for which in (method, BASELINE)]
        rows.append([*row, *(_bad(marks, which, names) for which in (method, BASELINE))])
    return rows


def _typical(values: Values) -> str:
    return f"{_short(float(values.mean()))} ({_short(float(np.median(values)))})" if len(values) else ""


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shown(marks: Marks, method: str, metric: str, names: Sequence[str]) -> str:
    value = 1000 * marks.values(method, metric, names).mean()
    return (f"{value:+.0f}" if metric == "bias" else f"{value:.0f}").replace("-", "−")


def _bad(marks: Marks, method: str, names: Sequence[str]) -> str:
    return f"{100 * (marks.values(method, 'iou', names) < BAD).mean():.0f} %"
