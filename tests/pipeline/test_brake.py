"""A run whose predictions give nothing stops after a few, and a picture that is saved excuses those before it."""

from __future__ import annotations

import string

import pytest

from batch_removebg.errors import (
    BatchError,
    CreateUnaccounted,
    InputRejected,
    NoAlpha,
    NothingUsable,
    OutputBroken,
    PredictionFailed,
    PredictionInterrupted,
    PredictionLost,
    PredictionStuck,
    ServerError,
    SourceError,
    UploadExpired,
)
from batch_removebg.pipeline.brake import Brake

USELESS = OutputBroken("no picture")


def braked(bought: str = "") -> tuple[Brake, list[BatchError]]:
    """A brake that knows of purchases for these pictures, one letter each, and its reasons to stop."""
    reasons: list[BatchError] = []
    brake = Brake(reasons.append)
    assert buys(brake, bought) == bought
    return brake, reasons


def buys(brake: Brake, pictures: str, now: float = 0.0) -> str:
    """Those of the pictures that something is bought for."""
    allowed = ""
    for picture in pictures:
        if brake.allows(picture, now):
            brake.bought(picture)
            allowed += picture
    return allowed


@pytest.mark.parametrize("error", [OutputBroken("no picture"), PredictionLost("gone")])
def test_six_pictures_with_useless_results_stop_the_run_and_the_servers_answer_is_shown(error: BatchError) -> None:
    brake, reasons = braked("abcdef")
    for picture in "abbcde":
        brake.useless(picture, error)
    assert reasons == []
    brake.useless("f", error)
    [reason] = reasons
    assert isinstance(reason, NothingUsable)
    assert reason.exit_code == 4
    assert str(error) in str(reason)


def test_the_first_three_stop_the_run_where_none_is_in_flight_and_none_was_saved() -> None:
    for saved, stops in (("", 1), ("d", 0)):
        brake, reasons = braked("d")
        brake.saved("d") if saved else brake.ended("d", SourceError("is gone"))
        assert buys(brake, "abc") == "abc"
        for picture in "abc":
            brake.useless(picture, USELESS)
        assert len(reasons) == stops


def test_with_three_pictures_in_doubt_only_new_ones_are_bought_and_six_are_tried_in_all() -> None:
    brake, reasons = braked("abc")
    brake.suspect("a")
    brake.suspect("b")
    assert brake.allows("a", 1.0)
    brake.useless("c", USELESS)
    assert not brake.holds
    assert buys(brake, "abcdefg", 1.0) == "def"
    assert brake.holds
    brake.saved("d")
    assert not brake.holds
    assert buys(brake, "abc", 1.0) == "abc"
    assert reasons == []


def test_what_was_in_flight_when_the_doubt_came_takes_the_place_of_new_ones() -> None:
    brake, _ = braked("abcdefgh")
    for picture in "abc":
        brake.suspect(picture)
    assert brake.holds
    assert not brake.allows("i", 1.0)
    for picture in "defgh":
        brake.ended(picture, SourceError("is gone"))
    assert brake.allows("i", 1.0)


def test_three_useless_pictures_stop_the_run_where_no_other_can_be_tried() -> None:
    brake, reasons = braked("abcd")
    for picture in "abc":
        brake.useless(picture, USELESS)
    assert not brake.allows("a", 100.0)  # the fourth is under way
    assert not brake.allows("a", 500.0)
    brake.ended("d", SourceError("is gone"))
    assert not brake.allows("a", 600.0)
    assert not brake.allows("a", 679.0)
    assert reasons == []
    assert not brake.allows("a", 680.0)
    assert "3 pictures in a row" in str(reasons[0])


def test_pictures_bought_before_one_that_is_saved_are_at_fault_themselves_and_never_counted() -> None:
    brake, reasons = braked("abcdefgh")
    brake.saved("h")
    for _ in range(2):
        for picture in "abcdefg":
            brake.suspect(picture)
            brake.useless(picture, USELESS)
            assert buys(brake, picture, 1.0)
    assert reasons == []


def test_a_picture_saved_late_excuses_only_those_bought_before_it() -> None:
    brake, reasons = braked("abcdefgh")
    for picture in "abcde":
        brake.useless(picture, USELESS)
    brake.saved("c")
    for picture in "fgh":
        brake.useless(picture, USELESS)
    assert reasons == []
    assert brake.allows("a", 1.0)
    assert not brake.allows("e", 1.0)
    assert buys(brake, "i", 1.0)
    brake.useless("i", USELESS)
    assert len(reasons) == 1


def test_useless_predictions_of_an_earlier_run_are_replaced_once_another_shows_that_the_server_is_well() -> None:
    brake, reasons = braked()
    for picture in "abcd":
        brake.suspect(picture)
        brake.useless(picture, PredictionLost("wiped"))  # perhaps its hour is over
    assert buys(brake, "abcdx", 1.0) == "x"
    brake.saved("x")
    assert buys(brake, "abcd", 2.0) == "abcd"
    assert reasons == []


