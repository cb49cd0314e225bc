"""The index after all kinds of accidents: believed only where it fits its ledger, and never ahead of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_removebg.errors import IndexDamaged, LedgerDamaged, LedgerError
from batch_removebg.ledger.index.database import Database
from batch_removebg.ledger.index.schema import FORMAT
from batch_removebg.ledger.journal import Ledger, look, open_indexed
from batch_removebg.storage.layout import LEDGER
from tests.support.doubles import FakeClock
from tests.support.indexes import agrees, bought, index, out, tree
from tests.support.oracle import entry, line

__all__ = ["out"]


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


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


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
