"""A shop with three photos, and the command line with a scripted provider in the API's place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import main
from batch_removebg.clock import Clock
from batch_removebg.resources import Cpu
from batch_removebg.run import assemble
from batch_removebg.run.settings import Settings
from tests.support.doubles import ScriptedProvider, photo

KEY = "r8_SecretOfTheShop1234567890"
Said = Callable[..., tuple[int, str, str]]
API = ["--provider", "replicate", "--base-url", "http://127.0.0.1:9/v1"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    """What `--provider replicate` buys from."""
    made = ScriptedProvider()

    @asynccontextmanager
    async def provided(settings: Settings, clock: Clock, cpu: Cpu, loaded: object) -> AsyncIterator[Any]:
        yield made, assemble.workers_here(lambda: None, settings, cpu)

    monkeypatch.setattr(assemble, "provider", provided)
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    return made


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three photos in `in`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        (tmp_path / "in" / f"{name}.jpg").write_bytes(photo(colour=(number * 80, 0, 0)))
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """A command's exit code, stdout and stderr."""

    def command(*argv: str) -> tuple[int, str, str]:
        code = main.run_command(argv)
        return (code, *capsys.readouterr())

    return command


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    def state(path: Path) -> tuple[int, int, bytes]:
        status = path.stat()
        return status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b""

    return {str(path): state(path) for path in (root, *root.rglob("*"))}
