"""An OUT in which so many items are saved, written after the pattern of a real run of one item.

So it says what this version would have written, whatever that is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.bench.behaviour import Behaviour
from tests.bench.material import item_id, url_manifest
from tests.bench.processes import Simulated, ours

LINKS = 10_000
"""Names one file goes by: file systems allow tens of thousands, and a million files of one block each take 4 GB."""


def million_saved(api: Simulated, folder: Path, items: int) -> tuple[Path, Path]:
    """The manifest, and the OUT that a run of it has left."""
    folder.mkdir()
    manifest, out = url_manifest(folder / "manifest.csv", 1), folder / "out"
    api.reset(Behaviour(picture=300))
    ours(api, manifest, out)
    # What is kept beside the ledger belongs to the run of one.
    shutil.rmtree(out / ".batch-removebg", ignore_errors=True)
    _multiply_ledger(out / "ledger.jsonl", items)
    _multiply_files(out, items)
    return url_manifest(manifest, items), out


def _multiply_ledger(ledger: Path, items: int) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    first, mine, last = lines[0], b"".join(lines[1:-1]), lines[-1]
    assert b'"run_started"' in first
    assert b'"run_finished"' in last
    one = item_id(0).encode()
    assert mine.count(one) >= 3
    pieces = mine.replace(b'"p0"', b'"p\0"').replace(one, b"\1")
    with ledger.open("wb") as file:
        file.write(first)
        for number in range(items):
            file.write(pieces.replace(b"\0", b"%d" % number).replace(b"\1", item_id(number).encode()))
        file.write(last)


def _multiply_files(out: Path, items: int) -> None:
    shown = out / f"{item_id(0)}.png"
    picture, original = shown.read_bytes(), shown
    for number in range(1, items):
        path = out / f"{item_id(number)}.png"
        if number % 1000 == 0:
            path.parent.mkdir()
        if number % LINKS == 0:
            path.write_bytes(picture)
            original = path
        else:
            os.link(original, path)
