"""Decisions: the last verdict on a picture counts, follows its item, and is on disk whole or not at all."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import DecisionsDamaged, DiskError, LedgerError
from batch_removebg.ledger.decisions import Decided, Decisions, Edited
from batch_removebg.ledger.repair import repair
from batch_removebg.ledger.state import ItemState
from batch_removebg.storage.layout import DECISIONS
from tests.support.oracle import oracle, saved

STAMP = "2027-01-15T08:00:00.000Z"
MADE = ItemState(outcome="saved", sha256="5e" * 32)
LINE = f'{{"v":1,"t":"{STAMP}","event":"decided","item":"shoe","verdict":"accepted","output_sha256":"{MADE.sha256}"}}\n'


def decided(verdict: Any, item: str = "shoe", **more: Any) -> Decided:
    return Decided(item=item, verdict=verdict, **{"output_sha256": MADE.sha256} | more)


def appended(out: Path, *entries: Decided | Edited) -> Decisions:
    Decisions(out / DECISIONS).append(entries, STAMP)
    return Decisions.read(out)


def test_a_decision_is_written_as_the_contract_says_and_read_again(tmp_path: Path) -> None:
    found = appended(tmp_path, decided("accepted"), decided("redo", "hat", note="fringe", redo={"class": "best"}))
    first, second = (tmp_path / DECISIONS).read_text().splitlines(keepends=True)
    assert first == LINE
    assert json.loads(second)["redo"] == {"class": "best"}
    assert found.of("shoe", MADE) == decided("accepted", t=STAMP)
    assert found.of("hat", MADE) == decided("redo", "hat", note="fringe", redo={"class": "best"}, t=STAMP)


def test_the_last_verdict_on_a_picture_wins_and_one_taken_back_keeps_its_note(tmp_path: Path) -> None:
    found = appended(tmp_path, decided("accepted"), decided("rejected"), decided("undecided", note="ask Ann"))
    assert found.of("shoe", MADE) is None
    assert found.last("shoe", MADE) == decided("undecided", note="ask Ann", t=STAMP)
    assert appended(tmp_path, decided("rejected")).of("shoe", MADE) == decided("rejected", t=STAMP)


def test_a_picture_made_anew_is_undecided_again(tmp_path: Path) -> None:
    found = appended(tmp_path, decided("accepted"))
    assert found.of("shoe", ItemState(outcome="saved", sha256="6f" * 32)) is None


def test_a_verdict_follows_an_item_whose_id_changes_and_can_be_taken_back_there(tmp_path: Path) -> None:
    names = [{"event": "renamed", "item": "b", "was": "a"}, {"event": "renamed", "item": "c", "was": "b"}]
    fold = oracle(saved(item="a", sha256=MADE.sha256), *names, saved(item="a", sha256="1"))
    found = appended(tmp_path, decided("accepted", "a"))
    assert found.of("c", fold.items["c"]) == decided("accepted", "c", t=STAMP)
    assert (found.of("a", fold.items["a"]), fold.items["b"].now) == (None, "c")
    assert appended(tmp_path, decided("undecided", "c")).of("c", fold.items["c"]) is None


def test_an_edit_is_in_force_for_its_content_until_it_is_given_up(tmp_path: Path) -> None:
    edit = Edited(item="shoe", content="c1", alpha="a1", operations=3)
    found = appended(tmp_path, edit)
    assert found.edit(ItemState(source_sha256="c1")) == Edited(
        t=STAMP, item="shoe", content="c1", alpha="a1", operations=3
    )
    assert found.edit(ItemState(fingerprint="c1")) is not None
    assert found.edit(ItemState()) is None
    given_up = appended(tmp_path, Edited(item="shoe", content="c1", alpha=None))
    assert given_up.edit(ItemState(source_sha256="c1")) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"v":1,"t":"","event":"praised","item":"shoe"}',
        '{"v":1,"event":"decided","item":7,"verdict":"rejected"}',
        '{"v":1,"event":"edited","item":"shoe","content":7,"alpha":"a1"}',
        '{"v":1,"event":"decided","item":"hat","verdict":"rejected","by":"Ann","note":7,"redo":[]}',
    ],
)
def test_what_is_unknown_or_of_the_wrong_type_counts_as_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / DECISIONS).write_text(LINE + line + "\n")
    found = Decisions.read(tmp_path)
    assert (found.lines, found.edited, found.of("shoe", MADE)) == (2, {}, decided("accepted", t=STAMP))
    if '"hat"' in line:
        assert found.of("hat", ItemState()) == Decided(item="hat", verdict="rejected")


def test_a_verdict_that_this_version_does_not_know_is_none(tmp_path: Path) -> None:
    (tmp_path / DECISIONS).write_text(LINE + LINE.replace("accepted", "praised"))
    assert Decisions.read(tmp_path).of("shoe", MADE) is None


def test_a_larger_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / DECISIONS).write_text(LINE + LINE.replace('"v":1', '"v":2'))
    for refused in (lambda: Decisions.read(tmp_path), lambda: repair(tmp_path, STAMP)):
        with pytest.raises(LedgerError, match=r"decisions.jsonl, line 2: written in format 2.*upgrade"):
            refused()


def test_a_damaged_line_is_refused_and_repaired_and_what_was_there_is_kept(tmp_path: Path) -> None:
    path, damaged = tmp_path / DECISIONS, LINE + "<<<<<<<\n" + LINE.replace("shoe", "hat")
    path.write_text(damaged)
    with pytest.raises(DecisionsDamaged, match=r"line 2 is damaged.*batch-removebg repair .*keeps sound lines"):
        appended(tmp_path, decided("rejected"))
    assert repair(tmp_path, STAMP, dry_run=True) == {DECISIONS: 2}
    assert path.read_text() == damaged
    assert repair(tmp_path, STAMP) == {DECISIONS: 2}
    assert path.read_text() == LINE + LINE.replace("shoe", "hat")
    assert [kept.read_text() for kept in tmp_path.glob(f"{DECISIONS}.cut-*")] == [damaged]
    assert repair(tmp_path, STAMP) == {}


def test_what_a_crash_left_of_a_line_is_no_decision_and_put_aside_by_the_next(tmp_path: Path) -> None:
    for cut in range(1, len(LINE)):
        (tmp_path / DECISIONS).write_text(LINE + LINE.replace("accepted", "rejected")[:cut])
        assert Decisions.read(tmp_path).of("shoe", MADE) == decided("accepted", t=STAMP)
    found = appended(tmp_path, decided("redo"))
    assert (tmp_path / DECISIONS).read_text() == LINE + LINE.replace("accepted", "redo")
    assert [kept.read_text() for kept in tmp_path.glob("*.cut-*")] == [LINE.replace("accepted", "rejected")[:cut]]
    assert found.of("shoe", MADE) == decided("redo", t=STAMP)


def test_a_full_disk_leaves_none_of_several_decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, write, calls = appended(tmp_path, decided("accepted")), os.write, list[int]()

    def short(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2 + 20])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(DiskError, match="disk is full"):
        found.append([decided("rejected"), decided("redo")], STAMP)
    monkeypatch.undo()
    assert (tmp_path / DECISIONS).read_text() == LINE
    assert found.of("shoe", MADE) == Decisions.read(tmp_path).of("shoe", MADE) == decided("accepted", t=STAMP)


def test_writers_at_once_leave_every_line_whole_and_each_knows_them_all(tmp_path: Path) -> None:
    (tmp_path / DECISIONS).write_text(LINE[:50])  # and a torn one for the first of them

    def work(name: int) -> None:
        mine = Decisions(tmp_path / DECISIONS)
        for nth in range(20):
            mine.append([decided("accepted", f"{name}-{nth}-{one}") for one in range(5)], STAMP)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Decisions.read(tmp_path)
    assert found.lines == len(set(found.items())) == 400
    assert len(list(tmp_path.glob("*.cut-*"))) == 1


def test_a_file_that_was_replaced_or_cut_short_is_read_anew(tmp_path: Path) -> None:
    found, path = appended(tmp_path, decided("accepted"), decided("rejected")), tmp_path / DECISIONS
    os.truncate(path, len(LINE))
    assert (found.refresh(), found.of("shoe", MADE), found.refresh()) == (True, decided("accepted", t=STAMP), False)
    (tmp_path / "new").write_text(LINE.replace("accepted", "rejected"))
    (tmp_path / "new").replace(path)
    assert (found.refresh(), found.of("shoe", MADE)) == (True, decided("rejected", t=STAMP))
    path.unlink()
    assert (found.refresh(), found.of("shoe", MADE), found.lines) == (True, None, 0)
