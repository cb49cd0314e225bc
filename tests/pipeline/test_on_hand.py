"""A finished picture serves another item with the same URL, if it is what its ledger line says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from batch_removebg.finish.options import Finished
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Predicted, Prepared, Todo

PICTURE = b"a picture"
URL = "https://shop.example/a.jpg"
ITEM = Prepared(Todo(Item("b", URL, "list.csv:2"), "b.png", ItemState()), "f", None, 0, 0, 0, None, (), 0.0)


def saved(**changes: object) -> ItemState:
    known = {"outcome": "saved", "output": "a.png", "sha256": hashlib.sha256(PICTURE).hexdigest(), "recipe": "r"}
    return ItemState(**(known | {"width": 4, "height": 3, "prediction_id": "p1", "attempts": 2} | changes))  # type: ignore[arg-type]


def on_hand(out: Path, state: ItemState | None) -> OnHand:
    return OnHand(out, lambda fingerprint: state if fingerprint == "f" else None, "r")


def test_a_whole_file_of_the_same_recipe_serves(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    there = on_hand(tmp_path, saved())
    assert there.copy(ITEM) == Predicted(ITEM, Finished(PICTURE, 4, 3), "p1", 2, reused=True)
    assert there.has("f", passed=True)
    assert there.whole("f", passed=True)
    assert not there.has("g", passed=True)


@pytest.mark.parametrize("content", [None, b"another"])
def test_a_file_that_is_gone_or_changed_does_not(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    there = on_hand(tmp_path, saved())
    assert there.copy(ITEM) is None
    assert there.has("f", passed=True)
    assert not there.whole("f", passed=True)


@pytest.mark.parametrize("state", [saved(recipe="other"), None])
def test_another_recipe_or_no_record_is_none(tmp_path: Path, state: ItemState | None) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    there = on_hand(tmp_path, state)
    assert there.copy(ITEM) is None
    assert not there.has("f", passed=True)
