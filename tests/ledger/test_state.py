"""What lines say of an item: whatever a crash leaves between two of them."""

from __future__ import annotations

from typing import Any

import pytest

from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.state import ItemState, Lost
from tests.support.oracle import Oracle
from tests.support.shoe import FAILED, SAVED, SUBMITTED, SUBMITTING, fold_of, shoe

REJECTED = {"event": "rejected", "item": "shoe", "kind": "rate-limit"}


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
