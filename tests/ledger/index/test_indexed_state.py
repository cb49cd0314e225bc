"""The index: the same answers as a fold in memory, in little memory."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import IndexDamaged
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.index.bitset import Bitset
from batch_removebg.ledger.index.database import Database
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import FAILED, row, unpack
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.storage.layout import LEDGER
from batch_removebg.storage.naming import Claims
from tests.support.indexes import ENTRIES, IDS, agrees, bought, index, out
from tests.support.oracle import Oracle, entry, line, namer, new_database, same

__all__ = ["out"]
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
