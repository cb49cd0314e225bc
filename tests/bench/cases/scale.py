"""6: what an item costs doesn't grow with their number, up to a million of them."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.behaviour import Behaviour, Limit
from tests.bench.figures import Bench, Case, Figure, Measured, at_most, finite
from tests.bench.material import url_manifest
from tests.bench.million import million_saved
from tests.bench.processes import KILLED, CaseFailed, Ran, Simulated, command, ours

TINY = Behaviour(others=Limit(), picture=300)
MEGABYTE = 1_000_000
MILLION = 1_000_000
PATIENCE = 300.0
"""Seconds for a resume or a status."""


@dataclass(slots=True)
class Size:
    """Runs over so many items."""

    items: int
    first_create: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resume: list[float] = field(default_factory=list)
    resume_rss: list[float] = field(default_factory=list)
    status: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        lists = ("first_create", "rss", "seconds", "cpu", "resume", "resume_rss", "status")
        return {"items": self.items, **{name: finite(getattr(self, name)) for name in lists}}


def once(api: Simulated, size: Size, folder: Path, starting: Ran | None) -> Ran:
    """One run over the items, its resume, and its status."""
    folder.mkdir()
    manifest, out = url_manifest(folder / "manifest.csv", size.items), folder / "out"
    limit = 60 + size.items / 20
    api.reset(TINY)
    ran = ours(api, manifest, out, limit=limit)
    facts = api.facts()
    if facts["accepted"] != size.items:
        raise CaseFailed(f"{facts['accepted']} creates were accepted for {size.items} items")
    size.first_create.append(facts["first_create"] - ran.began)
    size.rss.append(ran.rss / MEGABYTE)
    size.seconds.append(1000 * (ran.ended - facts["first_create"]) / size.items)
    size.cpu.append(1000 * (ran.cpu - (starting.cpu if starting else 0.0)) / size.items)
    look_again(api, size, manifest, out)
    if api.facts()["accepted"] != size.items:
        raise CaseFailed("the resume bought predictions anew")
    shutil.rmtree(folder)
    return ran


def look_again(api: Simulated, size: Size, manifest: Path, out: Path) -> None:
    """A resume with nothing left to do, and a status; what takes too long is cut off, and counts as never."""
    again = ours(api, manifest, out, limit=PATIENCE, code=None)
    told = command("status", out, "--json", limit=PATIENCE)
    for what, ran in (("the resume", again), ("status", told)):
        if ran.code not in (0, KILLED):
            raise CaseFailed(f"{what} ended with exit code {ran.code}: {ran.said[-800:].strip()}")
    size.resume.append(math.inf if again.code else again.seconds)
    size.resume_rss.append(again.rss / MEGABYTE)
    size.status.append(math.inf if told.code else told.seconds)


def sizes(bench: Bench, api: Simulated) -> list[Size]:
    """Each size's runs; the two largest once each, for the time they take."""
    plan = [(30, 1), (300, 1)] if bench.quick else [(1000, 3), (10_000, 3), (100_000, 1)]
    plan += [(MILLION, 1)] if bench.million else []
    api.reset(TINY)
    starting = ours(api, url_manifest(bench.scratch / "single.csv", 1), bench.scratch / "single")
    found = []
    for items, runs in plan:
        size = Size(items)
        for number in range(runs):
            bench.say(f"{items:,} items, run {number + 1} of {runs}")
            once(api, size, bench.scratch / f"{items}-{number}", starting)
        found.append(size)
    return found


def kept(bench: Bench, api: Simulated) -> tuple[Size, Size]:
    """Resume and status over a ledger of a million saved items that was written, not run: the first time, and later."""
    items = 2000 if bench.quick else MILLION
    first, later = Size(items), Size(items)
    bench.say(f"a ledger of {items:,} saved items, and its files")
    folder = bench.scratch / "kept"
    manifest, out = million_saved(api, folder, items)
    for number in range(bench.runs + 1):
        bench.say(f"resume and status over {items:,} saved items, {number} of {bench.runs}")
        api.reset(TINY)
        look_again(api, later if number else first, manifest, out)
        if api.facts()["accepted"]:
            raise CaseFailed("the resume bought predictions anew")
        if math.inf in first.resume:
            later = first  # what was cut off once would be so again
            break
    shutil.rmtree(folder)
    return first, later


def run(bench: Bench) -> Measured:
    with Simulated() as api:
        found = sizes(bench, api)
        first, saved = kept(bench, api)
    largest, base = found[-1], found[min(1, len(found) - 1)]
    figures = []
    for size in found:
        named = f"{size.items:,} items"
        figures.append(Figure(f"first create after the start, {named}", size.first_create, "s", at_most(1.0)))
        if size.items == MILLION:
            figures.append(Figure(f"peak memory, {named}", size.rss, "MB", at_most(250)))
    named = f"{largest.items:,} ÷ {base.items:,} items"
    for name, mine, its, target in (
        ("peak memory", largest.rss, base.rss, at_most(1.3)),
        ("CPU an item", largest.cpu, base.cpu, at_most(1.3)),
    ):
        pairs = [value / its[min(index, len(its) - 1)] for index, value in enumerate(mine)]
        figures.append(Figure(f"{name}, {named}", pairs, "×", target))
    figures += [
        Figure(f"resume over {saved.items:,} saved items", saved.resume, "s", at_most(10)),
        Figure("its peak memory", saved.resume_rss, "MB", at_most(500)),
        Figure("the first resume over it, with nothing but the ledger", first.resume, "s"),
        Figure("the first one's peak memory", first.resume_rss, "MB"),
        Figure(f"status of {saved.items:,} saved items", saved.status, "s", at_most(5)),
    ]
    return Measured(figures, {"sizes": [size.as_json() for size in found]})


CASE = Case(
    "6",
    "A million rows",
    "URL rows, outputs of 300 bytes, a server that answers at once and knows no limit; 100,000 and more items once "
    "each. Time an item: from the first create to the end; CPU: start-up (a run of one) taken off. Resume and status "
    "at a million: over a ledger and files that were written for it after the pattern of a real run's. Memory: VmHWM. "
    "The bound for CPU an item is this benchmark's.",
    run,
)
