"""`make truth`: how near cutouts come to an alpha that is known, ours and rembg's, and how soon.

`python -m tests.bench.truth --help` lists what else it does: render the pictures only, score folders of results.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.machine import machine
from tests.bench.matting import methods, scenes, sheet
from tests.bench.matting.methods import METHODS, Timed
from tests.bench.matting.record import Record
from tests.bench.matting.scenes import Scene
from tests.bench.matting.scoring import score_all
from tests.bench.matting.tables import markdown, plain
from tests.bench.report import RESULTS, ROOT

LIMIT = 1500.0
"""Seconds a method may take for the pictures of one size."""
PACKAGES = ("numpy", "onnxruntime", "pillow")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.truth", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="one small picture of each kind; writes no results")
    add("--seed", type=int, default=scenes.SEED, help="draw other pictures; writes no results (default %(default)s)")
    add("--only", nargs="+", metavar="TEXT", help="pictures whose names contain one of these; writes no results")
    add("--keep", type=Path, metavar="DIR", help="pictures and cutouts stay there, and are used again")
    add("--methods", nargs="+", metavar="NAME", choices=METHODS, default=list(METHODS), help="default: all")
    add("--reuse", action="store_true", help="with --keep: run no method whose cutouts are there")
    add("--render", action="store_true", help="make the pictures in --keep, and end")
    add("--score", nargs="+", metavar="[NAME=]DIR", help="score folders of RGBA PNGs instead of running methods")
    add("--limit", type=float, default=LIMIT, metavar="S", help="for one method and size (default %(default)g)")
    add("--no-write", action="store_true", help="print the table only")
    given = parser.parse_args()
    if given.keep is None and (given.render or given.reuse):
        parser.error("--render and --reuse need --keep DIR")
    return given


def chosen(given: argparse.Namespace) -> list[Scene]:
    listed = (scenes.quick if given.quick else scenes.catalogue)(given.seed)
    return [scene for scene in listed if not given.only or any(text in scene.name for text in given.only)]


def perform(
    given: argparse.Namespace, sizes: Mapping[int, Sequence[Path]], folder: Path
) -> tuple[dict[str, dict[int, Timed]], list[str]]:
    """Run the methods over photographs, by their size in megapixels, a process for each size: what each took, and which
    can't be run, and why.
    """
    able, notes = methods.runnable(given.methods)
    for note in notes:
        say(note)
    took: dict[str, dict[int, Timed]] = {}
    for name in able:
        out, warm = place(folder, name), False
        for size, photos in sorted(sizes.items()):
            stamp = out / f"{size}Mpx.json"
            timed = methods.remembered(stamp) if given.reuse else None
            if timed is None or timed.pictures != len(photos):
                if not warm:
                    methods.warm(name, photos[0], out)
                    warm = True
                timed = methods.run(name, photos, out, given.limit)
                methods.remember(timed, stamp)
            say(f"{name}, {size} Mpx: {timed.seconds:.1f} s for {timed.pictures}{timed.ended and '; ' + timed.ended}")
            took.setdefault(name, {})[size] = timed
    return took, notes


def place(folder: Path, method: str) -> Path:
    """Where a method's cutouts go."""
    return folder / "cutouts" / method.replace(" ", "_")


def report(given: argparse.Namespace, record: Record, folder: Path) -> None:
    """The table, and the files of results where all pictures were asked for."""
    print(plain(record))
    if given.quick or given.only or given.score or given.no_write or given.seed != scenes.SEED:
        say("nothing was written")
        return
    RESULTS.mkdir(exist_ok=True)
    record.write(RESULTS / "truth.json")
    (RESULTS / "truth.md").write_text(markdown(Record.load(RESULTS / "truth.json")), encoding="utf-8")
    sheet.draw(record, folder, RESULTS / "truth.png")
    say(f"written to {RESULTS.relative_to(ROOT)}/truth.md, .json and .png")


def main() -> int:
    given = arguments()
    listed = chosen(given)
    around = machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="batch-removebg-truth-") as scratch:
        folder = given.keep or Path(scratch)
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        say(f"making {len(listed)} pictures")
        scenes.render_all(listed, folder, workers)
        if given.render:
            return 0
        took: Mapping[str, Mapping[int, Timed]] = {}
        notes: list[str] = []
        if given.score:
            named = [text.rpartition("=") for text in given.score]
            results = {name or Path(where).name: Path(where) for name, _, where in named}
        else:
            sizes = {
                size: [folder / "photos" / f"{scene.name}.jpg" for scene in listed if scene.megapixels == size]
                for size in {scene.megapixels for scene in listed}
            }
            took, notes = perform(given, sizes, folder)
            results = {name: place(folder, name) for name in took}
        say("scoring")
        scored = score_all([scene.name for scene in listed], folder, results, workers)
        report(given, Record(scored, took, around, methods.peer_version(), notes), folder)
    return 1 if any(timed.ended for sizes in took.values() for timed in sizes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
