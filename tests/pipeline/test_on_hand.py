"""A finished picture serves another item with the same URL, if it is what its ledger line says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from batch_removebg.finish.options import Finished
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Cutout, Predicted, Prepared, Todo
from batch_removebg.storage.layout import HELD
from tests.support.doubles import cutout, photo

PICTURE = b"a picture"
URL = "https://shop.example/a.jpg"
ITEM = Prepared(Todo(Item("b", URL, "list.csv:2"), "b.png", ItemState()), "f", None, 0.0)


def saved(**changes: object) -> ItemState:
    known = {"outcome": "saved", "output": "a.png", "sha256": hashlib.sha256(PICTURE).hexdigest(), "recipe": "r"}
    return ItemState(**(known | {"width": 4, "height": 3, "prediction_id": "p1", "attempts": 2} | changes))  # type: ignore[arg-type]


def on_hand(out: Path, state: ItemState | None) -> OnHand:
    return OnHand(out, lambda fingerprint: [state] if state is not None and fingerprint == "f" else [], "r")


def test_a_whole_file_of_the_same_recipe_serves(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    there = on_hand(tmp_path, saved())
    assert there.copy(ITEM) == Predicted(ITEM, Finished(PICTURE, 4, 3), "p1", 2, reused=True)
    assert there.has("f", passed=True)
    assert not there.has("g", passed=True)


@pytest.mark.parametrize("place", [f"{HELD}/a.png", "a.png"])
def test_a_held_file_serves_too_also_on_its_way_to_its_name(tmp_path: Path, place: str) -> None:
    (tmp_path / HELD).mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(b"an earlier one")
    (tmp_path / place).write_bytes(PICTURE)
    assert output(on_hand(tmp_path, saved(held=True))) == Finished(PICTURE, 4, 3)


@pytest.mark.parametrize("content", [None, b"another"])
def test_a_file_that_is_gone_or_changed_does_not(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    there = on_hand(tmp_path, saved())
    assert there.copy(ITEM) is None
    assert there.has("f", passed=True)


def test_what_is_not_on_record_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    there = on_hand(tmp_path, None)
    assert there.copy(ITEM) is None
    assert not there.has("f", passed=True)


def output(there: OnHand) -> object:
    found = there.copy(ITEM)
    return found and found.output


@pytest.mark.parametrize(("data", "lossy"), [(cutout(), False), (photo(), True)])
def test_a_picture_of_another_recipe_serves_and_says_whether_it_has_lost_something(
    tmp_path: Path, data: bytes, lossy: bool
) -> None:
    (tmp_path / "a.png").write_bytes(data)
    there = on_hand(tmp_path, saved(recipe="other", sha256=hashlib.sha256(data).hexdigest()))
    assert output(there) == Cutout(data, lossy=lossy)


def test_the_cutout_that_was_kept_serves_before_a_picture_made_from_it_unless_it_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data := photo())
    there = on_hand(tmp_path, saved(recipe="other", sha256=hashlib.sha256(data).hexdigest()))
    folder = tmp_path / ".batch-removebg" / "alpha"
    folder.mkdir(parents=True)
    there.keep("f", PICTURE)
    assert output(there) == Cutout(PICTURE)
    there.alphas.keep("f", hashlib.sha256(PICTURE).digest() + PICTURE[1:])
    assert output(there) == Cutout(data, lossy=True)


def test_buying_again_takes_nothing_but_the_wanted_picture_itself(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    for recipe, found in (("other", False), ("r", True)):
        there = OnHand(tmp_path, lambda _, recipe=recipe: [saved(recipe=recipe)], "r", buy_again=True)  # type: ignore[misc]
        assert (there.has("f", passed=True), there.copy(ITEM) is not None) == (found, found)
