"""An OUT as a finished run of N items leaves it, made in seconds: a catalogue of URLs, its ledger, its pictures.

`make(folder, n)` gives `folder/catalogue.csv` and `folder/out/`, in which the same command finds everything done:
`batch-removebg run catalogue.csv --out out` with the words of `COMMAND`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import IO

from batch_removebg.clock import stamp
from batch_removebg.ledger.events import RunFinished, RunStarted, Saved, Submitted, Submitting, encode
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.run.assemble import recipe_of
from batch_removebg.run.settings import Settings
from batch_removebg.storage.layout import LEDGER

BASE_URL = "http://127.0.0.1:9/v1"
VERSION = "a029dff38972b5fda4ec5d75d7d1cd25aeff621d2cf4946a41055d7db66b80bc"
COMMAND = ("--provider", "replicate", "--base-url", BASE_URL, "--model-version", VERSION)
"""Nothing listens there, and nothing has to: all is saved."""
PICTURE = b"a cutout, as far as its size tells"
LINKS = 30_000
"""Names that one file can have; ext4 allows 65,000."""
BEGAN = 1_800_000_000.0


def make(folder: Path, n: int) -> None:
    """Make the catalogue of `n` rows and an OUT in which all of them are saved, without an index."""
    out = folder / "out"
    out.mkdir(parents=True)
    settings = Settings(out=out, provider="replicate", base_url=BASE_URL, model_version=VERSION)
    recipe = recipe_of(settings)
    with (folder / "catalogue.csv").open("w") as rows, (out / LEDGER).open("wb") as ledger:
        rows.write("id,image,sku\n")
        ledger.write(encode(RunStarted("replicate", VERSION, settings.shown()), stamp(BEGAN)))
        for number in range(n):
            _write_item(number, rows, ledger, recipe)
        ledger.write(encode(RunFinished(n, 0, 0, n, 0, n / 10), stamp(BEGAN + n / 10)))
    for number in range(n):
        _picture(out, number)


def source(number: int) -> str:
    """The URL of one row."""
    return f"https://img.shop.example/catalogue/{number // 1000:04}/{number:07}.jpg"


def name(number: int) -> str:
    """The output of one row, relative to OUT."""
    return f"p{number:07}.png"


def _write_item(number: int, rows: IO[str], ledger: IO[bytes], recipe: Recipe) -> None:
    item, url, output = f"p{number:07}", source(number), name(number)
    rows.write(f"{item},{url},A-{number % 997}\n")
    digest, at = hashlib.sha256(item.encode()).hexdigest(), BEGAN + number / 10
    fingerprint = recipe.fingerprint(url)
    ledger.write(encode(Submitting(item, 1, url, output, fingerprint), stamp(at)))
    ledger.write(encode(Submitted(item, digest[:26]), stamp(at + 0.2)))
    saved = Saved(
        item=item,
        source=url,
        recipe=recipe.digest,
        meta={"sku": f"A-{number % 997}"},
        output=output,
        sha256=digest,
        bytes=len(PICTURE),
        width=1200,
        height=900,
        prediction_id=digest[:26],
        attempts=1,
        seconds=2.125,
        reused=False,
    )
    ledger.write(encode(saved, stamp(at + 2)))


def _picture(out: Path, number: int) -> None:
    first = f"{out}/{name(number - number % LINKS)}"
    if number % LINKS == 0:
        Path(first).write_bytes(PICTURE)
    else:
        os.link(first, f"{out}/{name(number)}")


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
