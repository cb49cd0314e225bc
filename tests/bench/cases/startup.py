"""8: how soon the command is there, and its first create."""

from __future__ import annotations

from tests.bench.behaviour import Behaviour
from tests.bench.figures import Bench, Case, Figure, Measured, at_most
from tests.bench.material import url_manifest
from tests.bench.processes import CaseFailed, Simulated, command, ours


def run(bench: Bench) -> Measured:
    runs = 2 if bench.quick else 9
    manifest = url_manifest(bench.scratch / "manifest.csv", 10)
    helped, begun = [], []
    with Simulated() as api:
        for number in range(runs):
            bench.say(f"start {number + 1} of {runs}")
            told = command("--help")
            if told.code:
                raise CaseFailed(f"--help ended with exit code {told.code}")
            helped.append(told.seconds)
            api.reset(Behaviour(picture=20_000))
            ran = ours(api, manifest, bench.scratch / str(number))
            begun.append(api.facts()["first_create"] - ran.began)
    return Measured(
        [
            Figure("the help text", helped, "s", at_most(0.2)),
            Figure("run, until its first create", begun, "s", at_most(0.6)),
        ]
    )


CASE = Case("8", "Start-up", "From before the process is made; Python's files are in the system's cache.", run)
