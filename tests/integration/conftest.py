"""The real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.engine import weights
from tests.support.local_doubles import SMALL, brought

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "batch_removebg"]
FAST = ("--class", "fast")  # where any network will do
DEADLINE = 50  # seconds; no command of these tests may hang

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def real_weights() -> None:
    """The weights of the smallest network, brought once to where the command finds them with FAST."""
    brought(SMALL)


@pytest.fixture(scope="session")
def default_weights() -> None:
    """Those of the network that is used where none is asked for."""
    brought(weights.MODELS[weights.CLASSES[weights.DEFAULT]])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command in a folder of the test's own, and return what it came to."""

    def command(*words: str | Path, env: dict[str, str] | None = None) -> Any:
        return called(tmp_path, *words, env=env)

    return command


def called(folder: Path, *words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What the command came to in a folder."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=folder,
        env=environment(env),
        input="",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command and go on; what still runs at the end is killed."""
    begun: list[subprocess.Popen[str]] = []

    def command(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            cwd=tmp_path,
            env=environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield command
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=DEADLINE)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def environment(more: dict[str, str] | None) -> dict[str, str]:
    """This process's environment and `more`; the package is found wherever the command runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **(more or {})}


def until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Read a command's `--progress json` until `event` has happened."""
    assert process.stdout is not None
    for line in process.stdout:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event:
            return record
    raise AssertionError(f"the command ended without {event}: {process.stderr.read() if process.stderr else ''}")
