"""Installs what `make dist` has built in empty environments, with each Python that is here, and does the job there.

Run as `python tests/packaging/matrix.py FILE...` where uv is installed; prints a table, and ends with 1 if one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PHOTO = Path(__file__).parent.parent.parent / "samples" / "photos" / "oats.jpg"
UV = [sys.executable, "-m", "uv"]
SECONDS = 300  # for one command


class Failed(Exception):
    """A command didn't end as it should; the text is its own."""


def main(files: list[Path]) -> int:
    """The exit code."""
    bad = 0
    for version in PYTHONS:
        python = interpreter(version)
        if python is None:
            print(f"{version:7} not on this machine")
            continue
        for file in files:
            for kind in ("[local]", ""):
                begun = time.monotonic()
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        outcome = work(Path(folder), python, file, kind)
                except (Failed, subprocess.TimeoutExpired) as error:
                    bad, outcome = bad + 1, f"FAILED: {error}"
                print(f"{version:7} {file.name + kind:46} {time.monotonic() - begun:5.0f} s  {outcome}", flush=True)
    return 1 if bad else 0


def interpreter(version: str) -> Path | None:
    """A Python of that version: on PATH, or pyenv's, whose shims run only what is chosen."""
    for path in _candidates(version):
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        said = subprocess.run([path, "-c", asked], capture_output=True, text=True, check=False, timeout=SECONDS)
        if said.stdout.strip() == version:
            return path
    return None


def _candidates(version: str) -> Iterator[Path]:
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    yield from Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob(f"versions/{version}.*/bin/python")


def work(folder: Path, python: Path, file: Path, kind: str) -> str:
    """Install and use the file in an empty environment in a folder; returns what was done, raises Failed."""
    done(folder, *UV, "venv", "--quiet", "--python", str(python), "env")
    into = str(folder / "env" / "bin" / "python")
    done(
        folder, *UV, "pip", "install", "--quiet", "--python", into, f"batch-removebg{kind} @ {file.resolve().as_uri()}"
    )
    command = str(folder / "env" / "bin" / "batch-removebg")
    if not (folder / "env" / "share" / "man" / "man1" / "batch-removebg.1").is_file():
        raise Failed("the man page isn't installed")
    done(folder, command, "--help")
    done(folder, command, "completion", "bash")
    if not kind:
        done(folder, command, "run", str(PHOTO), "--out", "out", expected=2)  # says how the engine is installed
        done(folder, command, "run", str(PHOTO), "--out", "out", "--provider", "replicate", "--dry-run")
        done(folder, command, "check", str(PHOTO), "--preset", "amazon", expected=3)
        return "help, completion, dry run, check; the engine is refused"
    done(folder, command, "run", str(PHOTO), "--out", "out")
    done(folder, command, "status", "out", "--json")
    if not (folder / "out" / "oats.png").is_file():
        raise Failed("there is no cutout")
    return "help, completion, a cutout, status"


def done(folder: Path, *command: str, expected: int = 0) -> None:
    """Run a command in a folder, away from the checkout; raises Failed unless it ends as expected."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False, timeout=SECONDS)
    if ended.returncode != expected:
        raise Failed(f"{' '.join(command[:3])}: exit code {ended.returncode}\n{ended.stderr[-500:]}")


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
