"""The results file, and the one table that is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench.figures import Case, Figure, Measured, number
from tests.bench.machine import described

ROOT = Path(__file__).parent.parent.parent
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

Results = dict[str, Any]
"""By case: title, method, machine, minutes, figures, series; or `failed` and why."""


def block(case: Case, found: Measured | str, machine: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A case's part of the results file; `found` is why there is none, where the case has failed."""
    failed = isinstance(found, str)
    return {
        "title": case.title,
        "method": case.method,
        "machine": machine,
        "seconds": round(seconds, 1),
        "failed": found if failed else None,
        "figures": [] if isinstance(found, str) else [figure.as_json() for figure in found.figures],
        "series": {} if isinstance(found, str) else found.series,
    }


def load(folder: Path = RESULTS) -> Results:
    """What was measured before; a run of some cases leaves the others' figures."""
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else {}


def merged(before: Results, now: Results) -> Results:
    """The cases of both, those of now first; figures of a million rows are kept until they are measured again."""
    result = {**before, **now}
    for name in before.keys() & now.keys():
        names = {figure["name"] for figure in now[name]["figures"]}
        old = [f for f in before[name]["figures"] if "1,000,000" in f["name"] and f["name"] not in names]
        sizes = now[name]["series"].get("sizes")
        if old and sizes is not None:
            large = [s for s in before[name]["series"]["sizes"] if s["items"] == 1_000_000]
            figures = [*now[name]["figures"], *old]
            result[name] = now[name] | {
                "figures": figures,
                "series": now[name]["series"] | {"sizes": sizes + large},
                "kept": "rows of 1,000,000 items are of an earlier run",
            }
    return dict(sorted(result.items()))


def lines(results: Results) -> list[list[str]]:
    """The table's rows: point, figure, target, measured, met."""
    rows = []
    for name, case in results.items():
        title = f"{name} {case['title']}"
        if case["failed"]:
            rows.append([title, "the case broke off", "", case["failed"].splitlines()[0][:160], "**falls short**"])
        for given in case["figures"]:
            figure = Figure.from_json(given)
            rows.append([title, figure.name, _target(figure), measured(figure), _met(figure)])
            title = ""
    return rows


def markdown(results: Results) -> str:
    """The table, the method and the machine, as README shows them."""
    head = ["", "figure", "target", "median (min–max; runs)", "met"]
    table = [_row(head), "|---|---|---|---|---|", *map(_row, lines(results))]
    judged = [Figure.from_json(f).met for case in results.values() for f in case["figures"]]
    short = judged.count(False) + sum(bool(case["failed"]) for case in results.values())
    said = f"{judged.count(True)} targets are met, {short} fall short." if results else "Nothing was measured yet."
    methods = [f"- **{n} {c['title']}.** {c['method']}{_kept(c)}" for n, c in results.items()]
    machines = dict.fromkeys(described(case["machine"]) for case in results.values())
    took = sum(case["seconds"] for case in results.values()) / 60
    about = [f"Measured on {line}." for line in machines] + [f"All of it took {took:.0f} minutes."]
    return "\n".join([*table, "", said, "", *methods, "", " ".join(about) if results else ""]).rstrip() + "\n"


def plain(results: Results) -> str:
    """The table for a terminal."""
    rows = [["", "figure", "target", "median (min–max; runs)", "met"], *lines(results)]
    rows = [[cell.replace("**", "") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def write(results: Results, folder: Path = RESULTS, readme: Path = ROOT / "README.md") -> None:
    """results.json, results.md, and README's table between its markers."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({"v": 1, "cases": results}, ensure_ascii=False, indent=1) + "\n"
    (folder / "results.json").write_text(_short_lists(text), encoding="utf-8")
    shown = markdown(results)
    (folder / "results.md").write_text(shown, encoding="utf-8")
    page = readme.read_text(encoding="utf-8")
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    readme.write_text(f"{page[:before]}\n{shown}{page[after:]}", encoding="utf-8")


def measured(figure: Figure) -> str:
    """Median, range and number of runs, with the unit."""
    unit = f" {figure.unit}" if figure.unit else ""
    span = f"{number(min(figure.values))}–{number(max(figure.values))}; " if len(set(figure.values)) > 1 else ""
    return f"{number(figure.median)}{unit} ({span}{len(figure.values)})"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{figure.target.sense} {number(figure.target.bound)}{f' {figure.unit}' if figure.unit else ''}"


def _met(figure: Figure) -> str:
    return {None: "", True: "yes", False: "**falls short**"}[figure.met]


def _kept(case: dict[str, Any]) -> str:
    return f" ({case['kept']})" if "kept" in case else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _short_lists(text: str) -> str:
    """Lists of numbers on one line, so that the file can be read and compared."""
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found.group().split()), text)
