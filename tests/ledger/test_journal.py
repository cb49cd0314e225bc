"""The journal: its six invariants, group commit, and what a full disk or a crash at any byte leaves."""

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
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import DiskError, LedgerDamaged, LedgerError
from batch_removebg.ledger.events import encode, lenient
from batch_removebg.ledger.journal import Ledger
from tests.support.doubles import FakeClock
from tests.support.oracle import Oracle, entry, line, replay, same

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


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that open hundreds of ledgers: what they look at does not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def opened(path: Path) -> Ledger:
    return Ledger(path, index=path.with_name("index.sqlite"), clock=FakeClock().clock)


def written(event: str, **fields: Any) -> bytes:
    """The line that an appended entry becomes."""
    return encode(entry(event, **fields), STAMP)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_bytes().splitlines()]


# Invariants 1 and 2, as far as they are the ledger's: a line counts, and its writer goes on, once it is on disk


@pytest.mark.anyio
async def test_invariants_1_and_2_append_returns_only_after_its_line_is_durable(path: Path, disk: Disk) -> None:
    held = Held()

    async def append(ledger: Ledger) -> None:
        await ledger.append(entry("submitting", item="shoe", key="k"))
        disk.calls.append("returned")

    async with opened(path) as ledger, anyio.create_task_group() as tasks:
        disk.calls.clear()
        disk.on_fsync = held
        tasks.start_soon(append, ledger)
        await held.reached()
        assert disk.calls == ["write"]
        assert ledger.fold.items == {}
        assert entries(path)[-1]["item"] == "shoe"
        held.go_on.set()
    assert disk.calls == ["write", "fsync", "returned"]
    assert ledger.fold.items["shoe"].lost is not None


@pytest.mark.anyio
async def test_a_new_ledger_is_durable_under_its_name_before_anything_is_written(path: Path, disk: Disk) -> None:
    async with opened(path):
        assert disk.calls == ["fsync"] * 3  # of the file, of the folder that names it, and of the index
        assert path.read_bytes() == b""


# Invariant 3


@pytest.mark.anyio
async def test_invariant_3_one_entry_is_one_write_of_one_line(path: Path, disk: Disk) -> None:
    async with opened(path) as ledger:
        await ledger.append(entry("run_started", provider="local"))
        await ledger.append(entry("saved", **SAVED))
    assert disk.lines == [written("run_started", provider="local"), written("saved", **SAVED)]
    assert path.read_bytes() == b"".join(disk.lines)


@pytest.mark.anyio
@pytest.mark.usefixtures("without_fsync")
async def test_invariant_3_a_tail_torn_at_any_byte_is_put_aside_and_the_next_append_starts_on_a_fresh_line(
    path: Path,
) -> None:
    lines = [line("saved", item="a", output="á"), line("failed", item="b", kind="k"), line("saved", item="a")]
    whole = b"".join(lines)
    ends = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    for cut in range(len(whole) + 1):
        for left in path.parent.iterdir():
            left.unlink()
        path.write_bytes(whole[:cut])
        kept = max(end for end in ends if end <= cut)
        fold, sound = replay(path)
        assert sound == kept
        assert len(fold.items) == min(2, ends.index(kept))
        async with opened(path) as ledger:
            assert dict(ledger.fold.each()) == fold.items
            await ledger.append(entry("failed", item="c", kind="after"))
        assert path.read_bytes() == whole[:kept] + written("failed", item="c", kind="after")
        aside = {each.name: each.read_bytes() for each in path.parent.glob("*.cut-*")}
        assert aside == ({"ledger.jsonl.cut-20270115T080000000Z": whole[kept:cut]} if kept < cut else {})


