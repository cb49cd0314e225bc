"""Invariant 5 of the ledger: one writer for each OUT, and a lock that dies with its process."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from batch_removebg.errors import DiskError, LockedError
from batch_removebg.storage.lock import locked
from tests.support.doubles import FakeClock

CLOCK = FakeClock().clock
HOLDER = """
import sys
from pathlib import Path
from batch_removebg.clock import Clock
from batch_removebg.storage.lock import locked
with locked(Path(sys.argv[1]), clock=Clock(wall=lambda: 1_800_000_000.0)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / ".batch-removebg"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def other(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(state)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_and_told_who_holds_it_until_that_process_dies(
    state: Path, other: subprocess.Popen[str]
) -> None:
    with pytest.raises(LockedError) as error, locked(state, clock=CLOCK):
        pytest.fail("two writers")
    assert str(error.value) == (
        f"{state.parent} is in use by another run (process {other.pid} on {socket.gethostname()}, "
        "since 2027-01-15T08:00:00.000Z); wait for it, or choose another --out"
    )
    assert error.value.exit_code == 11
    assert json.loads((state / "holder.json").read_text())["pid"] == other.pid  # still theirs
    other.kill()
    other.wait()
    assert (state / "holder.json").exists()
    assert (state / "lock").exists()
    with locked(state, clock=CLOCK):
        assert json.loads((state / "holder.json").read_text())["pid"] == os.getpid()


def test_who_holds_it_is_on_record_for_as_long_as_it_is_held(state: Path) -> None:
    with locked(state, clock=CLOCK):
        known = json.loads((state / "holder.json").read_text())
        assert known == {"pid": os.getpid(), "host": socket.gethostname(), "since": "2027-01-15T08:00:00.000Z"}
    assert not (state / "holder.json").exists()


def test_it_is_released_however_the_block_ends(state: Path) -> None:
    with pytest.raises(RuntimeError), locked(state, clock=CLOCK):
        raise RuntimeError
    with locked(state, clock=CLOCK):
        pass


def test_a_holder_that_has_left_no_readable_name_still_holds(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filelock.FileLock", functools.partial(impatient, filelock.FileLock))
    with locked(state, clock=CLOCK):
        for found in (None, b"", b"[]", b'"x"', b"{", b'{"pid": 1}', b"\xff"):
            (state / "holder.json").unlink() if found is None else (state / "holder.json").write_bytes(found)
            with pytest.raises(LockedError, match=r"another run \(process unknown\)"), locked(state, clock=CLOCK):
                pytest.fail("two writers")


def impatient(real: type[filelock.BaseFileLock], path: Path, **given: Any) -> filelock.BaseFileLock:
    """The lock that waits for nobody."""
    return real(path, **{**given, "timeout": 0.0})


def test_a_holder_file_that_cannot_be_removed_hides_no_error_and_keeps_no_lock(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, os.strerror(30))

    def run() -> None:
        with monkeypatch.context() as patch, locked(state, clock=CLOCK):
            patch.setattr(Path, "unlink", read_only)
            raise DiskError("the ledger's own")

    with pytest.raises(DiskError, match="the ledger's own"):
        run()
    with locked(state, clock=CLOCK):
        pass


def test_a_state_folder_that_cannot_be_written_is_a_disk_error(state: Path) -> None:
    (state / "holder.json").mkdir()
    with pytest.raises(DiskError, match=r"holder\.json can't be written"), locked(state, clock=CLOCK):
        pytest.fail("held without a name")
    (state / "holder.json").rmdir()
    with locked(state, clock=CLOCK):
        pass
