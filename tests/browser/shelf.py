"""OUTs to look at: a shelf of drawn products, made by the command, and one of many thousands, made of ledger lines."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from batch_removebg.clock import stamp
from batch_removebg.ledger.events import Failed, RunFinished, RunStarted, Saved, encode
from batch_removebg.storage.layout import INDEX, LEDGER
from tests.bench.scale_data import BEGAN

ROOT = Path(__file__).parent.parent.parent
DRAWN = [sys.executable, "-m", "tests.browser.drawn"]
ATTACK = "<img src=x onerror=alert(1)>"
HOSTILE = {
    ATTACK: "markup",
    "</script><script>alert(2)</script>": "an end of a script",
    "gpj.\u202eevil": "letters that run the other way",
    "shoe \N{ATHLETIC SHOE}\N{EMOJI MODIFIER FITZPATRICK TYPE-3}": "emoji",
    "two\nlines": "a line's end",
}
"""Names of items, and what is odd about each."""
PRESET = """
title = "A shop of these tests"
canvas = [240, 240]
fill = 0.9
background = "white"
format = "jpeg"
quality = 90

[required]
longest = { least = 1000 }
"""


def draw(
    path: Path, *ovals: tuple[int, int, int, int], colour: str = "#c22", size: tuple[int, int] = (320, 240)
) -> Path:
    """A photo of ovals on white; no ovals: of nothing."""
    image = Image.new("RGB", size, "white")
    for oval in ovals:
        ImageDraw.Draw(image).ellipse(oval, fill=colour)
    image.save(path, quality=92, subsampling=0)
    return path


def shelf(folder: Path) -> Path:
    """The catalogue of thirteen products: three flagged, one broken, two alike, five with hostile names."""
    folder.mkdir(parents=True, exist_ok=True)
    middle = (90, 50, 230, 190)
    pictures = {
        "mug": draw(folder / "mug.jpg", middle),
        "pair": draw(folder / "pair.jpg", (40, 80, 140, 180), (190, 80, 290, 180), colour="#26c"),
        "specks": draw(folder / "specks.jpg", middle, (20, 20, 36, 36)),
        "nothing": draw(folder / "nothing.jpg"),
        "cut": draw(folder / "cut.jpg", (-80, 50, 120, 190), colour="#282"),
        "twin": draw(folder / "twin.jpg", middle, colour="#a2a"),
    }
    broken = folder / "broken.jpg"
    broken.write_bytes(pictures["mug"].read_bytes()[:200])
    rows = [(name, path.name, f"A {name}", name) for name, path in pictures.items()]
    rows += [("other twin", "twin.jpg", "A twin", "twin"), ("broken", broken.name, "Broken", "none")]
    for number, name in enumerate(HOSTILE):
        path = folder / "odd" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path, middle, colour=f"#{number * 2}8f")
        rows.append((name, str(path.relative_to(folder)), f"{ATTACK} {name}", "odd"))
    with (folder / "shelf.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "image", "title", "kind"), *rows])
    return folder / "shelf.csv"


def command(*words: str | Path, folder: Path, code: int = 0) -> str:
    """What a command with drawn networks says; it must end with `code`."""
    done = subprocess.run(
        [*DRAWN, *map(str, words)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def environment(**more: str) -> dict[str, str]:
    """This process's environment, in which the package is found wherever a command runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


class Kind(NamedTuple):
    """One of the pictures that many items share."""

    output: str
    data: bytes
    quality: dict[str, object]
    flags: tuple[str, ...]


def many(out: Path, n: int) -> Path:
    """An OUT of `n` items in 20 folders, every fiftieth failed, that share four pictures."""
    (out / INDEX).parent.mkdir(parents=True)
    kinds = list(_kinds(out))
    with (out / LEDGER).open("wb") as ledger:
        ledger.write(encode(RunStarted("local", "0" * 64, {}), stamp(BEGAN)))
        for number in range(n):
            ledger.write(encode(_line(number, kinds[number % 4], out), stamp(BEGAN + number / 10)))
        ledger.write(encode(RunFinished(n - n // 50, n // 50, 0, n, 0, n / 10), stamp(BEGAN + n / 10)))
    return out


def _kinds(out: Path) -> Iterator[Kind]:
    for number, colour in enumerate(("#c22", "#26c", "#282", "#a2a")):
        source = draw(out.parent / f"{out.name}-{number}.jpg", (90, 50, 230, 190), colour=colour)
        path = out / f"kind{number}.png"
        cutout = Image.open(source).convert("RGBA")
        cutout.putalpha(Image.new("L", cutout.size, 255 - 60 * number))
        cutout.save(path)
        quality = {
            "coverage": 0.2 + number / 10,
            "peak": 0.99,
            "undecided": number / 100,
            "components": 1,
            "touches": (),
        }
        yield Kind(path.name, path.read_bytes(), quality, ("suspect",) if number == 3 else ())


def _line(number: int, kind: Kind, out: Path) -> Saved | Failed:
    item = f"shelf {number % 20:02}/p{number:07}.jpg"
    source = str(out.parent / f"{out.name}-{number % 4}.jpg")
    if number % 50 == 7:
        return Failed(
            item=item, source=source, recipe=None, kind="source", message="is empty", retryable=False, attempts=0
        )
    return Saved(
        item=item,
        source=source,
        recipe="0" * 16,
        output=kind.output,
        sha256=hashlib.sha256(kind.data).hexdigest(),
        bytes=len(kind.data),
        width=320,
        height=240,
        prediction_id=None,
        attempts=1,
        seconds=0.5,
        reused=False,
        quality=kind.quality,
        flags=kind.flags,
    )
