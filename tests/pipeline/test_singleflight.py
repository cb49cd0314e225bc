"""One turn at a time for each content, and what it comes to holds for the copies that were parked meanwhile."""

from __future__ import annotations

import pytest

from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    CreateUnaccounted,
    DiskError,
    InputRejected,
    OutputBroken,
    PredictionFailed,
    PredictionInterrupted,
    ServerError,
    SourceError,
    Stopping,
)
from batch_removebg.pipeline.singleflight import Singleflight

OF_CONTENT = [PredictionFailed("no"), InputRejected("no"), CreateUnaccounted("no")]
SPENT = [PredictionInterrupted("no"), OutputBroken("no")]


def flown(error: BaseException | None) -> tuple[Singleflight[str], list[tuple[str, BatchError | None]]]:
    """A turn with three copies parked, ended, and what became of them."""
    flights: Singleflight[str] = Singleflight()
    flights.begin("a", "first")
    for name in ("second", "third", "fourth"):
        assert flights.busy("a")
        flights.park("a", name)
    assert flights.parked == 3
    return flights, flights.end("a", error)


def test_copies_are_released_together_once_the_first_is_saved() -> None:
    flights, released = flown(None)
    assert released == [("second", None), ("third", None), ("fourth", None)]
    assert (flights.busy("a"), flights.parked) == (False, 0)


def test_other_keys_do_not_wait() -> None:
    flights: Singleflight[str] = Singleflight()
    flights.begin("a", "first")
    assert (flights.busy("a"), flights.busy("b")) == (True, False)


@pytest.mark.parametrize("error", [*OF_CONTENT, *SPENT, ServerError("no")])
def test_what_a_content_comes_to_is_told_its_copies_with_the_same_word_and_kind(error: BatchError) -> None:
    error.attempts = 3
    flights, released = flown(error)
    assert [name for name, _ in released] == ["second", "third", "fourth"]
    assert all((type(told), str(told)) == (type(error), "no") for _, told in released)
    assert all(told is not None and told.attempts == 0 for _, told in released)
    assert flights.parked == 0


@pytest.mark.parametrize("error", [*OF_CONTENT, *SPENT])
def test_a_copy_that_comes_later_in_the_run_is_told_the_same(error: BatchError) -> None:
    flights, _ = flown(error)
    refusal = flights.begin("a", "late").refusal
    assert (type(refusal), str(refusal)) == (type(error), "no")
    assert flights.begin("b", "other").refusal is None


def test_trouble_of_the_server_is_not_held_against_a_copy_that_comes_later() -> None:
    flights, _ = flown(ServerError("busy"))
    assert flights.begin("a", "late").refusal is None


def test_after_an_error_of_the_item_alone_the_next_copy_has_the_turn_and_what_was_bought() -> None:
    flights: Singleflight[str] = Singleflight()
    turn = flights.begin("a", "first")
    turn.bought, turn.open = 1, "p1"
    flights.park("a", "second")
    flights.park("a", "third")
    [released] = flights.end("a", SourceError("its name can't be written"))
    assert (released, flights.parked) == (("second", None), 1)
    assert (flights.leads("a", "second"), flights.leads("a", "first"), flights.busy("a")) == (True, False, True)
    assert flights.turn("a") is turn
    assert flights.end("a") == [("third", None)]
    assert not flights.busy("a")


def test_what_was_bought_in_vain_is_known_to_an_item_that_comes_later() -> None:
    flights: Singleflight[str] = Singleflight()
    flights.begin("a", "first").bought = 2
    assert flights.end("a", SourceError("its name can't be written")) == []
    turn = flights.begin("a", "late")
    assert (turn.bought, turn.refusal, flights.leads("a", "late")) == (2, None, True)


@pytest.mark.parametrize("error", [BudgetReached("no"), DiskError("no"), Stopping("no"), KeyboardInterrupt()])
def test_where_the_run_ends_every_copy_is_left_pending(error: BaseException) -> None:
    flights, released = flown(error)
    assert [type(told) for _, told in released] == [Stopping] * 3
    assert flights.begin("a", "late").refusal is None


def test_what_came_to_nothing_is_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.pipeline.singleflight._REMEMBERED", 2)
    flights: Singleflight[str] = Singleflight()
    for key in "abc":
        flights.begin(key, "x")
        flights.end(key, PredictionFailed("no"))
    assert [flights.begin(key, "y").refusal is None for key in "abc"] == [True, False, False]
