"""A month of nights over a catalogue that changes: its image host, its API, and what each night must give.

Every picture says whose it is, in bars of its luminance and of its alpha. The host signs its URLs anew each night,
takes only what it signed, byte for byte, and says with `ETag` whether a picture has changed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from aiohttp import web
from PIL import Image

from tests.crash.bench import ROOT
from tests.crash.hurried import Hurry
from tests.support.doubles import encoded
from tests.support.fake_api import FakeApi

BITS, WIDE, HIGH = 13, 8, 24
DAY, SPEED = 86_400.0, 40.0
DEADLINE = 240
"""Real seconds for one night."""


def bars(number: int) -> Image.Image:
    """The number in black and white: a white bar, its bits, a black bar."""
    shown = Image.new("L", ((BITS + 2) * WIDE, HIGH), 0)
    for bar in (0, *(1 + bit for bit in range(BITS) if number >> bit & 1)):
        shown.paste(255, (bar * WIDE, 0, (bar + 1) * WIDE, HIGH))
    return shown


def number_of(shown: Image.Image) -> int:
    """The number in bars; -1 where there is none."""
    values = [shown.getpixel((bar * WIDE + WIDE // 2, HIGH // 2)) for bar in range(BITS + 2)]
    bits = [isinstance(value, int | float) and value > 127 for value in values]
    return sum(bit << nth for nth, bit in enumerate(bits[1:-1])) if (bits[0], bits[-1]) == (True, False) else -1


def photo(number: int) -> bytes:
    return encoded(bars(number).convert("RGB"), "JPEG")


def cutout(number: int) -> bytes:
    made = bars(number).convert("RGB")
    made.putalpha(bars(number))
    return encoded(made, "PNG")


@dataclass
class Row:
    """A row of the catalogue."""

    sku: str
    path: str
    """Of its picture, on the image host."""


@dataclass
class Shop(FakeApi):
    """The predictions API and the image host in one server: pictures lie below `/shop/`."""

    shown: dict[str, int] = field(default_factory=dict)  # type: ignore[assignment]
    """The number of the picture behind each path."""
    night: int = 0
    down: bool = False
    wrong_urls: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        """Tonight's URL of a picture."""
        signature = hashlib.sha256(f"{path} {self.night}".encode()).hexdigest()
        return f"{self.origin}/shop/{path}?v=1&X-Amz-Date=2027{self.night:04}&X-Amz-Signature={signature}%2F%3D"

    async def normal(self, request: web.Request) -> web.StreamResponse:
        """The image host's answer, or the API's."""
        path = request.rel_url.raw_path.removeprefix("/shop/")
        if path == request.rel_url.raw_path:
            return await super().normal(request)
        if self.down:
            return web.Response(status=503)
        if f"{self.origin}{request.raw_path}" != self.url(path):
            self.wrong_urls.append(request.raw_path)
            return web.Response(status=403)
        etag = f'"{self.shown[path]}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=photo(self.shown[path]), content_type="image/jpeg", headers={"ETag": etag})

    def _cutout(self, image: str) -> bytes | None:
        data = self.source(image)
        if data is not None:
            return cutout(number_of(Image.open(io.BytesIO(data)).convert("L")))
        return cutout(self.shown[urlsplit(image).path.removeprefix("/shop/")])


