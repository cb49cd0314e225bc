"""What the ledger's lines add up to: crash states, counts, and the table of what is left to do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from batch_removebg.hashing import hash64
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.state import HeldUpload, ItemState, Lost, Outcome, Step, names_of, plan, unsigned
from tests.support.oracle import Oracle, oracle, saved

SUBMITTING = {
    "event": "submitting",
    "t": "2026-01-31T02:00:00.123Z",
    "item": "shoe",
    "attempt": 1,
    "key": "https://files.example/shoe.jpg",
    "output": "shoe.png",
    "fingerprint": "f1",
}
SUBMITTED = {"event": "submitted", "item": "shoe", "prediction_id": "p1"}
REJECTED = {"event": "rejected", "item": "shoe", "kind": "rate-limit"}
SAVED = saved(recipe="r1", source_sha256="50", signature="10:1:1", meta={"sku": "7"}, notes=["profile left out"])
FAILED = {
    "event": "failed",
    "item": "shoe",
    "source": "in/shoe.jpg",
    "kind": "source",
    "message": "is empty",
    "retryable": False,
    "attempts": 2,
    "recipe": "r2",
}


fold_of = oracle


def shoe(*entries: dict[str, Any]) -> ItemState:
    return fold_of(*entries).items["shoe"]


# What a crash between two lines leaves


def test_a_create_without_an_answer_is_lost_and_keeps_what_it_is_looked_for_by() -> None:
    state = shoe(SUBMITTING)
    assert state.outcome == "pending"
    assert state.lost == Lost("https://files.example/shoe.jpg", "2026-01-31T02:00:00.123Z")
    assert (state.in_flight, state.fingerprint, state.output) == (False, "f1", "shoe.png")


def test_a_submitted_prediction_is_in_flight_and_not_lost() -> None:
    fold = fold_of(SUBMITTING, SUBMITTED)
    state = fold.items["shoe"]
    assert (state.outcome, state.in_flight, state.prediction_id, state.lost) == ("pending", True, "p1", None)
    assert state.fingerprint == "f1"
    assert fold.predictions == 1
    assert fold.has_prediction("p1")


def test_a_submitted_prediction_without_an_id_is_paid_for_but_cannot_be_taken_up() -> None:
    fold = fold_of(SUBMITTING, {"event": "submitted", "item": "shoe", "prediction_id": None})
    assert (fold.items["shoe"].in_flight, fold.predictions) == (False, 1)
    assert fold.items["shoe"].lost is not None  # to buy another may be to buy it twice
    assert not fold.has_prediction("p1")


def test_a_rejected_create_is_neither_lost_nor_in_flight_nor_paid_for() -> None:
    fold = fold_of(SUBMITTING, REJECTED)
    state = fold.items["shoe"]
    assert (state.outcome, state.lost, state.in_flight, fold.predictions) == ("pending", None, False, 0)


def test_a_second_create_forgets_the_spent_prediction() -> None:
    state = shoe(SUBMITTING, SUBMITTED, {**SUBMITTING, "attempt": 2, "key": "second"})
    assert state.in_flight is False
    assert state.lost == Lost("second", "2026-01-31T02:00:00.123Z")


def test_saved_after_submitted_holds_everything_the_line_says() -> None:
    assert shoe(SUBMITTING, SUBMITTED, SAVED) == ItemState(
        outcome="saved",
        source="in/shoe.jpg",
        output="shoe.png",
        sha256="5e",
        bytes=10,
        width=4,
        height=3,
        prediction_id="p1",
        attempts=1,
        seconds=1.5,
        recipe="r1",
        source_sha256="50",
        signature="10:1:1",
        meta={"sku": "7"},
        notes=("profile left out",),
    )


QUALITY = {"coverage": 0.0004, "peak": 0.9, "undecided": 0.0, "components": 0, "touches": []}


def test_quality_and_flags_are_those_of_the_last_saved_line() -> None:
    flagged = SAVED | {"quality": QUALITY, "flags": ["empty"]}
    assert (shoe(flagged).quality, shoe(flagged).flags) == (QUALITY, ("empty",))
    assert (shoe(flagged, SAVED).quality, shoe(flagged, SAVED).flags) == (None, ())
    assert (shoe(flagged, FAILED).quality, shoe(flagged, FAILED).flags) == (None, ())


@pytest.mark.parametrize(
    ("quality", "flags"), [("good", "empty"), ([1], {"empty": 1}), ({"x": float("nan")}, [1, None])]
)
def test_a_quality_that_makes_no_sense_is_none(quality: Any, flags: Any) -> None:
    state = shoe(SAVED | {"quality": quality, "flags": flags})
    assert (state.outcome, state.quality, state.flags) == ("saved", None, ())


def test_flagged_are_the_saved_ones_with_flags() -> None:
    fold = Oracle()
    for name, flags in [("a", ["empty"]), ("b", []), ("c", ["faint", "cut-off"])]:
        fold.apply(lenient(SAVED | {"item": name, "flags": flags}))
    fold.apply(lenient({"event": "claimed", "item": "c"}))
    assert [key for key, _ in fold.flagged()] == ["a"]


def test_a_failure_that_may_pass_keeps_what_is_paid_for_and_one_that_may_not_forgets_it() -> None:
    """--retry-failed after an outage asks for the prediction again instead of buying another."""
    passing = FAILED | {"retryable": True}
    assert (shoe(SUBMITTING, SUBMITTED, passing).in_flight, shoe(SUBMITTING, SUBMITTED, passing).prediction_id) == (
        True,
        "p1",
    )
    assert shoe(SUBMITTING, passing).lost is not None
    permanent = FAILED | {"retryable": False}
    assert (shoe(SUBMITTING, SUBMITTED, permanent).in_flight, shoe(SUBMITTING, permanent).lost) == (False, None)


def test_a_second_create_that_was_refused_is_no_duplicate_and_leaves_the_first_lost() -> None:
    second = SUBMITTING | {"key": "second", "possible_duplicate": True}
    fold = Oracle()
    for entry in (SUBMITTING, second, REJECTED, second, REJECTED):
        fold.apply(lenient(entry))
    assert (fold.possible_duplicates, fold.items["shoe"].lost) == (0, Lost(SUBMITTING["key"], SUBMITTING["t"]))
    fold.apply(lenient(second))
    assert fold.possible_duplicates == 1


def test_an_end_clears_what_was_lost() -> None:
    assert shoe(SUBMITTING, SAVED).lost is None
    assert shoe(SUBMITTING, FAILED).lost is None


def test_saved_after_failed_leaves_nothing_of_the_failure() -> None:
    state = shoe({**FAILED, "retryable": True}, SAVED)
    assert state == shoe(SAVED)
    assert (state.error_kind, state.error_message, state.retryable) == (None, None, False)


def test_failed_after_saved_leaves_nothing_of_the_picture_but_its_name() -> None:
    state = shoe(SAVED, FAILED)
    assert (state.outcome, state.error_kind, state.error_message) == ("failed", "source", "is empty")
    assert (state.sha256, state.bytes, state.width, state.height, state.seconds) == (None,) * 5
    assert (state.recipe, state.source_sha256, state.signature, state.meta, state.notes) == ("r2", None, None, None, ())
    assert (state.attempts, state.output) == (2, "shoe.png")


def test_an_item_taken_up_again_is_pending_until_it_ends() -> None:
    assert shoe(SAVED, SUBMITTING).outcome == "pending"
    assert shoe(FAILED, SUBMITTING).outcome == "pending"
    assert shoe(SAVED, {"event": "claimed", "item": "shoe", "output": "other.png"}).outcome == "pending"


def test_a_claim_is_on_record_before_the_picture_is() -> None:
    state = shoe({"event": "claimed", "item": "shoe", "output": "shoe.png"})
    assert (state.outcome, state.output, state.lost, state.in_flight) == ("pending", "shoe.png", None, False)


def test_unchanged_renews_the_signature_alone() -> None:
    state = shoe(SAVED, {"event": "unchanged", "item": "shoe", "signature": "10:2:2"})
    assert state == shoe({**SAVED, "signature": "10:2:2"})


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
    retry_failed, same_source, output_intact = flags
    step = plan(
        None,
        recipe="r1",
        output="shoe.png",
        retry_failed=retry_failed,
        same_source=same_source,
        output_intact=output_intact,
    )
    assert step is Step.DO


def test_what_is_left_to_do_is_this_table() -> None:
    table: dict[Step, set[tuple[str | bool, ...]]] = {step: set() for step in Step}
    outcomes: tuple[Outcome, ...] = ("pending", "saved", "failed")
    for outcome in outcomes:
        for row in itertools.product([False, True], repeat=5):
            same_recipe, same_source, same_output, intact, retry_failed = row
            step = plan(
                ItemState(outcome=outcome, recipe="r1", output="shoe.png"),
                recipe="r1" if same_recipe else "r2",
                output="shoe.png" if same_output else "shoe-2.png",
                retry_failed=retry_failed,
                same_source=same_source,
                output_intact=intact,
            )
            table[step].add((outcome, *row))
    assert table[Step.DONE] == {("saved", True, True, True, True, retry) for retry in (False, True)}
    assert table[Step.LEAVE] == {
        ("failed", True, True, same_output, intact, False) for same_output in (False, True) for intact in (False, True)
    }
    assert len(table[Step.DO]) == 3 * 2**5 - 2 - 4


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
    assert fold.items["S-1"] == fold_of({**SAVED, "fingerprint": "f1"}).items["shoe"]
    assert fold.items["shoe"] == ItemState(gone=True)
    assert [*fold.made("f1")] == [fold.items["S-1"]]
    fold.apply(lenient({**renamed, "item": "shoe", "was": "S-1"}))
    assert (fold.items["shoe"].outcome, fold.items["S-1"]) == ("saved", ItemState(gone=True))
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
