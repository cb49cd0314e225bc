"""The index: the same answers as a fold in memory, whatever happened to it, and never ahead of the ledger."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import IndexDamaged, LedgerDamaged, LedgerError
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.index.bitset import Bitset
from batch_removebg.ledger.index.database import Database
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import FAILED, FORMAT, row, unpack
from batch_removebg.ledger.journal import Ledger, look, open_indexed
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.storage.layout import LEDGER
from batch_removebg.storage.naming import Claims
from tests.support.doubles import FakeClock
from tests.support.oracle import Oracle, entry, line, namer, new_database, replay, same

IDS = ["shoe", "hat", "bag", "caf\udce9", "a\nb", ""]
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "output": st.sampled_from(["a.png", "A.png", "sub/b.png", "sub", None, 7]),
    "fingerprint": st.sampled_from(["f1", "f2", None]),
    "prediction_id": st.sampled_from(["p1", "p2", "\ud800", None]),
    "source": st.sampled_from(["in/a.jpg", "https://x/a.jpg", "\udce9"]),
    "source_sha256": st.sampled_from(["5e", None]),
    "recipe": st.sampled_from(["r1", None]),
    "bytes": st.sampled_from([10, 1 << 70, None]),
    "seconds": st.sampled_from([1.5, 2, -0.0, None]),
    "meta": st.sampled_from([{"sku": "7"}, {"n": [1, 2.5, None], "é": {"x": 1}}, {}]),
    "notes": st.sampled_from([["profile left out"], [1]]),
    "quality": st.sampled_from([{"coverage": 0.3, "peak": None, "touches": ["top"]}, {}, 7, None]),
    "flags": st.sampled_from([["empty"], ["faint", "cut-off"], [], [1], "empty", None]),
    "reused": st.booleans(),
    "retryable": st.booleans(),
    "possible_duplicate": st.booleans(),
    "kind": st.sampled_from(["source", "output"]),
    "key": st.sampled_from(["k1", "k2"]),
    "was": st.sampled_from(IDS),
    "t": st.sampled_from(["2026-01-31T02:00:00.123Z"]),
    "signature": st.sampled_from(["1:2:3", None]),
    "provider": st.sampled_from(["local", "replicate"]),
    "engine": st.sampled_from(["openvino CPU bf16", "onnxruntime CPU float32", 5]),
}
EVENTS = [
    "run_started",
    "engine_loaded",
    "submitting",
    "submitted",
    "rejected",
    "claimed",
    "saved",
    "failed",
    "unchanged",
    "renamed",
    "gone",
]
ENTRIES = st.builds(
    lambda event, item, fields: {**fields, "event": event, "item": item},
    st.sampled_from([*EVENTS, "saved", "submitting", "run_finished"]),
    st.sampled_from(IDS),
    st.fixed_dictionaries({}, optional=FIELDS),
)
STEPS = st.lists(ENTRIES | st.sampled_from(["commit", "reopen"]), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_an_index_says_what_a_fold_in_memory_says(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.sqlite"
        fold, known = IndexedFold(new_database(path)), Oracle()
        for step in steps:
            if isinstance(step, dict):
                fold.apply(lenient(step))
                known.apply(lenient(step))
            else:
                fold.commit()
            if step == "reopen":
                fold.close()
                fold = IndexedFold(Database.open(path))
            same(fold, known)
        fold.close()


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_what_could_not_be_committed_comes_with_the_next_commit(steps: list[Any]) -> None:
    database, known = new_database(), Oracle()
    fold = IndexedFold(database)
    write = database.write

    def fails(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    for step in steps:
        if isinstance(step, dict):
            fold.apply(lenient(step))
            known.apply(lenient(step))
            continue
        database.write = write if step == "commit" else fails  # type: ignore[method-assign]
        with contextlib.suppress(sqlite3.Error):
            fold.commit()
        assert {key: fold.items.get(key) for key in IDS} == {key: known.items.get(key) for key in IDS}
    same(fold, known)
    database.write = write  # type: ignore[method-assign]
    fold.commit()
    same(fold, known)
    database.close()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ENTRIES, max_size=25), st.integers(1, 5))
def test_an_index_built_from_a_ledger_says_what_a_fold_in_memory_says(steps: list[Any], lines: int) -> None:
    """Also of items that the ledger comes back to after they were written to the new file."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_removebg.ledger.journal._LINES", lines)
        patch.setattr("batch_removebg.ledger.index.indexed_state._AT_HAND", 1)
        out = Path(folder)
        (out / LEDGER).write_bytes(b"".join(line(**step) for step in steps))
        agrees(out)


