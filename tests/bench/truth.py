"""`make truth`: how near cutouts come to an alpha that is known, ours and rembg's, and how soon.

`python -m tests.bench.truth --help` lists what else it does: render the pictures only, score folders of results.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.matting import methods, scenes
from tests.bench.matting.methods import METHODS, Timed
from tests.bench.matting.metrics import NAMES
from tests.bench.matting.scenes import Scene
from tests.bench.matting.scoring import score_all

LIMIT = 1500.0
"""Seconds a method may take for the pictures of one size."""


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.truth", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small picture of each kind; no results")
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="pictures whose names contain one of these; no results"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="pictures and cutouts stay there, and are used again")
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", choices=METHODS, default=list(METHODS), help="default: all"
    )
    parser.add_argument("--reuse", action="store_true", help="with --keep: run no method whose cutouts are there")
    parser.add_argument("--render", action="store_true", help="make the pictures in --keep, and end")
    parser.add_argument(
        "--score", nargs="+", metavar="[NAME=]DIR", help="score folders of RGBA PNGs instead of running methods"
    )
    parser.add_argument(
        "--limit", type=float, default=LIMIT, metavar="S", help="for one method and size (default %(default)g)"
    )
    given = parser.parse_args()
    if given.keep is None and (given.render or given.reuse):
        parser.error("--render and --reuse need --keep DIR")
    return given


def chosen(given: argparse.Namespace) -> list[Scene]:
    listed = scenes.quick() if given.quick else scenes.catalogue()
    return [scene for scene in listed if not given.only or any(text in scene.name for text in given.only)]


def perform(given: argparse.Namespace, listed: Sequence[Scene], folder: Path) -> dict[str, list[Timed]]:
    """Run the methods over the pictures, a process for each size; what each took."""
    able, notes = methods.runnable(given.methods)
    for note in notes:
        say(note)
    took: dict[str, list[Timed]] = {}
    for name in able:
        out = folder / "cutouts" / name.replace(" ", "_")
        warmed = False
        for size in sorted({scene.megapixels for scene in listed}):
            photos = [folder / "photos" / f"{scene.name}.jpg" for scene in listed if scene.megapixels == size]
            stamp = out / f"{size}Mpx.json"
            timed = methods.remembered(stamp) if given.reuse else None
            if timed is None or timed.pictures != len(photos):
                if not warmed:
                    methods.warm(name, folder / "photos" / f"{listed[0].name}.jpg", out)
                    warmed = True
                timed = methods.run(name, photos, out, given.limit)
                methods.remember(timed, stamp)
            say(f"{name}, {size} Mpx: {timed.seconds:.1f} s for {timed.pictures}{timed.ended and '; ' + timed.ended}")
            took.setdefault(name, []).append(timed)
    return took


def main() -> int:
    given = arguments()
    listed = chosen(given)
    with tempfile.TemporaryDirectory(prefix="batch-removebg-truth-") as scratch:
        folder = given.keep or Path(scratch)
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        say(f"{len(listed)} pictures")
        scenes.render_all(listed, folder, workers)
        if given.render:
            return 0
        if given.score:
            named = [text.rpartition("=") for text in given.score]
            results = {name or Path(place).name: Path(place) for name, _, place in named}
        else:
            took = perform(given, listed, folder)
            results = {name: folder / "cutouts" / name.replace(" ", "_") for name in took}
        say("scoring")
        scored = score_all([scene.name for scene in listed], folder, results, workers)
    print("\t".join(["picture", "method", *NAMES]))
    for name, found in scored.items():
        for method, score in found.items():
            print("\t".join([name, method, *(f"{getattr(score, metric):.4f}" for metric in NAMES)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
