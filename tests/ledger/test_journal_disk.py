"""Group commit, disks that fail, and appends that are cancelled."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from batch_removebg.errors import DiskError
from batch_removebg.ledger.journal import Ledger
from tests.support.journals import SAVED, Disk, Held, disk, entries, no_room, opened, path
from tests.support.oracle import entry

__all__ = ["disk", "path"]


# Group commit


@pytest.mark.anyio
async def test_appends_that_wait_together_share_an_fsync_and_keep_their_order(path: Path, disk: Disk) -> None:
    async with opened(path) as ledger:
        disk.calls.clear()
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(lambda n: ledger.append(entry("claimed", item=f"i{n}", output=f"{n}.png")), number)
    assert disk.calls.count("write") == 50
    assert 1 <= disk.calls.count("fsync") <= 2
    assert [entry["item"] for entry in entries(path)] == [f"i{n}" for n in range(50)]
    assert len(ledger.fold.items) == 50


@pytest.mark.anyio
async def test_what_comes_while_a_flush_is_under_way_waits_for_the_next(path: Path, disk: Disk) -> None:
    held = Held()
    done: list[str] = []

    async def append(ledger: Ledger, item: str) -> None:
        await ledger.append(entry("claimed", item=item, output=item))
        done.append(item)

    async with opened(path) as ledger, anyio.create_task_group() as tasks:
        disk.calls.clear()
        disk.on_fsync = held
        tasks.start_soon(append, ledger, "first")
        await held.reached()
        for item in ("second", "third"):
            tasks.start_soon(append, ledger, item)
        await anyio.wait_all_tasks_blocked()
        assert len(entries(path)) == 1
        held.go_on.set()
    assert disk.calls == ["write", "fsync", "write", "write", "fsync"]
    assert done == ["first", "second", "third"]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["no room", "short write", "fsync"])
async def test_a_failed_write_is_a_disk_error_for_everyone_and_for_good(path: Path, disk: Disk, fault: str) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    raised: list[str] = []

    async def append(ledger: Ledger, item: str) -> None:
        with pytest.raises(DiskError) as error:
            await ledger.append(entry("saved", **{**SAVED, "item": item}))
        raised.append(str(error.value))

    async with opened(path) as ledger:
        await ledger.append(entry("saved", **{**SAVED, "item": "before"}))
        if fault == "no room":
            disk.on_write = no_room
        elif fault == "short write":
            disk.on_write = lambda fd, data: disk.really_write(fd, data[:5])
        else:
            disk.on_fsync = fail
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(append, ledger, f"i{number}")
        disk.on_write, disk.on_fsync = None, lambda: None
        await append(ledger, "later")
        assert list(ledger.fold.items) == ["before"]
    reason = "Input/output error; check the disk" if fault == "fsync" else "the disk is full; make room"
    assert len(raised) == 4
    assert all(text.startswith(f"{path} can't be written: {reason}") for text in raised)


@pytest.mark.anyio
async def test_after_a_short_write_the_next_run_cuts_the_torn_line_and_goes_on(path: Path, disk: Disk) -> None:
    async with opened(path) as ledger:
        await ledger.append(entry("saved", **SAVED))
        disk.on_write = lambda fd, data: disk.really_write(fd, data[:5])
        with pytest.raises(DiskError):
            await ledger.append(entry("saved", **{**SAVED, "item": "torn"}))
    disk.on_write = None
    assert path.read_bytes().endswith(b'\n{"v":')
    async with opened(path) as ledger:
        await ledger.append(entry("saved", **{**SAVED, "item": "next"}))
        assert list(ledger.fold.items) == ["shoe", "next"]
    assert [entry["item"] for entry in entries(path)] == ["shoe", "next"]


@pytest.mark.anyio
async def test_a_ledger_that_cannot_be_opened_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="the folder is gone"):
        await opened(tmp_path / "gone" / "ledger.jsonl").__aenter__()


# Cancellation


@pytest.mark.anyio
async def test_cancelling_appends_that_wait_loses_no_line(path: Path, disk: Disk) -> None:
    held = Held()

    async with opened(path) as ledger:
        disk.on_fsync = held
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ledger.append(entry("saved", **{**SAVED, "item": "writing"})))
            await held.reached()
            tasks.start_soon(lambda: ledger.append(entry("saved", **{**SAVED, "item": "waiting"})))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            held.go_on.set()
        assert list(ledger.fold.items) == ["writing", "waiting"]
    assert [entry["item"] for entry in entries(path)] == ["writing", "waiting"]


@pytest.mark.anyio
async def test_an_append_of_a_task_that_is_cancelled_already_is_written_all_the_same(path: Path) -> None:
    async with opened(path) as ledger:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.append(entry("saved", **SAVED))
        assert list(ledger.fold.items) == ["shoe"]
    assert len(entries(path)) == 1