def test_a_look_beside_a_change_keeps_nothing_of_the_state_before() -> None:
    fold = IndexedFold(new_database())
    fold.apply(lenient({"event": "claimed", "item": "a", "output": "a.png"}))
    fold.commit()
    find = fold.database.find

    def changed_meanwhile(h: int) -> Any:
        fold.database.find = find  # type: ignore[method-assign]
        found = find(h)
        fold.apply(lenient({"event": "submitted", "item": "a", "prediction_id": "p"}))
        fold.commit()
        return found

    fold.items.live.clear()
    fold.database.find = changed_meanwhile  # type: ignore[method-assign]
    assert not fold.items["a"].in_flight  # as it was when the look began
    assert fold.items["a"].in_flight
    fold.apply(lenient({"event": "claimed", "item": "a", "output": "b.png"}))
    assert fold.items["a"].in_flight
    fold.close()


# A ledger and its index, after all kinds of accidents


def bought(name: str) -> bytes:
    saved = {"item": name, "source": f"in/{name}", "output": f"{name}.png", "bytes": 9, "recipe": "r"}
    return (
        line("submitting", item=name, key="k", output=f"{name}.png", fingerprint=f"f{name}")
        + line("submitted", item=name, prediction_id=f"p{name}")
        + line("saved", **saved, prediction_id=f"p{name}", attempts=1)
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / LEDGER).write_bytes(line("run_started", provider="p", version="v") + b"".join(map(bought, "abc")))
    return tmp_path


def index(out: Path) -> Path:
    return out / "index.sqlite"


def agrees(out: Path) -> Oracle:
    """What a replay gives; the index agrees with it, for a run and for whoever looks."""
    known, sound = replay(out / LEDGER)
    for opened in (look, open_indexed, look):
        before = tree(out)
        fold = opened(out / LEDGER, index(out))
        assert opened is not look or tree(out) == before
        same(fold, known)
        assert fold.checkpoint.end == sound
        fold.close()
    return known


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    # SQLite's shared memory is no file to keep: whoever looks may leave a mark in it.
    found = (path for path in folder.iterdir() if not path.name.endswith("-shm"))
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def covered(out: Path) -> int:
    """Bytes of the ledger that the index covers."""
    database = Database.open(index(out))
    end: int = (database.meta("checkpoint") or {"end": 0})["end"]
    database.close()
    return end


def test_an_index_is_made_where_there_is_none_and_then_only_the_rest_is_read(out: Path) -> None:
    agrees(out)
    before = covered(out)
    assert before == (out / LEDGER).stat().st_size
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(bought("d"))
    agrees(out)
    assert covered(out) > before


def test_a_torn_tail_is_left_out_and_read_again_when_it_is_whole(out: Path) -> None:
    whole = bought("d")
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(whole[:-9])
    assert agrees(out).counts()["pending"] == 1
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(whole[-9:])
    assert agrees(out).counts()["saved"] == 4


def edited(out: Path) -> None:
    data = (out / LEDGER).read_bytes()
    (out / LEDGER).write_bytes(data.replace(b'"saved","item":"b"', b'"saved","item":"B"'))


def edited_and_longer(out: Path) -> None:
    edited(out)
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(bought("d"))


def truncated(out: Path) -> None:
    data = (out / LEDGER).read_bytes()
    (out / LEDGER).write_bytes(b"".join(data.splitlines(keepends=True)[:-2]))


