"""What differs between two runs on record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import LedgerDamaged
from batch_removebg.ledger.events import Entry, Failed, Gone, Renamed, RunFinished, RunStarted, Saved, encode
from batch_removebg.ledger.history import Recorded, as_of, compared, differences, runs, touched
from batch_removebg.ledger.state import ItemState

T = "2026-01-31T02:00:00.123Z"


def began(run: str | None) -> RunStarted:
    return RunStarted("replicate", "v", {}, id=run)


def saved(item: str, sha256: str = "0", *flags: str) -> Saved:
    plain: dict[str, Any] = {"recipe": "r", "bytes": 1, "width": 1, "height": 1, "prediction_id": "p", "attempts": 1}
    rest: dict[str, Any] = {"output": f"{item}.png", "sha256": sha256, "seconds": 1.0, "reused": False, "flags": flags}
    return Saved(item=item, source=f"in/{item}", **plain, **rest)


def failed(item: str) -> Failed:
    return Failed(
        item=item, source=f"in/{item}", recipe="r", kind="source", message="is empty", retryable=False, attempts=0
    )


ENDED = RunFinished(saved=1, failed=0, pending=0, predictions=1, possible_duplicates=0, seconds=1.0)


def ledger(path: Path, *entries: Entry) -> Path:
    path.write_bytes(b"".join(encode(entry, T) for entry in entries))
    return path


def found(path: Path, start: int, end: int) -> list[tuple[str, str]]:
    only = touched(path, min(start, end))
    with closing(as_of(path, start, only)) as before, closing(as_of(path, end, only)) as after:
        return [(one.item, one.kind) for one in differences(before, after)]


def test_passes_of_one_run_are_one_and_runs_of_older_versions_are_told_apart(tmp_path: Path) -> None:
    path = ledger(
        tmp_path / "l", began(None), ENDED, began(None), began("a"), ENDED, began("a"), saved("x"), began("b")
    )
    assert runs(path) == [Recorded(None, T, 2), Recorded(None, T, 3), Recorded("a", T, 7), Recorded("b", T, 8)]


def test_every_item_that_differs_is_named_with_what_became_of_it(tmp_path: Path) -> None:
    first = [saved("same"), saved("other"), saved("leaves"), saved("flagged"), saved("mends", "0", "empty")]
    first += [saved("breaks"), failed("heals"), saved("same-again")]
    later = [saved("other", "1"), Gone("leaves"), saved("flagged", "1", "small"), saved("mends"), failed("breaks")]
    later += [saved("heals"), saved("same-again"), saved("comes"), failed("fails")]
    path = ledger(tmp_path / "l", began("a"), *first, ENDED, began("b"), *later, ENDED)
    start, end = (run.lines for run in runs(path))
    expected = [
        ("other", "changed"),
        ("leaves", "gone"),
        ("flagged", "worse"),
        ("mends", "better"),
        ("breaks", "worse"),
        ("heals", "better"),
        ("comes", "new"),
        ("fails", "new"),
    ]
    assert found(path, start, end) == expected
    assert found(path, start, start) == []
    assert {item for item, _ in found(path, 0, start)} == {entry.item for entry in first}
    back = {"new": "gone", "gone": "new", "worse": "better", "better": "worse", "changed": "changed"}
    assert found(path, end, start) == [(item, back[kind]) for item, kind in expected]


def test_items_that_no_line_names_since_then_are_not_even_kept(tmp_path: Path) -> None:
    entries = [began("a"), saved("still"), saved("old"), ENDED, began("b"), Renamed("new", "old"), saved("new", "1")]
    path = ledger(tmp_path / "l", *entries)
    with closing(as_of(path, 4, touched(path, 4))) as fold:
        assert [item for item, _ in fold.each()] == ["old"]
    assert found(path, 4, 7) == [("old", "gone"), ("new", "new")]


def test_an_item_that_was_renamed_long_ago_is_known_by_its_name_of_today(tmp_path: Path) -> None:
    path = ledger(tmp_path / "l", began("a"), saved("old"), Renamed("new", "old"), began("b"), saved("new", "1"))
    assert found(path, 3, 5) == [("new", "changed")]


def test_a_damaged_ledger_is_refused(tmp_path: Path) -> None:
    path = ledger(tmp_path / "l", began("a"), saved("x"))
    path.write_bytes(path.read_bytes() + b"{torn}\n")
    with pytest.raises(LedgerDamaged, match="line 3 is damaged"):
        found(path, 1, 3)


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        (("saved", "a"), ("saved", "b"), "worse"),
        (("saved", "a"), ("saved", ""), "better"),
        (("failed", ""), ("saved", "a"), "worse"),
        (("saved", "a"), ("failed", ""), "worse"),
        (("failed", ""), ("pending", ""), ""),
    ],
)
def test_what_is_worse_in_one_way_is_worse(was: Sequence[Any], now: Sequence[Any], kind: str) -> None:
    states = [ItemState(outcome=outcome, source="s", flags=(*flags,)) for outcome, flags in (was, now)]
    assert compared(*states) == kind
