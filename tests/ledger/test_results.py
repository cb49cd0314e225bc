"""results.json: the contract's shape, whatever ids hold, streamed and never seen half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.clock import stamp
from batch_removebg.errors import DiskError
from batch_removebg.ledger import results
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.events import lenient
from batch_removebg.model import Item
from tests.support.oracle import Oracle, oracle, saved

SAVED = saved()
FAILED = {
    "event": "failed",
    "item": "hat",
    "source": "in/hat.jpg",
    "kind": "source",
    "message": "is empty",
    "retryable": False,
    "attempts": 0,
}


RUN = ("state", "started", "ended", "reason", "exit_code", "pid", "rate", "eta", "unread")


class Read(dict[str, Item]):
    """What a run has read."""

    def __init__(self, fold: Oracle, *items: Item) -> None:
        super().__init__({item.id: item for item in items})
        self.fold = fold

    def counts(self) -> dict[str, int]:
        return self.fold.counts(sum(1 for _ in self.unknown()))

    def unknown(self) -> Iterator[Item]:
        return (item for key, item in self.items() if key not in self.fold.items)


fold_of = oracle
NOTHING = Decisions(Path("decisions.jsonl"))


def read(fold: Oracle, *items: Item) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads("".join(results.render(Read(fold, *items), NOTHING)))
    return loaded


def test_the_shape_is_the_contract() -> None:
    fold = fold_of(
        {"event": "run_started", "t": stamp(1.0), "provider": "replicate", "version": "95fc", "pid": 7, "items": 4},
        {"event": "submitting", "item": "shoe", "key": "k", "output": "shoe.png"},
        {"event": "submitted", "item": "shoe", "prediction_id": "p1"},
        SAVED | {"t": stamp(3.0)},
        FAILED | {"t": stamp(5.0)},
        {"event": "submitting", "item": "bag", "key": "k", "output": "bag.png", "possible_duplicate": True},
        {"event": "submitted", "item": "bag", "prediction_id": "p2"},
    )
    nothing = dict.fromkeys(["output", "sha256", "bytes", "width", "height", "seconds"])
    assert read(fold, Item("bag", "in/bag.jpg", "in"), Item("new", "in/new.jpg", "in")) == {
        "v": 1,
        "provider": "replicate",
        "version": "95fc",
        "engine": None,
        "run": {
            "state": "running",
            "started": stamp(1.0),
            "ended": None,
            "reason": None,
            "exit_code": None,
            "pid": 7,
            "rate": 0.5,
            "eta": 4,
            "unread": True,
        },
        "counts": {"total": 4, "saved": 1, "failed": 1, "pending": 2},
        "gone": 0,
        "predictions": 2,
        "possible_duplicates": 1,
        "items": [
            {
                "id": "shoe",
                "source": "in/shoe.jpg",
                "status": "saved",
                "output": "shoe.png",
                "sha256": "5e",
                "bytes": 10,
                "width": 4,
                "height": 3,
                "prediction_id": "p1",
                "attempts": 1,
                "seconds": 1.5,
                "reused": False,
                "error": None,
            },
            {
                "id": "hat",
                "source": "in/hat.jpg",
                "status": "failed",
                **nothing,
                "prediction_id": None,
                "attempts": 0,
                "reused": False,
                "error": {"kind": "source", "message": "is empty"},
            },
            {
                "id": "bag",
                "source": "in/bag.jpg",
                "status": "pending",
                **nothing,
                "prediction_id": "p2",
                "attempts": 0,
                "reused": False,
                "error": None,
            },
            {
                "id": "new",
                "source": "in/new.jpg",
                "status": "pending",
                **nothing,
                "prediction_id": None,
                "attempts": 0,
                "reused": False,
                "error": None,
            },
        ],
    }


def test_a_saved_items_quality_and_flags_are_told_where_they_are_known() -> None:
    quality = {"coverage": 0.0004, "peak": 0.9, "undecided": 0.0, "components": 0, "touches": []}
    fold = fold_of(SAVED | {"quality": quality, "flags": ["empty"]}, SAVED | {"item": "bag"})
    shoe, bag = read(fold)["items"]
    assert (shoe["quality"], shoe["flags"]) == (quality, ["empty"])
    assert not {"quality", "flags"} & bag.keys()
    fold.apply(lenient({"event": "claimed", "item": "shoe"}))
    assert not {"quality", "flags"} & read(fold)["items"][0].keys()


def test_the_keys_stand_in_the_contracts_order_with_one_item_a_line() -> None:
    text = "".join(results.render(Read(fold_of(SAVED, FAILED)), NOTHING))
    head, shoe, hat, end = text.splitlines()
    assert list(json.loads(head + "]}")) == [
        "v", "provider", "version", "engine", "run", "counts", "gone", "predictions", "possible_duplicates", "items",
    ]  # fmt: skip
    assert list(json.loads(shoe.removesuffix(","))) == [
        "id", "source", "status", "output", "sha256", "bytes", "width", "height", "prediction_id", "attempts",
        "seconds", "reused", "error",
    ]  # fmt: skip
    assert json.loads(hat)["id"] == "hat"
    assert (end, text[-1]) == ("]}", "\n")


def test_an_empty_run_is_valid_json_too() -> None:
    assert read(Oracle()) == {
        "v": 1,
        "provider": "",
        "version": "",
        "engine": None,
        "run": dict.fromkeys(RUN) | {"unread": True},
        "counts": {"total": 0, "saved": 0, "failed": 0, "pending": 0},
        "gone": 0,
        "predictions": 0,
        "possible_duplicates": 0,
        "items": [],
    }


def test_what_a_saved_picture_was_is_not_said_of_a_failed_or_pending_one() -> None:
    was = saved(reused=True)
    [reused] = read(fold_of(was))["items"]
    assert reused["reused"] is True
    for later in ({**FAILED, "item": "shoe"}, {"event": "submitting", "item": "shoe", "key": "k"}):
        [item] = read(fold_of(was, later))["items"]
        gone = [item[name] for name in ("output", "sha256", "bytes", "width", "height", "seconds", "reused")]
        assert gone == [None] * 6 + [False]


def test_meta_and_notes_travel_where_there_are_any() -> None:
    kept = {**SAVED, "meta": {"sku": "7"}, "notes": ["profile left out"]}
    [item] = read(fold_of(kept))["items"]
    assert (item["meta"], item["notes"]) == ({"sku": "7"}, ["profile left out"])
    [item] = read(fold_of(kept), Item("shoe", "now/shoe.jpg", "in", meta={"sku": "8"}))["items"]
    assert (item["source"], item["meta"]) == ("now/shoe.jpg", {"sku": "8"})  # as the manifest of this run has it
    [item] = read(Oracle(), Item("new", "new.jpg", "in", meta={"sku": "9"}))["items"]
    assert item["meta"] == {"sku": "9"}


@pytest.mark.parametrize("text", ["caf\udce9.jpg", "鞋👟", "a\nb\r\u2028\u0085", '"\\/', "\x00\x1b[31m\x7f"])
def test_any_id_is_valid_json_in_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    fold = fold_of({**SAVED, "item": text, "source": text}, {**FAILED, "item": f"{text}2", "message": text})
    results.write(path, results.render(Read(fold, Item("new", text, "in", meta={text: text})), NOTHING))
    read_back = json.loads(path.read_bytes().decode("utf-8"))
    assert [item["id"] for item in read_back["items"]] == [text, f"{text}2", "new"]
    assert read_back["items"][1]["error"]["message"] == text
    assert read_back["items"][2]["meta"] == {text: text}


def test_it_is_rendered_as_it_is_asked_for_an_item_at_a_time() -> None:
    fold = fold_of(*({**SAVED, "item": f"i{n}"} for n in range(100)))
    parts = results.render(Read(fold), NOTHING)
    assert '"items": [' in next(parts)
    fold.items["i0"].output = "seen late.png"
    assert "seen late.png" in next(parts)
    assert len(list(parts)) == 99 + 1


def test_readers_see_the_old_snapshot_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def parts() -> Iterator[str]:
        yield "new "
        assert path.read_text() == "old"
        yield "snapshot"

    results.write(path, parts())
    assert path.read_text() == "new snapshot"
    assert list(tmp_path.iterdir()) == [path]


def test_a_snapshot_that_breaks_off_leaves_the_old_one_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def parts() -> Iterator[str]:
        yield "new "
        raise RuntimeError

    with pytest.raises(RuntimeError):
        results.write(path, parts())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        results.write(tmp_path / "gone" / "results.json", ["x"])
