"""truth.md, made of what the record holds."""

from __future__ import annotations

from statistics import fmean, median

from tests.bench.figures import number
from tests.bench.machine import described
from tests.bench.matting import verdict
from tests.bench.matting.methods import BASELINE, OURS
from tests.bench.matting.record import Record
from tests.bench.matting.scenes import KINDS
from tests.bench.table import aligned, piped, with_unit

Rows = list[list[str]]
SHOWN = {"band": "band", "composite": "composite", "cut": "without grain", "beyond": "beyond edges"}
SHOWN |= {"mae": "MAE", "sad": "SAD", "gradient": "gradient", "connectivity": "connectivity"}
METHOD = """\
- **Pictures.** Composed of foregrounds and backgrounds in the encoded values of sRGB, αF + (1−α)B, with grain and JPEG;
  α is exact because it is what was composed with. The scenes are drawn, or cut from photographs along
  outlines traced by hand; they stand for product photographs, and are none.
- **Errors.** MAE of alpha; SAD, gradient and connectivity as in Rhemann et al., CVPR 2009, in thousands, over the
  whole picture. *Band*: MAE of alpha within 5 px of a pixel whose alpha differs from a neighbour's by 0.02 or more.
  *Composite*: mean absolute error in levels of 255 of the result on white and on black against αF + (1−α)·ground; the
  grain and the JPEG of the subject are part of it, for every method alike. *Without grain*: the same with the
  photograph's own pixels for F where the subject is opaque. *Beyond edges*: the composite error without what lies
  within those 5 px, which is left to the network alone.
- **Speed.** Whole processes from start to end, one for each size, one after the other, each method once before the
  clock runs; memory is the peak of the process."""


def markdown(record: Record) -> str:
    """The whole report."""
    parts = [
        f"{piped(targets(record))}",
        "By method, mean (median) of all pictures it has made:",
        piped(by_method(record)),
    ]
    parts += ["Time and memory, all pictures of a size in one process:", piped(costs(record))]
    if OURS in record.methods and BASELINE in record.methods:
        parts += [f"By kind and size, means, `{BASELINE}` → `{OURS}`:", piped(by_kind(record))]
        parts += [lists(record)]
    about = METHOD + "".join(f"\n- {note}." for note in record.notes)
    machines = "\n".join(f"Measured on {line}; rembg {record.rembg}." for line in _machines(record))
    return "\n\n".join([*parts, about, *([machines] if machines else [])]) + "\n"


def plain(record: Record) -> str:
    """For a terminal."""
    tables = [targets(record), by_method(record), costs(record)]
    if OURS in record.methods and BASELINE in record.methods:
        tables.append(by_kind(record))
    shown = [aligned(table) for table in tables if len(table) > 1]
    return "\n\n".join([*shown, lists(record)]).replace("`", "")


def targets(record: Record) -> Rows:
    """What was wanted of each of our variants."""
    rows = [["method", "figure", "target", "measured", "met"]]
    for method in record.methods:
        if not method.startswith(OURS):
            continue
        for figure in verdict.figures(record, method):
            asked = (
                f"{figure.target.sense} {figure.target.bound:g} {figure.unit.partition(' of')[0]}"
                if figure.target
                else ""
            )
            met = {None: "", True: "met", False: "**falls short**"}[figure.met]
            rows.append([method, figure.name, asked, with_unit(figure.median, figure.unit), met])
    return rows


def by_method(record: Record) -> Rows:
    rows = [["method", "pictures", *SHOWN.values()]]
    for method in record.methods:
        names = record.pictures(method)
        cells = []
        for metric in SHOWN:
            values = record.values(method, metric, names)
            cells.append(f"{number(fmean(values))} ({number(median(values))})")
        rows.append([method, str(len(names)), *cells])
    for method in record.methods:
        both = record.pictures(BASELINE, method)
        if method != BASELINE and both:
            cells = [f"{-verdict.below(record, method, metric, both):+.0f} %" for metric in SHOWN]
            rows.append([f"{method} against {BASELINE}", str(len(both)), *cells])
    return rows


def costs(record: Record) -> Rows:
    sizes = sorted({size for timed in record.timed.values() for size in timed})
    if not sizes:
        return [["method"]]
    rows = [
        ["method", *(f"{size} Mpx: s a picture" for size in sizes), "all: s", "pictures/s", "against rembg", "peak MB"]
    ]
    for method, timed in record.timed.items():
        each = []
        for size in sizes:
            one = timed.get(size)
            each.append("" if one is None else "broke off" if one.ended else number(one.seconds / one.pictures))
        pace, base = verdict.pace(record, method), verdict.pace(record, BASELINE)
        times = f"{pace / base:.2f} ×" if pace and base and len(timed) == len(record.timed.get(BASELINE, {})) else ""
        total = sum(one.seconds for one in timed.values())
        peak = max(one.rss for one in timed.values()) / 1e6
        rows.append([method, *each, number(total), number(pace) if pace else "", times, number(round(peak))])
    return rows


def by_kind(record: Record) -> Rows:
    shown = ("band", "composite", "cut")
    rows = [["kind", "size", "pictures", *(SHOWN[metric] for metric in shown)]]
    for kind in ("", *KINDS):
        for size in (0, 1, 4, 12):
            names = record.pictures(BASELINE, OURS, kind=kind, size=size)
            if not names or (size and len(names) == len(record.pictures(BASELINE, OURS, kind=kind))):
                continue
            cells = []
            for metric in shown:
                theirs, ours = (fmean(record.values(method, metric, names)) for method in (BASELINE, OURS))
                cells.append(f"{number(theirs)} → {number(ours)} ({100 * (verdict.ratio(ours, theirs) - 1):+.0f} %)")
            rows.append([kind or "all", f"{size} Mpx" if size else "all", str(len(names)), *cells])
    return rows


def lists(record: Record) -> str:
    """Which pictures are worse than rembg's by more than 5 %."""
    said = []
    for method in record.methods:
        if not method.startswith(OURS) or BASELINE not in record.methods:
            continue
        for metric in ("band", "composite"):
            found = verdict.worse(record, method, metric)
            named = ", ".join(f"`{name}` ({times:.2f} ×)" for name, times in found[:12])
            more = f" and {len(found) - 12} more" if len(found) > 12 else ""
            total = len(record.pictures(BASELINE, method))
            said.append(
                f"- {method}, {metric} error more than 5 % above rembg's: {len(found)} of {total}"
                f"{': ' + named if named else ''}{more}."
            )
    return "\n".join(said)


def _machines(record: Record) -> list[str]:
    return described([dict(record.machine)]) if record.machine else []