@pytest.mark.anyio
async def test_nothing_is_cut_before_it_is_durable_elsewhere_and_nothing_cut_before_is_overwritten(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(descriptor: int, size: int) -> None:
        disk.calls.append("cut")
        truncate(descriptor, size)

    truncate = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", cut)
    for tail in (b'{"v":1', b"another"):
        with path.open("ab") as file:
            file.write(tail)
        disk.calls.clear()
        async with opened(path):
            pass
        before = disk.calls[: disk.calls.index("cut")]
        assert before[before.index("write") :] == ["write", "fsync", "fsync"]  # what is cut, and the name that it has
    first = "ledger.jsonl.cut-20270115T080000000Z"
    assert {each.name: each.read_bytes() for each in path.parent.glob("*.cut-*")} == {
        first: b'{"v":1',
        f"{first}-2": b"another",
    }


@pytest.mark.anyio
async def test_a_tail_that_cannot_be_put_aside_is_not_cut(path: Path, disk: Disk) -> None:
    path.write_bytes(line("saved", **SAVED) + b"torn")
    disk.on_write = no_room
    with pytest.raises(DiskError, match="the disk is full; make room"):
        await opened(path).__aenter__()
    assert path.read_bytes() == line("saved", **SAVED) + b"torn"


def test_a_ledger_that_is_not_there_yet_is_empty(path: Path) -> None:
    assert replay(path) == (Oracle(), 0)


NO_LINES = [b"\0" * 512, b"\0\0", b"{}", b"[1]", b"", b"\xff\xfe", b'{"v":true}', b'{"v":"1"}', b"[" * 99_999]


@pytest.mark.parametrize("odd", NO_LINES, ids=range(len(NO_LINES)))
@pytest.mark.parametrize("after", [b"", line("saved", item="b"), b"worse\n", b"torn"])
@pytest.mark.anyio
async def test_only_a_last_line_without_its_end_is_torn_and_any_other_is_refused_and_left_as_it_is(
    path: Path, odd: bytes, after: bytes
) -> None:
    sound = line("saved", **SAVED)
    path.write_bytes(sound + odd)
    assert replay(path)[1] == len(sound)
    path.write_bytes(sound + odd + b"\n" + after)
    with pytest.raises(LedgerDamaged, match=r"ledger\.jsonl: line 2 is damaged.*batch-removebg repair .*--start-over"):
        await opened(path).__aenter__()
    assert path.read_bytes() == sound + odd + b"\n" + after
    assert [each.name for each in path.parent.iterdir()] == [path.name]


LINES = st.sampled_from(
    [
        *(line(event, **SAVED) for event in ("saved", "failed", "submitting", "submitted", "rejected", "claimed")),
        line("run_started", provider="local", version="v"),
        line("saved", item="b", seconds=10**400, meta={"a": [1]}, notes={"no": 1}),
        b'{"v":1,"t":7,"event":"submitting","item":"c","key":[],"output":{}}\n',
        b'{"v":1,"event":"saved","item":"d","seconds":1e999,"bytes":true}\n',
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=4), st.binary(max_size=60), st.booleans(), st.lists(LINES, max_size=2))
@example([], b"\x00{\x00}\n", False, [])
@example([], b'{"v":1}', True, [])
def test_any_bytes_replay_or_are_a_ledger_error_and_good_lines_before_damage_count(
    tmp_path_factory: pytest.TempPathFactory, good: list[bytes], noise: bytes, newline: bool, more: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(b"".join(good) + noise + (b"\n" if newline else b"") + b"".join(more))
    try:
        fold, sound = replay(path)
    except LedgerError:
        assert newline or b"\n" in noise or (noise and more)  # sound lines, and a torn one, are never refused
        return
    assert sound >= len(b"".join(good))
    known = Oracle()
    for each in good:
        known.apply(lenient(json.loads(each)))
    assert fold.items.keys() >= known.items.keys()
    assert fold.predictions >= known.predictions


# Invariant 4


@pytest.mark.anyio
async def test_invariant_4_the_fold_in_memory_is_the_fold_of_the_lines_on_disk(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.append(entry("run_started", provider="replicate", version="v1", settings={"rate": 6.0}))
        for item in ("a", "b", "c", "d"):
            await ledger.append(entry("submitting", item=item, attempt=1, key=f"k{item}", output=f"{item}.png"))
        await ledger.append(entry("submitted", item="a", prediction_id="p1"))
        await ledger.append(entry("rejected", item="b", kind="rate-limit"))
        await ledger.append(entry("submitted", item="d", prediction_id="p2", found=True))
        await ledger.append(entry("saved", **{**SAVED, "item": "a", "prediction_id": "p1", "meta": {"n": 1}}))
        await ledger.append(entry("failed", item="b", kind="source", message="is empty", retryable=False, attempts=0))
        assert ledger.fold.counts() == {"total": 4, "saved": 1, "failed": 1, "pending": 2, "gone": 0}
        same(ledger.fold, replay(path)[0])


# Invariant 5 is the lock's, see test_lock. Invariant 6:


def test_invariant_6_unknown_events_and_fields_are_ignored(path: Path) -> None:
    path.write_bytes(
        line("run_paused", item="x", why="lunch") + line("saved", mood="good", **SAVED) + b'{"v":1,"moon":"full"}\n'
    )
    fold, sound = replay(path)
    assert sound == path.stat().st_size
    path.write_bytes(line("saved", **SAVED))
    assert replay(path)[0] == fold


@pytest.mark.anyio
async def test_invariant_6_a_larger_version_is_refused_and_the_ledger_left_alone(path: Path) -> None:
    newer = line("saved", item="a") + b'{"v":2,"event":"saved","item":"b"}\n'
    path.write_bytes(newer)
    with pytest.raises(
        LedgerError, match="line 2: written in format 2, and this batch-removebg knows up to 1; upgrade"
    ):
        await opened(path).__aenter__()
    assert path.read_bytes() == newer


def test_a_ledger_that_cannot_be_read_is_a_ledger_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="can't be read: Is a directory"):
        replay(path)


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


# A disk that fails


def no_room(fd: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
