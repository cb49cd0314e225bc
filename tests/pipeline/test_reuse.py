"""A finished picture serves another item with the same source, if it is what its ledger line says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from batch_removebg.ledger.state import ItemState
from batch_removebg.pipeline.reuse import Twin, Twins

PICTURE = b"a picture"


def saved(**changes: object) -> ItemState:
    known = {"outcome": "saved", "output": "a.png", "sha256": hashlib.sha256(PICTURE).hexdigest(), "recipe": "r"}
    return ItemState(**(known | {"width": 4, "height": 3, "prediction_id": "p1", "attempts": 2} | changes))  # type: ignore[arg-type]


def found(out: Path, state: ItemState | None) -> Twin | None:
    twins = Twins(lambda fingerprint: state if fingerprint == "f" else None, out, "r")
    made = twins.find("f")
    return twins.load(made) if made is not None else None


def test_a_whole_file_of_the_same_recipe_is_a_twin(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    assert found(tmp_path, saved()) == Twin(PICTURE, 4, 3, "p1", 2)


def test_a_file_that_is_gone_or_changed_is_none(tmp_path: Path) -> None:
    assert found(tmp_path, saved()) is None
    (tmp_path / "a.png").write_bytes(b"another")
    assert found(tmp_path, saved()) is None


def test_another_recipe_or_no_record_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    assert found(tmp_path, saved(recipe="other")) is None
    assert found(tmp_path, None) is None