@dataclass
class Month:
    """Nights in a row; `fetches`: the pictures are downloaded, instead of passing their URLs to the API."""

    folder: Path
    fetches: bool
    size: int
    nights: int
    seed: int = 1
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice, self.out = random.Random(self.seed), self.folder / "out"
        self.rows: list[Row] = []
        self.made: dict[str, int] = {}
        """The picture that each row must have by now, by sku."""
        self.last: dict[str, str] = {}
        """What each row showed when the host was last up."""
        self.needed: set[object] = set()
        """What has to be bought: pictures, or URLs where these are passed on."""
        self.seen: set[str] = set()
        self.known: set[str] = set()
        """Rows that something was done about: those that come and go while their host is down are not on record."""
        self._numbers = iter(range(1, 1 << BITS))

    async def run(self) -> None:
        """All nights; what was wrong is counted."""
        started = time.monotonic()
        hurry = Hurry(SPEED, started)
        async with Shop(now=lambda: hurry.wall()) as self.shop:
            outages = {self.nights // 3, 2 * self.nights // 3} if self.fetches else set()
            for night in range(self.nights):
                hurry = Hurry(SPEED, started - night * DAY / SPEED)
                self.shop.night, self.shop.down = (
                    night,
                    night in outages,
                )
                self._change(first=night == 0)
                self._write()
                code, said = await self._command(hurry)
                self._look(code, said)
            self.counts["needed"], self.counts["bought"] = len(self.needed), len(self.shop.bill)
            self.counts["wrong URLs"] = len(self.shop.wrong_urls)

    # The shop's day

    def _change(self, *, first: bool) -> None:
        """What happens to the catalogue by day: rows come, go, get other names and other pictures."""
        if first:
            self._add(self.size)
            return
        few = max(1, self.size // 50)
        for _ in range(few):
            self.rows.remove(self.dice.choice(self.rows))
        for row in self.dice.sample(self.rows, few):
            row.sku = f"{row.sku}b"
        for row in self.dice.sample(self.rows, few):
            row.path = self._picture()
        if self.fetches:
            for row in self.dice.sample(self.rows, few):  # and of all that share it
                self.shop.shown[row.path] = next(self._numbers)
        self._add(few)
        self.dice.shuffle(self.rows)

    def _add(self, count: int) -> None:
        for _ in range(count):
            shares = self.rows and self.dice.random() < 0.2
            path = self.dice.choice(self.rows).path if shares else self._picture()
            self.rows.append(Row(f"S{len(self.seen)}", path))
            self.seen.add(self.rows[-1].sku)

    def _picture(self) -> str:
        number = next(self._numbers)
        path = f"sch%C3%B6n/{number}%27.jpg"
        self.shop.shown[path] = number
        return path

    def _write(self) -> None:
        self.seen.update(row.sku for row in self.rows)
        with (self.folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, delimiter=";")
            table.writerow(["SKU", "Image URL", "title"])
            table.writerows([row.sku, self.shop.url(row.path), f"No {row.sku}"] for row in self.rows)

    # The night's job

    async def _command(self, hurry: Hurry) -> tuple[int, str]:
        words = ["run", "catalogue.csv", "--out", "out", "--name", "{SKU}", "--provider", "replicate"]
        words += ["--base-url", self.shop.base, "--concurrency", "16", *["--fetch-sources"] * self.fetches]
        with anyio.fail_after(DEADLINE):
            ended = await anyio.run_process(
                [sys.executable, str(ROOT / "tests/crash/hurried.py"), *words],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **hurry.told()},
                check=False,
            )
        return ended.returncode, ended.stderr.decode()

    def _look(self, code: int, said: str) -> None:
        """Compare what the night gave with what it had to give."""
        if not self.shop.down:
            self.known |= {row.sku for row in self.rows}
            self.last = {row.sku: row.path for row in self.rows}
            self.made |= {row.sku: self.shop.shown[row.path] for row in self.rows}
            self.needed |= {self.shop.shown[row.path] if self.fetches else row.path for row in self.rows}
        results: dict[str, Any] = json.loads((self.out / "results.json").read_text())
        present = {row.sku for row in self.rows}
        saved = present & {item["id"] for item in results["items"] if item["status"] == "saved"}
        wanted = {"total": len(present), "saved": len(saved), "gone": len(self.known - present), "failed": 0}
        found = {"gone": results["gone"], **results["counts"]}
        wrong = {name: found[name] for name in wanted if found[name] != wanted[name]}
        # Where the host is down, what was done and is asked for as before stays as it was.
        lost = {row.sku for row in self.rows if self.last.get(row.sku) == row.path} - saved
        code_wrong = code != (0 if saved == present else 3)
        names = [sku for sku in sorted(present & self.made.keys()) if self._number(sku) != self.made[sku]]
        self.counts["wrong states"] += len(wrong) + len(lost) + code_wrong
        self.counts["wrong names"] += len(names)
        if wrong or lost or code_wrong or names:
            print(
                f"night {self.shop.night}: exit {code}",
                wanted,
                wrong,
                sorted(lost)[:5],
                names[:5],
                said[-1500:],
                sep="\n",
            )

    def _number(self, sku: str) -> int:
        try:
            with Image.open(self.out / f"{sku}.png") as made:
                return number_of(made.getchannel("A"))
        except OSError:
            return -1
