"""The one table that is made of the results: for a terminal, and for results.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench.figures import Figure, number
from tests.bench.machine import described

Results = dict[str, Any]
"""By case: title, method, machine, seconds, figures, series; or `failed` and why."""

HEAD = ["", "figure", "target", "median (min–max; runs)", "met"]
SIZES = {
    "first_create": ("first create", "s"),
    "rss": ("peak memory", "MB"),
    "seconds": ("time an item", "ms"),
    "cpu": ("CPU an item", "ms"),
    "resume": ("resume", "s"),
    "resume_rss": ("its peak memory", "MB"),
    "status": ("status", "s"),
}


def plain(results: Results) -> str:
    """For a terminal: every figure, and what there is to know of them."""
    tables = [[HEAD, *_rows(results, asked=True), *_rows(results, asked=False)], _sizes(results)]
    shown = [aligned(table) for table in tables if table]
    return "\n\n".join([*shown, _about(results)]).replace("**", "")


def markdown(results: Results) -> str:
    """For results.md: figures with a target, the table of sizes, what else was measured, the method, the machine."""
    parts = [piped([HEAD, *_rows(results, asked=True)])]
    if sizes := _sizes(results):
        parts.append(f"Point 6 at each number of items, medians:\n\n{piped(sizes)}")
    more = {
        name: [f"{f.name}: {measured(f)}" for f in _figures(case) if f.met is None] for name, case in results.items()
    }
    if any(more.values()):
        listed = "\n".join(f"- **{name}** {'; '.join(said)}." for name, said in more.items() if said)
        parts.append(f"Also measured:\n\n{listed}")
    return "\n\n".join([*parts, _about(results)]) + "\n"


def headline(case: dict[str, Any], name: str) -> str:
    """One figure of a case, with its target and whether that is met; what wasn't measured is said."""
    figure = next((figure for figure in _figures(case) if figure.name == name), None)
    if figure is None:
        return "not measured"
    wanted = f" (wanted {_target(figure)}{'' if figure.met else ': **falls short**'})" if figure.target else ""
    return f"{with_unit(figure.median, figure.unit)}{wanted}"


def measured(figure: Figure) -> str:
    """Median, range and number of runs, with the unit."""
    span = f"{number(min(figure.values))}–{number(max(figure.values))}; " if len(set(figure.values)) > 1 else ""
    return f"{with_unit(figure.median, figure.unit)} ({span}{len(figure.values)})"


def _rows(results: Results, *, asked: bool) -> list[list[str]]:
    """The figures that have a target, or those that have none."""
    rows = []
    for name, case in results.items():
        title = f"{name} {case['title']}"
        if case["failed"] and asked:
            rows.append([title, "the case broke off", "", case["failed"].splitlines()[0][:160], "**falls short**"])
        for figure in _figures(case):
            if (figure.target is not None) is asked:
                met = {None: "", True: "yes", False: "**falls short**"}[figure.met]
                rows.append([title, figure.name, _target(figure), measured(figure), met])
                title = ""
    return rows


def _sizes(results: Results) -> list[list[str]]:
    sizes = results.get("6", {}).get("series", {}).get("sizes", [])
    if not sizes:
        return []
    rows = [["items", *(name for name, _ in SIZES.values()), "runs"]]
    for size in sizes:
        medians = [(median(math.inf if v is None else v for v in size[key]), unit) for key, (_, unit) in SIZES.items()]
        rows.append([f"{size['items']:,}", *(with_unit(*each) for each in medians), str(len(size["seconds"]))])
    return rows


def _about(results: Results) -> str:
    judged = [figure.met for case in results.values() for figure in _figures(case)]
    short = judged.count(False) + sum(bool(case["failed"]) for case in results.values())
    met = judged.count(True)
    verdict = f"{met} target{' is' if met == 1 else 's are'} met, {short} {'falls' if short == 1 else 'fall'} short."
    methods = "\n".join(f"- **{n} {c['title']}.** {c['method']}{_kept(c)}" for n, c in results.items())
    machines = " ".join(f"Measured on {line}." for line in described([case["machine"] for case in results.values()]))
    took = f"All of it took {sum(case['seconds'] for case in results.values()) / 60:.1f} minutes."
    return f"{verdict}\n\n{methods}\n\n{machines} {took}"


def _figures(case: dict[str, Any]) -> list[Figure]:
    return [Figure.from_json(given) for given in case["figures"]]


def _target(figure: Figure) -> str:
    return f"{figure.target.sense} {figure.target.bound:,g} {figure.unit}".rstrip() if figure.target else ""


def with_unit(value: float, unit: str) -> str:
    """As it is shown."""
    return f"{number(value)} {unit}" if unit and math.isfinite(value) else number(value)


def _kept(case: dict[str, Any]) -> str:
    return f" ({case['kept']})" if "kept" in case else ""


def piped(rows: Sequence[Sequence[str]]) -> str:
    """For Markdown; the first row is the head."""
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """For a terminal."""
    rows = [[cell.replace("**", "") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
