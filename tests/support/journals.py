"""What the tests of the journal share: a disk that can be watched and stopped, and ledgers on it."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from batch_removebg.ledger.events import encode
from batch_removebg.ledger.journal import Ledger
from tests.support.doubles import FakeClock
from tests.support.oracle import entry

STAMP = "2027-01-15T08:00:00.000Z"
SAVED = {"item": "shoe", "output": "shoe.png", "sha256": "5e", "bytes": 10, "seconds": 1.5, "notes": ["one"]}

Write = Callable[[int, bytes], int]


class Disk:
    """The system's write and fsync, looked over the shoulder, and broken where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.lines: list[bytes] = []
        self.on_write: Write | None = None
        self.on_fsync: Callable[[], None] = lambda: None
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def write(self, fd: int, data: bytes) -> int:
        self.calls.append("write")
        self.lines.append(data)
        return self.on_write(fd, data) if self.on_write is not None else self._write(fd, data)

    def really_write(self, fd: int, data: bytes) -> int:
        return self._write(fd, data)

    def fsync(self, fd: int) -> None:
        self.on_fsync()
        self._fsync(fd)
        self.calls.append("fsync")


class Held:
    """An fsync that takes until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self._reached = threading.Event()

    def __call__(self) -> None:
        self._reached.set()
        assert self.go_on.wait(20)

    async def reached(self) -> None:
        assert await anyio.to_thread.run_sync(self._reached.wait, 20)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(monkeypatch)
    yield made
    monkeypatch.undo()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def opened(path: Path) -> Ledger:
    return Ledger(path, index=path.with_name("index.sqlite"), clock=FakeClock().clock)


def written(event: str, **fields: Any) -> bytes:
    """The line that an appended entry becomes."""
    return encode(entry(event, **fields), STAMP)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_bytes().splitlines()]


# A disk that fails


def no_room(fd: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
