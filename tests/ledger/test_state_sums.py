"""What lines say of a run: its sums, lines that somebody edited, and what is left to do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from batch_removebg.hashing import hash64
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.state import HeldUpload, ItemState, Outcome, Step, names_of, plan, unsigned
from tests.support.oracle import Oracle
from tests.support.shoe import FAILED, SAVED, SUBMITTED, SUBMITTING, fold_of, shoe

# Sums over the run


def test_possible_duplicates_are_counted_only_where_a_line_says_so() -> None:
    fold = fold_of(SUBMITTING, {**SUBMITTING, "possible_duplicate": True}, {**SUBMITTING, "possible_duplicate": "yes"})
    assert fold.possible_duplicates == 1


def test_a_run_that_starts_is_not_finished_and_names_its_provider() -> None:
    finished = {"event": "run_finished", "saved": 1}
    started = {"event": "run_started", "provider": "local", "version": "u2netp@1"}
    assert fold_of(started, finished).run.state == "finished"
    again = fold_of(started, finished, {**started, "provider": "gateway", "version": None})
    assert (again.run.state, again.provider, again.version) == (None, "gateway", "")


def test_the_engine_is_the_one_that_was_loaded_last_until_another_provider_runs() -> None:
    local = {"event": "run_started", "provider": "local", "version": "u2netp@1"}
    loaded = {"event": "engine_loaded", "engine": "openvino CPU bf16"}
    assert fold_of(local).engine is None
    assert fold_of(local, loaded).engine == "openvino CPU bf16"
    assert fold_of(local, loaded, local).engine == "openvino CPU bf16"  # nothing was left to predict
    assert fold_of(local, loaded, local, {**loaded, "engine": "onnxruntime CPU float32"}).engine != loaded["engine"]
    assert fold_of(local, loaded, {**local, "provider": "replicate"}).engine is None
    assert fold_of(local, {**loaded, "engine": 5}).engine is None


def test_every_item_ends_saved_failed_or_pending_and_counts_come_from_the_fold() -> None:
    """Invariant 4."""
    fold = fold_of(
        {**SAVED, "item": "a"},
        {**FAILED, "item": "b"},
        {**SUBMITTING, "item": "c"},
        {**SAVED, "item": "b"},
        {**FAILED, "item": "d"},
    )
    assert fold.counts() == {"total": 4, "saved": 2, "failed": 1, "pending": 1, "gone": 0}
    fold.apply(lenient({"event": "gone", "item": "d"}))
    assert fold.counts() == {"total": 3, "saved": 2, "failed": 0, "pending": 1, "gone": 1}


def test_the_order_of_items_is_that_of_their_first_line() -> None:
    fold = fold_of({**SAVED, "item": "b"}, {**SAVED, "item": "a", "output": "a.png"}, {**SAVED, "item": "b"})
    assert [(item, *names_of(state)) for item, state in fold.each()] == [("b", "shoe.png"), ("a", "a.png")]


def test_items_without_a_name_hold_none() -> None:
    assert list(names_of(shoe(FAILED))) == []


# Invariant 6, and lines that somebody edited


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "run_paused", "item": "shoe"},
        {"event": "saved"},
        {"event": "saved", "item": 7},
        {"event": ["saved"], "item": "shoe"},
        {"item": "shoe"},
        {},
    ],
)
def test_unknown_events_and_lines_without_an_item_are_ignored(entry: dict[str, Any]) -> None:
    assert fold_of(entry) == Oracle()


def test_unknown_fields_are_ignored() -> None:
    assert shoe({**SAVED, "mood": "good", "v": 1}) == shoe(SAVED)


@pytest.mark.parametrize("seconds", [True, "1.5", None, 10**400, float("inf"), float("nan"), -(10**400), [1]])
def test_seconds_that_are_no_finite_number_are_unknown(seconds: Any) -> None:
    assert shoe({**SAVED, "seconds": seconds}).seconds is None


def test_whole_seconds_are_a_float() -> None:
    assert repr(shoe({**SAVED, "seconds": 2}).seconds) == "2.0"


@pytest.mark.parametrize(
    "field", ["output", "sha256", "bytes", "width", "height", "prediction_id", "recipe", "source_sha256", "signature"]
)
def test_a_field_of_the_wrong_type_is_unknown(field: str) -> None:
    for value in [True, 1.5, ["x"], {"x": 1}]:
        assert getattr(shoe({**SAVED, field: value}), field) is None, value


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ("source", 7, ""),
        ("attempts", "2", 0),
        ("attempts", True, 0),
        ("reused", "true", False),
        ("reused", 1, False),
        ("meta", ["sku"], None),
        ("notes", "text", ()),
        ("notes", ["one", 2, None, "three"], ("one", "three")),
    ],
)
def test_other_wrong_types_fall_back_to_nothing(field: str, value: Any, taken: Any) -> None:
    assert getattr(shoe({**SAVED, field: value}), field) == taken


# What is left to do


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_an_item_the_ledger_does_not_know_is_to_be_done(flags: tuple[bool, bool, bool]) -> None:
    retry_failed, same_source, whole = flags
    assert plan(None, tried="r1", retry_failed=retry_failed, same_source=same_source, whole=whole) is Step.DO


def test_what_is_left_to_do_is_this_table() -> None:
    table: dict[Step, set[tuple[str | bool, ...]]] = {step: set() for step in Step}
    outcomes: tuple[Outcome, ...] = ("pending", "saved", "failed")
    for outcome in outcomes:
        for row in itertools.product([False, True], repeat=4):
            same_tried, same_source, whole, retry_failed = row
            step = plan(
                ItemState(outcome=outcome, recipe="r1", output="shoe.png"),
                tried="r1" if same_tried else "r2",
                retry_failed=retry_failed,
                same_source=same_source,
                whole=whole,
            )
            table[step].add((outcome, *row))
    assert table[Step.DONE] == {("saved", same, True, True, retry) for same in (False, True) for retry in (False, True)}
    assert table[Step.LEAVE] == {("failed", True, True, whole, False) for whole in (False, True)}
    assert len(table[Step.DO]) == 3 * 2**4 - 4 - 2


def test_a_saved_item_is_found_by_what_it_was_bought_for_until_it_is_another() -> None:
    fold = fold_of({**SAVED, "fingerprint": "f1"})
    assert [*fold.made("f1")] == [fold.items["shoe"]]
    assert [*fold.made("f2")] == []
    fold.apply(lenient({**SAVED, "fingerprint": "f2"}))
    assert ([*fold.made("f1")], [*fold.made("f2")]) == ([], [fold.items["shoe"]])
    fold.apply(lenient(SUBMITTING))
    assert [*fold.made("f2")] == []
    assert [*fold_of(SUBMITTING, SUBMITTED, SAVED).made("f1")] == []


def test_what_costs_money_is_counted_apart_with_what_may_have_been_billed_twice() -> None:
    begun = {"event": "run_started", "version": "v", "settings": {}}
    fold = fold_of({**begun, "provider": "local"}, SUBMITTING, SUBMITTED)
    assert (fold.predictions, fold.billed) == (1, 0)
    again = {**SUBMITTING, "possible_duplicate": True}
    for entry in ({**begun, "provider": "replicate"}, SUBMITTING, SUBMITTED, again):
        fold.apply(lenient(entry))
    assert (fold.predictions, fold.billed) == (2, 2)


def test_an_item_whose_picture_cannot_give_another_keeps_it_on_record() -> None:
    fold = fold_of({**SAVED, "fingerprint": "f1", "recipe": "r"}, {**FAILED, "kind": "spent", "recipe": "other"})
    state = fold.items["shoe"]
    assert (state.outcome, state.recipe, state.sha256 is not None) == ("failed", "r", True)
    assert [*fold.made("f1")] == [state]


def test_what_is_begun_and_not_ended_is_unsettled() -> None:
    fold = fold_of(SUBMITTING, {**SUBMITTING, "item": "hat"}, {**SUBMITTED, "item": "hat"}, {**SAVED, "item": "bag"})
    assert [(state.in_flight, state.lost is not None) for state in fold.unsettled()] == [(False, True), (True, False)]


def test_an_upload_is_known_until_the_item_is_settled() -> None:
    uploaded = {**SUBMITTING, "until": "2026-02-01T00:00:00.000Z"}
    held = HeldUpload("https://files.example/shoe.jpg", "2026-02-01T00:00:00.000Z")
    assert shoe(uploaded, SUBMITTED).upload == held
    assert shoe(uploaded, SUBMITTED, {**FAILED, "retryable": True}).upload == held
    assert shoe(uploaded, SUBMITTED, FAILED).upload is None
    assert shoe(uploaded, SUBMITTED, SAVED).upload is None
    assert shoe(uploaded, SUBMITTING).upload is None


def test_predictions_that_gave_nothing_are_remembered_until_the_item_is_saved() -> None:
    second = {**SUBMITTED, "prediction_id": "p2"}
    assert shoe(SUBMITTING, SUBMITTED, SUBMITTING, second).spent == ("p1",)
    assert shoe(SUBMITTING, SUBMITTED, SUBMITTING, second, SAVED).spent == ()


def test_a_renamed_item_goes_on_with_all_that_was_on_record_and_leaves_nothing_behind() -> None:
    renamed = {"event": "renamed", "item": "S-1", "was": "shoe"}
    fold = fold_of({**SAVED, "fingerprint": "f1"}, renamed)
    assert fold.items["S-1"] == replace(fold_of({**SAVED, "fingerprint": "f1"}).items["shoe"], was=("shoe",))
    assert fold.items["shoe"] == ItemState(gone=True, now="S-1")
    assert [*fold.made("f1")] == [fold.items["S-1"]]
    fold.apply(lenient({**renamed, "item": "shoe", "was": "S-1"}))
    assert (fold.items["shoe"].outcome, fold.items["S-1"]) == ("saved", ItemState(gone=True, now="shoe"))
    kept = fold_of(SAVED, {**SAVED, "item": "hat", "output": "hat.png"}, {**renamed, "item": "hat"})
    assert (kept.items["hat"].output, kept.items["shoe"].gone) == ("hat.png", False)


def test_signatures_that_older_versions_wrote_are_left_out_and_tell_items_apart_still() -> None:
    url = "https://shop.example/a.jpg?X-Amz-Signature="
    first, second = "https://shop.example/a.jpg #ff54bbef", "https://shop.example/a.jpg #2b342b76"
    lines = [{**SUBMITTING, "item": f"{url}1", "key": f"{url}1"}, {**SAVED, "item": f"{url}2", "source": f"{url}2"}]
    fold = fold_of(*lines)
    assert list(fold.items) == [first, second]
    assert hash64(unsigned(first)) == hash64(unsigned(second)) == hash64(unsigned("https://shop.example/a.jpg"))
    assert fold.items[second].source == "https://shop.example/a.jpg"
    lost = fold.items[first].lost
    assert lost is not None
    assert lost.key == "https://shop.example/a.jpg"


def test_how_long_items_took_is_known_as_long_as_runs_go_on_with_the_same_model() -> None:
    started = {"event": "run_started", "provider": "replicate", "version": "v1"}
    known = [started, {"event": "run_finished", "flight": 4.5}]
    assert fold_of(*known).run.flight == 4.5
    assert fold_of(*known, started, started, {"event": "run_finished"}).run.flight == 4.5
    assert fold_of(*known, started, {"event": "run_finished", "flight": 2.0}).run.flight == 2.0
    assert fold_of(*known, {**started, "version": "v2"}).run.flight is None
    assert fold_of(*known, {**started, "provider": "gateway"}).run.flight is None
