"""`make bench`: run the cases, print the table, write it with its plots to results/ and five lines of it to README."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import report
from tests.bench.cases import CASES
from tests.bench.figures import Bench, Case, Measured
from tests.bench.machine import described, machine
from tests.bench.processes import CaseFailed
from tests.bench.table import plain


def perform(case: Case, *, quick: bool, million: bool) -> Measured | str:
    """What the case came to, or why it came to nothing."""
    with tempfile.TemporaryDirectory(prefix="batch-removebg-bench-") as scratch:
        bench = Bench(Path(scratch), quick=quick, million=million, say=lambda text: say(f"  {text}"))
        try:
            return case.run(bench)
        except CaseFailed as error:
            say(f"  broke off: {error}")
            return str(error).replace(scratch, "…").replace(str(report.ROOT), "…")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description="Measure what must hold against a simulated API on loopback.")
    arguments.add_argument("cases", nargs="*", metavar="CASE", help=f"of {' '.join(CASES)}; default: all")
    arguments.add_argument("--quick", action="store_true", help="short runs that show that the cases work; no results")
    arguments.add_argument("--million", action="store_true", help="with case 6: a run of a million rows as well")
    given = arguments.parse_args()
    chosen = given.cases or list(CASES)
    if unknown := [name for name in chosen if name not in CASES]:
        arguments.error(f"there is no case {', '.join(unknown)}; choose of {' '.join(CASES)}")
    around = machine()
    say(f"on {described([around])[0]}")
    found = {}
    for name in chosen:
        say(f"{name} {CASES[name].title}")
        begun = time.monotonic()
        measured = perform(CASES[name], quick=given.quick, million=given.million)
        found[name] = report.block(CASES[name], measured, around, time.monotonic() - begun)
        if not given.quick:  # after each case: none is lost to what happens in a later one
            report.write(report.merged(report.load(), {name: found[name]}))
    print(plain(found))
    if given.quick:
        say("short runs: nothing was written")
    else:
        from tests.bench import plots  # matplotlib takes its memory only now, when nothing is measured any more

        plots.draw(report.load(), report.RESULTS)
        say(f"written to {report.RESULTS.relative_to(report.ROOT)} and README.md")
    minutes = sum(block["seconds"] for block in found.values()) / 60
    say(f"took {minutes:.1f} minutes")
    return 1 if any(block["failed"] for block in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
