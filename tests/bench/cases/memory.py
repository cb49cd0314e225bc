"""10: how much memory a night's job takes here, whatever its length and whatever is among its photographs."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from tests.bench.cases.cutouts import done
from tests.bench.figures import Bench, Case, Figure, Measured, at_most
from tests.bench.material import photographs
from tests.bench.processes import command

FEW, MANY = 200, 2000
"""Photographs of a short and of a long job."""
LONGEST = 600
LARGE = 10_000
"""Longest side of a photograph of 100 Mpx: the first sample is a square."""
SMALL = 8
"""Photographs of 2400 px beside the large ones."""
FLAGS = ("--class", "fast", "--memory", "512")
"""MiB of decoded pictures; one of the large ones is more, and so is worked on alone."""
LIMIT = 900.0
"""Seconds for any one process."""


def run(bench: Bench) -> Measured:
    few, many = (4, 12) if bench.quick else (FEW, MANY)
    peaks = {number: _peak(bench, _job(bench, number), f"{number} photographs") for number in (few, many)}
    longest = 2500 if bench.quick else LARGE
    large = {number: _peak(bench, _mixed(bench, number, longest), f"{number} of 100 Mpx") for number in (1, 4)}
    return Measured(
        [
            Figure(f"peak memory, {many:,} ÷ {few:,} photographs", [peaks[many] / peaks[few]], "×", at_most(1.1)),
            Figure("peak memory, four ÷ one of 100 Mpx among them", [large[4] / large[1]], "×", at_most(1.1)),
            *(Figure(f"peak memory, {number:,} photographs", [peak / 1e6], "MB") for number, peak in peaks.items()),
            *(Figure(f"peak memory, {number} of 100 Mpx", [peak / 1e6], "MB") for number, peak in large.items()),
        ]
    )


def _peak(bench: Bench, photos: Path, named: str) -> int:
    bench.say(named)
    out = bench.scratch / f"{photos.name}-out"
    ran = command("run", photos, "--out", out, "--progress", "none", "-q", *FLAGS, limit=LIMIT)
    return done(ran, photos, out).rss


def _job(bench: Bench, number: int) -> Path:
    """Small photographs."""
    folder = bench.scratch / f"job-{number}"
    _copies(photographs(bench.scratch / "small", 12, LONGEST, grain=2.5), number, folder)
    return folder


def _mixed(bench: Bench, number: int, longest: int) -> Path:
    """Large ones among others."""
    folder = bench.scratch / f"mixed-{number}"
    photographs(folder, SMALL, 2400, grain=2.5)
    _copies(photographs(bench.scratch / "large", 1, longest), number, folder)
    return folder


def _copies(sources: list[Path], number: int, folder: Path) -> None:
    """So many files that share their pixels, but not their bytes: each is a prediction of its own."""
    folder.mkdir(exist_ok=True)
    contents = [path.read_bytes() for path in sources]
    for index, data in zip(range(number), cycle(contents), strict=False):
        comment = b"\xff\xfe\x00\x0a%08d" % index  # a JPEG's COM segment, right after its first marker
        (folder / f"copy-{index}.jpg").write_bytes(data[:2] + comment + data[2:])


CASE = Case(
    "10",
    "Memory here",
    "Folders of JPEGs made from photographs, 600 px on their longest side; and 8 of 2400 px with one and with four of "
    "100 Mpx among them. `run --class fast --memory 512`; the peak of the whole process, network and all. One run of "
    "each.",
    run,
)