@pytest.mark.parametrize("well", [False, True])
def test_where_no_other_is_left_three_of_them_are_replaced_after_ten_seconds(well: bool) -> None:
    reasons: list[BatchError] = []
    brake = Brake(reasons.append, well)
    for picture in "abcd":
        brake.useless(picture, PredictionLost("wiped"))
    assert buys(brake, "abcd", 1.0) == ""
    assert buys(brake, "abcd", 10.9) == ""
    assert buys(brake, "ab", 11.0) == "ab"
    assert [brake.may_buy(0.0, under_way) for under_way in (0, 1)] == [True, False]
    brake.useless("a", USELESS)
    assert not brake.allows("a", 12.0)
    assert [brake.may_buy(0.0, under_way) for under_way in (0, 1)] == [True, False]
    assert buys(brake, "c", 12.0) == "c"
    assert not brake.may_buy(0.0, 0)
    for picture in "bc":
        brake.useless(picture, USELESS)
    assert len(reasons) == 1


def test_until_the_first_picture_three_are_tried_at_a_time_and_then_any_number() -> None:
    brake, _ = braked()
    assert [brake.may_buy(0.0, under_way) for under_way in (0, 2, 3)] == [True, True, False]
    # They keep all others waiting for no longer than a while.
    assert [Brake(lambda _: None).may_buy(0.0, 3), brake.may_buy(9.9, 3), brake.may_buy(10.0, 5)] == [
        False,
        False,
        True,
    ]
    assert buys(brake, "ab") == "ab"
    assert [brake.may_buy(0.0, under_way) for under_way in (0, 1)] == [True, False]
    brake.ended("a", SourceError("is gone"))
    assert brake.may_buy(0.0, 1)
    brake.saved("b")
    assert brake.may_buy(0.0, 255)
    assert Brake(lambda _: None, well=True).may_buy(0.0, 255)  # proven by an earlier run


def test_the_verdict_shows_what_the_server_said_of_the_last_one() -> None:
    brake, reasons = braked("abc")
    for picture in "abc":
        error = NoAlpha("the output has no alpha")
        error.answer = f"prediction {picture} succeeded with https://out.example/{picture}.jpg?sig=secret"
        brake.useless(picture, error)
    assert str(reasons[0]).endswith(
        "The last: the output has no alpha; prediction c succeeded with https://out.example/c.jpg"
    )


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (PredictionInterrupted("code: PA"), 6),
        (PredictionStuck("slow"), 6),
        (PredictionFailed("no"), 6),
        (CreateUnaccounted("?"), 6),
        (InputRejected("422"), 10),  # which costs nothing
    ],
)
def test_six_pictures_that_fail_alike_stop_the_run_or_ten_that_are_rejected(error: BatchError, most: int) -> None:
    pictures = "abcdefghij"[:most]
    brake, reasons = braked(pictures + "more")
    for picture in pictures[:-1]:
        brake.useless(picture, error)  # another prediction may do: only its end counts
        brake.ended(picture, error)
    assert reasons == []
    brake.ended(pictures[-1], error)
    assert [reason.kind for reason in reasons] == ["nothing-usable"]


def test_failures_among_pictures_that_are_in_flight_stop_nothing_until_those_have_ended() -> None:
    pictures = string.ascii_letters[:40]
    brake, reasons = braked(pictures)
    for number in range(6, 40, 5):  # they fail quickly; the others take their time
        brake.ended(pictures[number], PredictionFailed("no"))
    assert reasons == []
    for number in range(39):
        if number % 5 != 1 or number < 6:
            brake.saved(pictures[number])
    assert reasons == []


@pytest.mark.parametrize("error", [SourceError("is empty"), ServerError("503"), UploadExpired("late")])
def test_what_nothing_was_bought_for_stops_nothing(error: BatchError) -> None:
    brake, reasons = braked()
    for picture in range(50):
        brake.ended(str(picture), error)
    assert reasons == []


def test_other_kinds_and_a_saved_picture_in_between_begin_the_count_of_failures_anew() -> None:
    brake, reasons = braked()
    for nth, error in enumerate([PredictionFailed("no")] * 5 + [InputRejected("422")] * 9):
        brake.ended(str(nth), error)
    brake.saved("20")
    brake.ended("21", InputRejected("422"))
    assert reasons == []


def test_a_doubt_that_passes_releases_the_brake() -> None:
    brake, _ = braked("abc")
    for picture in "abc":
        brake.suspect(picture)
    assert not brake.allows("a", 1.0)
    brake.useless("a", PredictionInterrupted("code: PA"))
    assert brake.allows("a", 1.0)
