"""A run whose predictions give nothing stops after a few, and one picture that is saved releases the brake."""

from __future__ import annotations

import pytest

from batch_removebg.errors import (
    BatchError,
    CreateUnaccounted,
    InputRejected,
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


def braked() -> tuple[Brake, list[BatchError]]:
    reasons: list[BatchError] = []
    return Brake(reasons.append), reasons


@pytest.mark.parametrize("error", [OutputBroken("no picture"), PredictionLost("gone")])
def test_three_pictures_with_useless_results_stop_the_run_and_the_servers_answer_is_shown(error: BatchError) -> None:
    brake, reasons = braked()
    for picture in ("a", "b", "b"):
        brake.useless(picture, error)
    assert reasons == []
    brake.useless("c", error)
    [reason] = reasons
    assert isinstance(reason, NothingUsable)
    assert reason.exit_code == 4
    assert str(error) in str(reason)


@pytest.mark.parametrize(
    "error",
    [
        PredictionInterrupted("code: PA"),
        PredictionStuck("slow"),
        PredictionFailed("no"),
        InputRejected("422"),
        CreateUnaccounted("?"),
    ],
)
def test_ten_pictures_that_fail_alike_stop_the_run(error: BatchError) -> None:
    brake, reasons = braked()
    for picture in range(9):
        brake.useless(str(picture), error)  # another prediction may do: only its end counts
        brake.ended(str(picture), error)
    assert reasons == []
    brake.ended("9", error)
    assert [reason.kind for reason in reasons] == ["nothing-usable"]


@pytest.mark.parametrize("error", [SourceError("is empty"), ServerError("503"), UploadExpired("late")])
def test_what_nothing_was_bought_for_stops_nothing(error: BatchError) -> None:
    brake, reasons = braked()
    for picture in range(50):
        brake.ended(str(picture), error)
    assert reasons == []


def test_other_kinds_and_a_saved_picture_in_between_begin_the_count_anew() -> None:
    brake, reasons = braked()
    brake.useless("a", OutputBroken("x"))
    brake.useless("b", OutputBroken("x"))
    brake.useless("c", PredictionLost("x"))
    brake.saved()
    brake.useless("d", OutputBroken("x"))
    brake.useless("e", OutputBroken("x"))
    assert reasons == []


def test_predictions_of_an_earlier_run_may_be_over_their_hour_and_stop_nothing() -> None:
    brake, reasons = braked()
    for picture in range(50):
        brake.suspect(str(picture))
        brake.useless(str(picture), PredictionLost("wiped"), new=False)
    assert (reasons, brake.holds) == ([], False)


def test_nothing_is_bought_while_three_predictions_are_in_doubt() -> None:
    brake, _ = braked()
    for picture in ("a", "b", "b"):
        brake.suspect(picture)
    assert not brake.holds
    brake.suspect("c")
    assert brake.holds
    brake.useless("a", PredictionInterrupted("code: PA"))
    assert not brake.holds
    brake.suspect("d")
    brake.saved()
    assert not brake.holds
