"""`make truth-render`: how near cutouts come to the alpha of rendered product pictures, ours and rembg's.

Pictures that are not in the cache are rendered first: an hour for a seed, which can be broken off and gone on with.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.bench.machine import machine
from tests.bench.matting import methods
from tests.bench.matting.methods import METHODS
from tests.bench.matting.rendered import Marks, mark_all
from tests.bench.matting.spread import markdown
from tests.bench.rendering import catalogue, render
from tests.bench.report import RESULTS, ROOT
from tests.bench.truth import LIMIT, PACKAGES, perform, place, say

RUN = ("rembg", "ours", "ours --refine none", "ours --class good", "ours --class best")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.truth_rendered", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a few small pictures; writes no results")
    add("--seeds", type=int, nargs="+", default=[catalogue.SEED], help="default %(default)s")
    add("--only", nargs="+", metavar="TEXT", help="pictures whose names contain one of these; writes no results")
    add(
        "--keep",
        type=Path,
        metavar="DIR",
        help="of one seed: pictures and cutouts stay there; default: the system's cache",
    )
    add("--there", action="store_true", help="take the pictures that are there, and render none")
    add("--methods", nargs="+", metavar="NAME", choices=METHODS, default=list(RUN), help="default: %(default)s")
    add("--reuse", action="store_true", help="run no method whose cutouts are there")
    add("--score", nargs="+", metavar="[NAME=]DIR", help="score folders of RGBA PNGs instead of running methods")
    add("--limit", type=float, default=LIMIT, metavar="S", help="for one method (default %(default)g)")
    add("--no-write", action="store_true", help="print the tables only")
    given = parser.parse_args()
    if given.keep and len(given.seeds) > 1:
        parser.error("--keep takes one seed")
    return given


def measure(given: argparse.Namespace, seed: int, marks: Marks) -> bool:
    """Add a seed's pictures to `marks`; False where a method came to no end."""
    folder = given.keep or render.cache(seed, given.quick)
    listed = (catalogue.quick if given.quick else catalogue.catalogue)(seed)
    listed = [one for one in listed if not given.only or any(text in one.name for text in given.only)]
    if given.there:
        listed = [one for one in listed if (folder / f"{one.name}.jpg").exists()]
    listed = render.render_all(listed, folder, given.quick)
    if given.score:
        named = [text.rpartition("=") for text in given.score]
        results, ended = {name or Path(where).name: Path(where) for name, _, where in named}, ""
    else:
        took, _ = perform(given, {1: [folder / f"{one.name}.jpg" for one in listed]}, folder)
        results, ended = (
            {name: place(folder, name) for name in took},
            "".join(t.ended for sizes in took.values() for t in sizes.values()),
        )
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    scored = mark_all([one.name for one in listed], folder, results, workers)
    marks.scores = {**marks.scores, **scored}
    marks.kinds = {**marks.kinds, **{one.name: one.kind for one in listed}}
    marks.seeds = {**marks.seeds, **{one.name: seed for one in listed}}
    return not ended


def main() -> int:
    given = arguments()
    marks = Marks({}, {}, {}, machine(PACKAGES), methods.peer_version())
    ended = [measure(given, seed, marks) for seed in given.seeds]
    print(markdown(marks, RESULTS / "truth.json"))
    if given.quick or given.only or given.score or given.no_write:
        say("nothing was written")
    else:
        marks.write(RESULTS / "rendered.json")
        (RESULTS / "rendered.md").write_text(
            markdown(Marks.load(RESULTS / "rendered.json"), RESULTS / "truth.json"), encoding="utf-8"
        )
        say(f"written to {RESULTS.relative_to(ROOT)}/rendered.md and .json")
    return 0 if all(ended) else 1


if __name__ == "__main__":
    sys.exit(main())
