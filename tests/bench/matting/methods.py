"""Who is compared: what each is called with, run as whole processes over a folder of pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from batch_removebg.engine import weights
from tests.bench.processes import ROOT, command, measured

MODEL = "u2netp"
PEER = ROOT / ".venv-rembg"
"""An environment of its own, which `make truth` makes: rembg pins what it needs."""
BASELINE = "rembg"
OURS = "ours"


@dataclass(frozen=True, slots=True)
class Method:
    """A program and its flags, over the same weights unless they name a class."""

    peer: bool
    flags: Sequence[str] = ()


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        BASELINE: Method(True),
        "rembg -a": Method(True, ("-a",)),
        OURS: Method(False),
        "ours --class good": Method(False, ("--class", "good")),
        "ours --class best": Method(False, ("--class", "best")),
        "ours --precision float32": Method(False, ("--precision", "float32")),
        "ours --refine none": Method(False, ("--refine", "none")),
        "ours --edges keep": Method(False, ("--edges", "keep")),
        "ours --clean-below 0": Method(False, ("--clean-below", "0")),
        "ours --refine none --edges keep": Method(False, ("--refine", "none", "--edges", "keep")),
    }
)


@dataclass(frozen=True, slots=True)
class Timed:
    """One process over the pictures of one size."""

    pictures: int
    seconds: float
    rss: int
    """Bytes, at its peak."""
    cpu: float
    ended: str = ""
    """Why it came to no end, where it did not."""


def runnable(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the methods can be run here, and for each other one why not."""
    words = [sys.executable, "-m", "batch_removebg", "run", "--help-all"]
    listed = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    missing = {name: lacking(METHODS[name], listed) for name in names}
    able = [name for name in names if not missing[name]]
    return able, [f"{name}: left out, {why}" for name, why in missing.items() if why]


def lacking(method: Method, listed: str) -> str:
    """Why a method can't be run where `run --help` says this; empty: it can."""
    if method.peer:
        return "" if _rembg().exists() else "rembg is not here; `make truth` brings it"
    flags = [flag for flag in method.flags if flag.startswith("--") and flag not in listed.split()]
    return f"`run` has no {', '.join(flags)}" if flags else ""


def run(name: str, photos: Sequence[Path], out: Path, limit: float) -> Timed:
    """Cut out these photographs into `out`/NAME.png, in one process; what is there already is made anew."""
    method = METHODS[name]
    out.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        (out / f"{photo.stem}.png").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".run-") as scratch:
        given, made = Path(scratch, "photos"), Path(scratch, "out")
        given.mkdir()
        for photo in photos:
            os.link(photo, given / photo.name)
        if method.peer:
            words = ["env", f"U2NET_HOME={home()}", _rembg(), "p", "-m", MODEL, *method.flags, given, made]
            ran = measured(words, limit=limit)
        else:
            network = () if "--class" in method.flags else ("--model", MODEL)
            ran = command("run", given, "--out", made, *network, "--progress", "none", "-q", *method.flags, limit=limit)
        for path in sorted(made.glob("*.png")):
            shutil.move(path, out / path.name)
    missing = [photo.stem for photo in photos if not (out / f"{photo.stem}.png").exists()]
    why = ""
    if ran.code or missing:
        why = f"exit code {ran.code}, {len(missing)} of {len(photos)} pictures missing: {ran.said.strip()[-300:]}"
    return Timed(len(photos), ran.seconds, ran.rss, ran.cpu, why)


def home() -> Path:
    """The folder of the weights, which are there now."""
    weights.ensure(weights.MODELS[MODEL], progress=lambda done, total: None)
    return weights.cache_dir()


def warm(name: str, photo: Path, out: Path) -> None:
    """Once before the clock runs: rembg compiles its matting at its first start, and files come into memory."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".warm-") as scratch:
        run(name, [photo], Path(scratch, "out"), 300)


def remember(timed: Timed, path: Path) -> None:
    """Beside the results, so that runs in pieces add up to one table."""
    path.write_text(json.dumps(asdict(timed)), encoding="utf-8")


def remembered(path: Path) -> Timed | None:
    """What `remember` has written."""
    return Timed(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def peer_version() -> str:
    """Of rembg in its environment; empty where it is not there."""
    found = next(PEER.glob("lib/python*/site-packages/rembg-*.dist-info"), None)
    return found.name.removeprefix("rembg-").removesuffix(".dist-info") if found else ""


def _rembg() -> Path:
    return PEER / "bin" / "rembg"
