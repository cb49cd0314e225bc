"""What the manifest tests share: files by name, and what is read of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from batch_removebg.manifest.columns import Choice
from batch_removebg.model import Item
from tests.support.items import read


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a current folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def ids(*inputs: str, out: Path | None = None) -> list[str]:
    return [item.id for item in read(inputs, out=out)]


def warned(*inputs: str, out: Path | None = None) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    return [item.id for item in read(inputs, out=out, on_warning=warnings.append)], warnings


def rows(name: str, content: bytes | str, choice: Choice = Choice()) -> list[Item]:
    data = content.encode() if isinstance(content, str) else content
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return list(read([name], out=None, choice=choice))