def replaced(out: Path) -> None:
    (out / "other").write_bytes(b"".join(map(bought, "xyz")) * 2)
    (out / "other").replace(out / LEDGER)


def emptied(out: Path) -> None:
    (out / LEDGER).write_bytes(b"")


def removed(out: Path) -> None:
    (out / LEDGER).unlink()


@pytest.mark.parametrize("change", [edited, edited_and_longer, truncated, replaced, emptied, removed])
def test_an_index_of_another_past_is_evidence_and_nothing_is_touched(out: Path, change: Any) -> None:
    agrees(out)
    change(out)
    if (out / LEDGER).exists():
        os.utime(out / LEDGER, ns=(1, 1))
    before = tree(out)
    for opened in (look, open_indexed):
        with pytest.raises(LedgerDamaged, match=r"index covers.*repair.*--start-over"):
            opened(out / LEDGER, index(out))
    assert tree(out) == before


def test_an_index_of_another_past_is_evidence_also_where_the_ledger_has_grown_by_much(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_removebg.ledger.index.checkpoint._MUCH", 1)
    agrees(out)
    edited(out)
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(bought("d") * 9)
    with pytest.raises(LedgerDamaged, match="aren't those that its index covers"):
        open_indexed(out / LEDGER, index(out))


def test_a_ledger_that_was_only_touched_is_read_over_and_believed(out: Path) -> None:
    agrees(out)
    database = Database.open(index(out))
    database.put_meta("mark", "kept")
    database.close()
    os.utime(out / LEDGER, ns=(1, 1))
    agrees(out)
    database = Database.open(index(out))
    assert database.meta("mark") == "kept"
    database.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)


def text(path: Path) -> None:
    path.write_text("not a database at all\n" * 99)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE item(n)")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()


def strange_checkpoint(path: Path, value: str = "[1") -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint'", (value,))
    connection.commit()
    connection.close()


def stranger_checkpoint(path: Path) -> None:
    strange_checkpoint(path, '{"end": "here", "unheard of": 1}')


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = [garbage, text, cut, empty, foreign, newer, strange_checkpoint, stranger_checkpoint, folder]


@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_damaged_or_foreign_index_is_made_anew_or_done_without(out: Path, spoil: Any) -> None:
    agrees(out)
    spoil(index(out))
    agrees(out)
    agrees(out)


def test_a_row_that_was_damaged_is_never_believed_and_the_next_run_is_well_again(out: Path) -> None:
    agrees(out)
    connection = sqlite3.connect(index(out))
    connection.execute("UPDATE item SET state = replace(state, 'in/b', 'in/x') WHERE id = CAST('b' AS BLOB)")
    connection.execute("UPDATE item SET state = CAST(replace(CAST(state AS TEXT), 'in/b', 'in/x') AS BLOB)")
    connection.commit()
    connection.close()
    fold = open_indexed(out / LEDGER, index(out))
    with pytest.raises(IndexDamaged, match="run the same command again"):
        fold.items.get("b")
    fold.close()
    agrees(out)


def test_damage_in_the_ledger_is_refused_as_ever(out: Path) -> None:
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(b"damaged\n" + bought("d"))
    for opened in (open_indexed, look):
        with pytest.raises(LedgerError, match="line 11 is damaged"):
            opened(out / LEDGER, index(out))
    (out / LEDGER).write_bytes(bought("a") + b'{"v":2,"event":"saved"}\n')
    with pytest.raises(LedgerError, match="line 4: written in format 2"):
        open_indexed(out / LEDGER, index(out))


def test_a_build_that_breaks_off_leaves_no_index_and_the_next_run_builds_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Database) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "built", killed)
    with pytest.raises(KeyboardInterrupt):
        open_indexed(out / LEDGER, index(out))
    assert [path.name for path in out.iterdir()] == [LEDGER]
    monkeypatch.undo()
    (out / "index.sqlite.new").write_bytes(b"what a kill leaves")
    agrees(out)
    assert {path.name for path in out.iterdir()} == {LEDGER, "index.sqlite"}


