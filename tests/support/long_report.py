"""What the long runs have counted, as one table: `long_report.py FILE`; exits 1 if anything was lost.

Suites call `note`, which appends a JSON line to the file that BATCH_REMOVEBG_REPORT names, if it does. Each test of
test_faults.py counts as a kind of fault, where this module is a plugin of pytest's (`-p tests.long_report`).
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

VARIABLE = "BATCH_REMOVEBG_REPORT"
LONG = os.environ.get("BATCH_REMOVEBG_LONG") == "1"

COUNTED = {
    "runs": "chaos runs",
    "commands": "commands that were run for them",
    "kills": "processes killed",
    "suspends": "processes suspended",
    "jumps": "jumps of the clock",
    "fulls": "disks full for a moment",
    "states": "disks after a power cut",
    "faults": "kinds of fault",
    "cases": "fuzz cases",
    "seconds": "seconds for them",
    "answers": "answers of a server that mixes them up",
    "wrong": "answers that were about something else",
    "items": "items",
    "bill": "predictions billed",
}
LOSSES = {
    "lost": "items lost",
    "double": "predictions bought twice",
    "torn": "files torn or missing",
    "left": "temporary files left",
    "mixed": "pictures under another item's name",
    "broken": "cases that broke a rule",
}
DECLARED = {
    "possible_duplicates": "possible duplicates, counted and said",
    "told": "lost creates that failed an item, and were said",
}
HIGHEST = {"peak": "most memory of a process, in MiB"}


def note(suite: str, about: str = "", **counts: int) -> None:
    """Put one result on record; the names are those of the tables above. `about`: a seed or the like, for the file."""
    unknown = counts.keys() - COUNTED.keys() - LOSSES.keys() - DECLARED.keys() - HIGHEST.keys()
    assert not unknown, f"the table has no row for {unknown}"
    if place := os.environ.get(VARIABLE):
        with Path(place).open("a") as file:  # one short line, one write: suites may run side by side
            file.write(json.dumps({"suite": suite, "about": about, **counts}) + "\n")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the kinds of fault that were met, and those that were met badly."""
    here = "PYTEST_XDIST_WORKER" not in os.environ  # workers report to the process that began them
    if here and report.when == "call" and "test_faults.py" in report.nodeid and not report.skipped:
        note("faults", faults=1, broken=int(report.failed))


def table(lines: list[str]) -> tuple[str, int]:
    """The table, and the number of losses in it."""
    total: Counter[str] = Counter()
    suites: dict[str, Counter[str]] = {}
    for line in lines:
        entry = json.loads(line)
        entry.pop("about")
        counts = suites.setdefault(entry.pop("suite"), Counter())
        for place in (counts, total):
            highest = {name: max(place[name], entry[name]) for name in HIGHEST.keys() & entry.keys()}
            place.update({name: number for name, number in entry.items() if name not in HIGHEST})
            place |= highest
    names = sorted(suites)
    rows = [["", *names, "together"]]
    for key, words in {**COUNTED, **HIGHEST, **DECLARED, **LOSSES}.items():
        cells = [f"{suites[name][key]:,}" if key in suites[name] else "" for name in names]
        rows.append([words, *cells, f"{total[key]:,}" if any(cells) else "not run"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(shown), sum(total[key] for key in LOSSES)


def main(place: str) -> int:
    """Print the table of the file's lines."""
    path = Path(place)
    lines = path.read_text().splitlines() if path.exists() else []
    shown, losses = table(lines)
    print(shown)
    for entry in sorted(map(json.loads, lines), key=lambda entry: str(entry["about"])):
        if entry.get("seconds"):
            rate = entry["cases"] / entry["seconds"]
            print(f"{entry['suite']}, {entry['about']}: {entry['cases']:,} cases, {rate:,.0f} a second")
    if not lines:
        print("nothing was counted")
    return 1 if losses or not lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
