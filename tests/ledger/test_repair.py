"""Repair: what is left of a ledger, its index and results.json become a ledger that runs go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import LedgerError
from batch_removebg.ledger.journal import look, open_indexed
from batch_removebg.ledger.repair import repair
from batch_removebg.ledger.state import Lost
from batch_removebg.storage.layout import INDEX, LEDGER, RESULTS, STATE
from tests.support.damage import ASIDE, LINES, LOSSES, WHOLE, out, purchase, refused, tree, with_results
from tests.support.indexes import ENTRIES
from tests.support.oracle import Oracle, line, replay

__all__ = ["out"]

STAMP = "2027-01-15T08:00:00.000Z"


def mended(out: Path) -> Oracle:
    """The fold of the mended ledger, which a run believes."""
    repair(out, STAMP)
    open_indexed(out / LEDGER, out / INDEX).close()
    return replay(out / LEDGER)[0]


def pretty(data: bytes) -> bytes:
    return "\n".join(json.dumps(json.loads(each), indent=2) for each in data.splitlines()).encode()


def as_array(data: bytes) -> bytes:
    return json.dumps([json.loads(each) for each in data.splitlines()], ensure_ascii=False).encode()


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "pretty": pretty,
    "array": as_array,
    "array over lines": lambda data: b"[\n  " + b",\n  ".join(data.splitlines()) + b"\n]\n",
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "last newline stripped": lambda data: data[:-1],
    "blank lines": lambda data: data.replace(b"\n", b"\n\n"),
    "conflict": lambda data: b"<<<<<<< ours\n" + data + b"=======\n>>>>>>> theirs\n",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("indexed", [True, False])
def test_a_ledger_that_was_laid_out_anew_is_read_again_value_by_value(
    out: Path, layout: Callable[[bytes], bytes], indexed: bool
) -> None:
    (out / LEDGER).write_bytes(layout(WHOLE))
    if not indexed:
        (out / INDEX).unlink()
    repair(out, STAMP)
    alike = ("CRLF", "last newline stripped", "byte order mark", "array")  # an array's one line looks like a torn one
    if indexed or layout not in map(LAYOUTS.get, alike):
        assert [json.loads(each) for each in (out / LEDGER).read_bytes().splitlines()] == list(map(json.loads, LINES))
        assert (out / f"{LEDGER}.{ASIDE}").read_bytes() == layout(WHOLE)
    else:  # without an index nothing looks wrong
        assert (out / LEDGER).read_bytes() == layout(WHOLE)


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_what_the_ledger_has_lost_comes_from_its_index(out: Path, lose: Callable[[Path], object]) -> None:
    known = replay(out / LEDGER)[0]
    lose(out / LEDGER)
    assert "batch-removebg repair" in refused(out)
    fold = mended(out)
    for item in "abcdef":
        was, now = known.items[item], fold.items[item]
        assert (now.outcome, now.in_flight, now.lost) == (was.outcome, was.in_flight, was.lost), item
        assert (now.output, now.prediction_id) == (was.output, was.prediction_id), item
        assert now == was or was.outcome == "pending" or item == "b", item
    assert fold.has_prediction("pb2")
    assert [fold.items["b"].sha256, fold.items["b"].recipe, fold.items["b"].bytes] == ["b2", "r", 9]
    assert repair(out, STAMP) == {}


def test_a_create_whose_answer_was_lost_is_looked_for_after_a_repair_as_before_it(out: Path) -> None:
    (out / LEDGER).unlink()
    assert mended(out).items["e"].lost == Lost("ke1", "2027-01-15T08:00:10.000Z")


def test_lines_that_came_after_the_index_have_the_last_word(out: Path) -> None:
    """The index of a killed run is behind; a damaged line before does not bring back what it knows."""
    more = purchase("d")[2:] + purchase("a", 2) + [{"event": "submitted", "item": "e", "prediction_id": "pe1"}]
    late = b"".join(line(at=1_800_000_100 + nth, **step) for nth, step in enumerate(more))
    known = replay_of(out, WHOLE + late)
    for nth in range(1, len(LINES)):
        (out / LEDGER).write_bytes(b"".join([*LINES[:nth], b"spoilt\n", *LINES[nth + 1 :], late]))
        refused(out)
        index = (out / INDEX).read_bytes()
        fold = mended(out)
        for item in "ade":
            assert fold.items[item].outcome == known.items[item].outcome
            assert fold.items[item].prediction_id == known.items[item].prediction_id
            assert fold.items[item].lost is None
        (out / INDEX).write_bytes(index)


def replay_of(out: Path, data: bytes) -> Oracle:
    (out / "known").write_bytes(data)
    return replay(out / "known")[0]


@pytest.mark.anyio
async def test_without_an_index_the_items_of_results_json_are_lines_again(out: Path) -> None:
    known = replay(out / LEDGER)[0]
    await with_results(out)
    (out / LEDGER).unlink()
    (out / INDEX).unlink()
    assert "results.json tells of 3 finished items and 4 predictions" in refused(out)
    assert repair(out, STAMP, dry_run=True) == {RESULTS: 3}
    fold = mended(out)
    assert sorted(fold.items) == ["a", "b", "c"]
    for item in "abc":
        was, now = known.items[item], fold.items[item]
        told = ("outcome", "source", "output", "sha256", "bytes", "prediction_id", "attempts", "meta", "error_message")
        assert [getattr(now, name) for name in told] == [getattr(was, name) for name in told]
    assert not (out / RESULTS).exists()


@pytest.mark.anyio
async def test_a_dry_run_tells_what_would_be_done_and_touches_nothing(out: Path) -> None:
    await with_results(out)
    (out / LEDGER).write_bytes(b"".join(LINES[:4]) + b"spoilt\n")
    before = tree(out)
    told = repair(out, STAMP, dry_run=True)
    assert tree(out) == before
    assert told == repair(out, STAMP)
    assert told[LEDGER] == 4
    assert told[INDEX] > 0
    after = tree(out)
    for name in (LEDGER, INDEX, RESULTS):
        assert after[f"{name}.{ASIDE}"] == before[name]


def test_where_nothing_is_wrong_nothing_is_done(out: Path) -> None:
    (out / LEDGER).write_bytes(WHOLE + b'{"v":1,"torn')
    before = tree(out)
    assert repair(out, STAMP) == {}
    assert tree(out) == before


def test_where_nothing_is_left_the_ledger_stays_and_it_is_said(out: Path) -> None:
    (out / INDEX).unlink()
    (out / LEDGER).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    before = tree(out)
    with pytest.raises(LedgerError, match="nothing is left to mend it from; restore it from a backup, or start over"):
        repair(out, STAMP)
    assert tree(out) == before


def test_a_ledger_of_a_newer_format_is_not_mended(out: Path) -> None:
    (out / LEDGER).write_bytes(WHOLE + b'{"v":2,"event":"saved","item":"b"}\nspoilt\n')
    with pytest.raises(LedgerError, match="upgrade"):
        repair(out, STAMP)


@pytest.mark.parametrize("stage", ["put aside", "written"])
def test_a_repair_that_was_cut_off_is_begun_again(out: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    class Cut(Exception):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise Cut

    known = replay(out / LEDGER)[0]
    (out / LEDGER).write_bytes(b"".join(LINES[:6]))
    broken = "write_atomic" if stage == "put aside" else "put_aside"
    calls = iter([False, True]) if stage == "written" else iter([True])
    real = getattr(__import__("batch_removebg.ledger.repair", fromlist=[broken]), broken)
    monkeypatch.setattr(
        f"batch_removebg.ledger.repair.{broken}",
        lambda *given, **named: cut() if next(calls) else real(*given, **named),
    )
    with pytest.raises(Cut):
        repair(out, STAMP)
    monkeypatch.undo()
    assert refused(out)
    fold = mended(out)
    assert {item: state.outcome for item, state in fold.each()} == {item: state.outcome for item, state in known.each()}
    assert fold.items["e"].lost == known.items["e"].lost


# Anything at all


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ENTRIES, min_size=1, max_size=20), st.data())
def test_whatever_happens_to_a_ledger_no_prediction_and_no_picture_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("out")
    (out / STATE).mkdir()
    lines = [line(**{"at": 1_800_000_000 + nth, **step, "t": None}) for nth, step in enumerate(steps)]
    whole = b"".join(lines)
    (out / LEDGER).write_bytes(whole)
    known = replay(out / LEDGER)[0]
    open_indexed(out / LEDGER, out / INDEX).close()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    (out / LEDGER).write_bytes(whole[:start] + data.draw(st.binary(max_size=9)) + whole[end:])
    try:
        look(out / LEDGER, out / INDEX).close()
    except LedgerError:
        pass
    else:
        return  # what was put in is what was there
    try:
        repair(out, STAMP)
    except LedgerError:
        assert {state.outcome for state in known.items.values()} <= {"pending"}
        assert list(known.unsettled()) == []
        return
    fold = replay(out / LEDGER)[0]
    for item, was in known.each():
        if was.outcome == "saved" and was.sha256 is not None:  # no saved picture is without
            assert fold.items[item].output is not None or was.output is None
        if was.prediction_id is not None and not was.reused and (was.in_flight or was.outcome == "saved"):
            assert fold.has_prediction(was.prediction_id) or was.prediction_id in fold.items[item].spent
    look(out / LEDGER, out / INDEX).close()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | st.sampled_from([*LINES, b"{" * 5000, b'{"event":' * 3000, b'{"event":[]}\n']))
@example(b'\xff\xfe{\x00"')
def test_any_bytes_are_mended_or_are_a_ledger_error(out: Path, noise: bytes) -> None:
    (out / LEDGER).write_bytes(LINES[0] + noise + LINES[1])
    try:
        repair(out, STAMP)
    except LedgerError:
        return
    look(out / LEDGER, out / INDEX).close()


def test_a_repair_repeats_nothing_of_an_item_that_has_another_id_since(out: Path) -> None:
    with (out / LEDGER).open("ab") as ledger:
        ledger.write(line("renamed", item="S-1", was="a", at=1_800_000_100))
    open_indexed(out / LEDGER, out / INDEX).close()
    data = (out / LEDGER).read_bytes().splitlines(keepends=True)
    (out / LEDGER).write_bytes(b"".join([*data[:4], b"damage\n", *data[4:]]))
    fold = mended(out)
    assert (fold.items["S-1"].output, fold.items["a"].gone, fold.predictions) == ("a.png", True, 4)
