"""The journal's invariants: whole lines, durable in order, and nothing cut that isn't kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import DiskError, LedgerDamaged, LedgerError
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.journal import Ledger
from tests.support.journals import SAVED, Disk, Held, disk, entries, no_room, opened, path, written
from tests.support.oracle import Oracle, entry, line, replay, same

__all__ = ["disk", "path"]


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that open hundreds of ledgers: what they look at does not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


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