def test_an_index_is_built_anew_where_the_ledger_has_grown_by_much(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.ledger.index.checkpoint._MUCH", 1)
    agrees(out)
    for name, kept in (("d", False), ("e", True)):
        database = Database.open(index(out))
        database.put_meta("mark", "kept")
        database.close()
        with (out / LEDGER).open("ab") as ledger:
            ledger.write(bought("d") * 9 if name == "d" else line("claimed", item="e"))
        agrees(out)
        database = Database.open(index(out))
        assert database.meta("mark") == ("kept" if kept else None)
        database.close()


# A run


@pytest.mark.anyio
async def test_a_kill_after_any_flush_leaves_an_index_that_is_not_ahead_of_the_ledger(tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    run.mkdir()
    async with Ledger(run / LEDGER, clock=FakeClock().clock, index=index(run)) as ledger:
        for number in range(12):
            await ledger.append(entry("submitting", item=f"i{number % 5}", key="k", output="o.png"))
            if number % 3 == 0:
                await ledger.commit()
            shutil.copytree(run, copy)
            agrees(copy)
            assert covered(copy) <= (copy / LEDGER).stat().st_size
            shutil.rmtree(copy)
    assert covered(run) == (run / LEDGER).stat().st_size


@pytest.mark.anyio
async def test_the_index_covers_only_what_a_power_cut_would_leave_of_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an honest power cut would look like a ledger that was cut by somebody."""
    path, durable, covers = tmp_path / LEDGER, {0}, list[tuple[int, int]]()
    fsync, write = os.fsync, Database.write

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            durable.add(path.stat().st_size)

    def covering(self: Database, *args: Any, **meta: Any) -> None:
        covers.append((meta["checkpoint"].end, max(durable)))
        write(self, *args, **meta)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Database, "write", covering)
    path.write_bytes(bought("a"))  # by a run that was killed before its fsync
    for number in range(2):
        async with Ledger(path, clock=FakeClock().clock, index=index(tmp_path)) as ledger:
            assert ledger.fold.checkpoint.end in durable
            async with anyio.create_task_group() as tasks:
                for n in range(9):
                    tasks.start_soon(lambda key: ledger.append(entry("claimed", item=key, output=key)), f"{number}{n}")
                    tasks.start_soon(ledger.commit)
    assert len(covers) > 8
    assert [end for end, safe in covers if end > safe] == []


@pytest.mark.anyio
async def test_whoever_looks_during_a_run_sees_it_and_leaves_no_trace(tmp_path: Path) -> None:
    async with Ledger(tmp_path / LEDGER, clock=FakeClock().clock, index=index(tmp_path)) as ledger:
        await ledger.append(entry("failed", item="a", kind="source"))
        await ledger.commit()
        await ledger.append(entry("failed", item="b", kind="source"))
        before = set(tree(tmp_path))
        fold = look(tmp_path / LEDGER, index(tmp_path))
        assert fold.counts() == {"total": 2, "saved": 0, "failed": 2, "pending": 0, "gone": 0}
        fold.close()
        assert set(tree(tmp_path)) == before
        await ledger.append(entry("failed", item="c", kind="source"))
        await ledger.commit()
    assert {path.name for path in tmp_path.iterdir()} == {LEDGER, "index.sqlite"}


@pytest.mark.anyio
async def test_a_ledger_written_with_another_index_is_caught_up_with(tmp_path: Path) -> None:
    for name in ("index.sqlite", "other", "index.sqlite", "other"):
        async with Ledger(tmp_path / LEDGER, clock=FakeClock().clock, index=tmp_path / name) as ledger:
            await ledger.append(entry("claimed", item=name, output="o.png"))
    assert len(agrees(tmp_path).items) == 2


@pytest.mark.anyio
async def test_an_index_that_cannot_be_written_costs_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with Ledger(tmp_path / LEDGER, clock=FakeClock().clock, index=index(tmp_path)) as ledger:
        await ledger.append(entry("claimed", item="a", output="a.png"))
        monkeypatch.setattr(Database, "write", full)
        await ledger.commit()
        await ledger.append(entry("submitted", item="a", prediction_id="p"))
        assert ledger.fold.items["a"].in_flight
        assert ledger.fold.counts()["pending"] == 1
    monkeypatch.undo()
    assert agrees(tmp_path).predictions == 1


# Rows, bits, names, and what a run has read


def test_a_state_comes_back_as_it_was() -> None:
    fold = Oracle()
    for _ in range(3):
        fold.apply(lenient({"event": "submitting", "item": "a", "key": "k", "t": "t", "possible_duplicate": True}))
    fold.apply(
        lenient({"event": "failed", "item": "b", "kind": "x", "message": "\ud800", "notes": ["n"], "retryable": True})
    )
    for key, state in [*fold.each(), ("new", ItemState())]:
        *_, name, data, crc = row(1, key, state)
        assert unpack(name, data, crc) == state
        with pytest.raises(IndexDamaged):
            unpack(name, row(1, key, ItemState(source="x"))[-2], crc)


@given(st.sets(st.integers(0, 100_000), max_size=30))
def test_bits_are_a_set_of_numbers(numbers: set[int]) -> None:
    bits, updated = Bitset(), Bitset()
    for number in numbers:
        bits.add(number)
    updated.add(*numbers)
    assert bits._bytes.rstrip(b"\0") == updated._bytes.rstrip(b"\0")
    assert all(number in bits for number in numbers)
    assert 100_001 not in bits
    assert (3 in bits) == (3 in numbers)


@pytest.mark.parametrize("at_hand", [2, 4096])
def test_names_are_given_as_from_memory_however_many_there_are(at_hand: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.ledger.index.run_items._AT_HAND", at_hand)
    fold = IndexedFold(new_database())
    fold.apply(lenient({"event": "claimed", "item": "old.jpg", "output": "a.png"}))
    fold.apply(lenient({"event": "claimed", "item": "old.jpg", "output": "x/y.png"}))
    fold.commit()
    reading = RunItems(fold)
    indexed = Claims("png", owners=reading.names)
    memory = namer("png", known=[("old.jpg", "a.png"), ("old.jpg", "x/y.png")])
    ids = ["a.jpg", "A.jpg", "a.gif", "x.jpg", "x/y.jpg", "b/c.jpg", "b.jpg", "b", "old.jpg", "c.jpg", "C.png", "a.jpg"]
    items = [Item(each, each, "in") for each in ids]
    assert [indexed.claim(item) for item in items] == [memory.claim(item) for item in items]
    reading.close()
    fold.close()


class Sizes:
    """What is in memory after a run of `n` new items, of which only some reach the ledger."""

    def __init__(self, n: int) -> None:
        fold = IndexedFold(new_database())
        reading = RunItems(fold)
        claims = Claims("png", owners=reading.names)
        for number in range(n):
            item = Item(f"i{number}", f"in/{number}.jpg", "in", meta={"sku": number})
            reading.begin(item)
            name = claims.claim(item)
            if number % 3:
                fold.apply(lenient({"event": "saved", "item": item.id, "output": name, "source": item.source}))
            if number % 50 == 0:
                fold.commit()
        fold.commit()
        states = fold.items
        self.held = len(states.live) + len(reading._waiting)
        self.counts = reading.counts()
        self.unknown = [item.id for item in reading.unknown()]
        reading.close()
        fold.close()


def test_memory_does_not_grow_with_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.ledger.index.run_items._AT_HAND", 64)
    monkeypatch.setattr("batch_removebg.ledger.index.indexed_state._AT_HAND", 64)
    small, large = Sizes(400), Sizes(1600)
    assert large.held <= 3 * 64
    assert small.held <= 3 * 64
    assert large.counts == {"total": 1600, "saved": 1066, "failed": 0, "pending": 534, "gone": 0}
    assert large.unknown == [f"i{number}" for number in range(0, 1600, 3)]


def test_the_counts_are_those_of_the_manifest_as_far_as_it_is_known() -> None:
    fold = IndexedFold(new_database())
    for name, event in [("a", "saved"), ("b", "failed"), ("c", "saved"), ("d", "failed"), ("e", "claimed")]:
        told = {"kind": "k", "message": f"{name} is bad", "source": name}
        fold.apply(lenient({"event": event, "item": name, **told}))
    fold.commit()
    reading = RunItems(fold)
    reading.numbers.add(1)
    for name in ("b", "e", "new"):
        reading.begin(Item(name, name, "in"))
    assert reading.counts() == {"total": 6, "saved": 2, "failed": 2, "pending": 2, "gone": 0}
    fold.apply(lenient({"event": "saved", "item": "new", "output": "n.png"}))
    assert reading.counts() == {"total": 6, "saved": 3, "failed": 2, "pending": 1, "gone": 0}
    assert list(reading.absent()) == ["c", "d"]
    for name in ("c", "d"):
        fold.apply(lenient({"event": "gone", "item": name}))
    assert reading.counts() == {"total": 4, "saved": 2, "failed": 1, "pending": 1, "gone": 2}
    fold.apply(lenient({"event": "renamed", "item": "f", "was": "a"}))
    assert reading.counts() == {"total": 4, "saved": 2, "failed": 1, "pending": 1, "gone": 2}
    assert list(reading.absent()) == []
    assert [key for key, _ in fold.each(FAILED)] == ["b"]
    fold.apply(lenient({"event": "run_finished", "saved": 2, "failed": 1, "pending": 9}))
    assert fold.counts()["pending"] == 9  # those that the run has read, and no line names
    fold.close()


def test_what_is_on_its_way_is_found_without_a_look_at_every_item() -> None:
    fold = IndexedFold(new_database())
    for number in range(600):
        fold.apply(lenient({"event": "saved", "item": f"i{number}", "output": f"{number}.png"}))
    fold.apply(lenient({"event": "submitted", "item": "i7", "prediction_id": "p7"}))
    fold.commit()
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    fold.database._connection.set_progress_handler(count, 10)
    assert len(list(fold.unsettled())) == 1
    assert list(fold.each(FAILED)) == []
    assert steps < 20
    fold.close()


def test_an_index_is_smaller_than_its_ledger(out: Path) -> None:
    with (out / LEDGER).open("ab") as ledger:
        ledger.writelines(bought(f"n{number}") for number in range(600))
    agrees(out)
    assert index(out).stat().st_size < 1.2 * (out / LEDGER).stat().st_size
    assert json.loads((out / LEDGER).read_bytes().splitlines()[0])["v"] == 1


@pytest.mark.anyio
async def test_the_index_is_told_again_and_again_also_after_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_removebg.ledger.journal.COMMIT", 10)
    async with Ledger(tmp_path / LEDGER, index=tmp_path / "index.sqlite") as ledger:
        most = 0
        for n in range(60):
            await ledger.append(entry("saved", item=str(n), output=f"{n}.png"))
            if n == 25:
                async with ledger.still() as fold:
                    assert fold.counts()["total"] == 26
            most = max(most, len(ledger.fold.items.live))
    assert most <= 12


@pytest.mark.anyio
async def test_a_snapshot_stays_what_it_was_while_the_run_goes_on(tmp_path: Path) -> None:
    async with Ledger(tmp_path / LEDGER, index=tmp_path / "index.sqlite") as ledger:
        await ledger.append(entry("claimed", item="a", output="a.png"))
        async with ledger.still() as fold:
            await ledger.append(entry("claimed", item="b", output="b.png"))
            await ledger.commit()
            assert [key for key, _ in fold.each()] == ["a"]
            assert fold.counts()["total"] == 1
        async with ledger.still() as fold:
            assert [key for key, _ in fold.each()] == ["a", "b"]
