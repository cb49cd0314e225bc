"""Make pictures that are not there yet, each in a process of its own with Blender: a crash costs one picture.

`python -m tests.bench.rendering.render --keep DIR` needs `.venv-render`, which `make truth-render` brings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from platformdirs import user_cache_path

from tests.bench.rendering import catalogue
from tests.bench.rendering.catalogue import Picture

ROOT = Path(__file__).parent.parent.parent.parent
BLENDER = Path(os.environ.get("BATCH_REMOVEBG_RENDER_PYTHON") or ROOT / ".venv-render" / "bin" / "python")
"""A Python that has bpy: it is made for one version of Python only."""
WORKERS = 2
"""Pictures at a time: while one is modelled or written the other is traced."""
LIMIT = 900.0
"""Seconds that one picture may take."""


def cache(seed: int, quick: bool = False) -> Path:
    """Where pictures are kept unless a folder is named."""
    return user_cache_path("batch-removebg", appauthor=False) / "rendered" / (f"{seed}-quick" if quick else str(seed))


def render_all(pictures: Sequence[Picture], folder: Path, quick: bool = False) -> list[Picture]:
    """Those that are there in the end, the others having been said; to have them made anew, delete the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in pictures if not (folder / f"{one.name}.jpg").exists()]
    if missing and not BLENDER.exists():
        raise SystemExit(f"{len(missing)} pictures are not in {folder} and can't be made: run `make truth-render`")
    began = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        for number, (one, why) in enumerate(pool.map(lambda one: (one, _made(one, folder, quick)), missing), 1):
            left = (time.monotonic() - began) / number * (len(missing) - number) / 60
            said = f"{number} of {len(missing)}: {one.name}{why and ': ' + why}; {left:.0f} min left"
            print(time.strftime("%H:%M:%S"), said, file=sys.stderr, flush=True)
    there = [one for one in pictures if (folder / f"{one.name}.jpg").exists()]
    listed = {"seed": pictures[0].seed, "pictures": [one.as_json() for one in there]}
    (folder / "catalogue.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    return there


def _made(one: Picture, folder: Path, quick: bool) -> str:
    """Why a picture could not be made; empty: it was."""
    words = [str(BLENDER), "-m", "tests.bench.rendering.make", str(one.seed), str(one.index), str(folder.resolve())]
    try:
        ran = subprocess.run(
            [*words, *(["--quick"] if quick else [])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done in {LIMIT:.0f} s"
    last = (ran.stderr.strip() or ran.stdout.strip() or "no output").splitlines()[-1]
    return f"exit code {ran.returncode}: {last}" if ran.returncode else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.rendering.render", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seed", type=int, default=catalogue.SEED)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="default: the system's cache")
    parser.add_argument("--quick", action="store_true", help="a few small ones")
    given = parser.parse_args()
    wanted = (catalogue.quick if given.quick else catalogue.catalogue)(given.seed)
    folder = given.keep or cache(given.seed, given.quick)
    return 0 if len(render_all(wanted, folder, given.quick)) == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
