"""A refusal is the class of its remedy, and a result what became of the prediction."""

from __future__ import annotations

from typing import Any

import pytest

from batch_removebg.errors import (
    BatchError,
    InputRejected,
    KeyRejected,
    NotAnApi,
    OutOfCredit,
    OutputBroken,
    PredictionFailed,
    PredictionInterrupted,
    PredictionLost,
    RateLimited,
    ServerError,
    VersionRejected,
)
from batch_removebg.model import Prediction, Status
from batch_removebg.providers import refusals, wire
from tests.support.answers import NOW, URL, refusal

# Retry-After


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, {"retry_after": 7}, 7.0),
        ({}, {"retry_after": 7.5}, 7.5),
        ({}, {"retry_after": "7"}, 7.0),
        ({"Retry-After": "9"}, None, 9.0),
        ({"Retry-After": " 9 "}, None, 9.0),
        ({"Retry-After": "0.5"}, None, 0.5),
        ({}, {"detail": "Request was throttled. Your rate limit resets in ~7s."}, 7.0),
        ({}, {"error": {"message": "resets in 1.5s"}}, 1.5),
        # in this order: body, header, text
        ({"Retry-After": "9"}, {"retry_after": 7, "detail": "resets in ~5s"}, 7.0),
        ({"Retry-After": "9"}, {"detail": "resets in ~5s"}, 9.0),
        # what can't be read gives way to the next
        ({"Retry-After": "9"}, {"retry_after": "soon"}, 9.0),
        ({"Retry-After": "9"}, {"retry_after": float("nan")}, 9.0),
        ({"Retry-After": "9"}, {"retry_after": float("inf")}, 9.0),
        ({"Retry-After": "9"}, {"retry_after": 10**400}, 9.0),
        ({"Retry-After": "9"}, {"retry_after": True}, 9.0),
        ({"Retry-After": "nan"}, {"detail": "resets in ~5s"}, 5.0),
        ({"Retry-After": "soon"}, {"detail": "resets in ~5s"}, 5.0),
        # dates, whatever the clock of this machine calls local time
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, None, 30.0),
        ({"Retry-After": "Thu, 01 Jan 2026 02:00:30 +0200"}, None, 30.0),
        ({"Retry-After": "Thu Jan  1 00:00:30 2026"}, None, 30.0),
        ({"Retry-After": "Thursday, 01-Jan-26 00:00:30 GMT"}, None, 30.0),
        ({"Retry-After": "Wed, 31 Dec 2025 23:59:00 GMT"}, None, 0.0),
        ({"Retry-After": "Mon, 01 Jan 99999 00:00:00 GMT"}, None, None),
        ({"Retry-After": "Mon, 45 Foo 2026 99:00:00 GMT"}, None, None),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:30 +9999999999"}, None, None),
        # absurd
        ({}, {"retry_after": -5}, 0.0),
        ({"Retry-After": "-5"}, None, 0.0),
        ({"Retry-After": "86400000"}, None, 86_400_000.0),
        ({"Retry-After": "9" * 500}, None, None),
        ({}, {"detail": f"resets in {'9' * 500}s"}, None),
        # nothing said
        ({}, None, None),
        ({}, [], None),
        ({"Retry-After": ""}, {"detail": "too many"}, None),
    ],
)
def test_the_wait_a_server_asks_for(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    assert refusals.retry_after(headers, body, now=NOW) == seconds


# Refusals

HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # stop the run
        (401, {"title": "Unauthenticated", "detail": "You did not pass an authentication token"}, KeyRejected),
        (401, None, KeyRejected),
        (403, {"detail": "Forbidden"}, KeyRejected),
        (403, {"detail": "Insufficient permissions"}, KeyRejected),
        (403, None, KeyRejected),
        (402, {"title": "Insufficient credit", "detail": "Go to billing"}, OutOfCredit),
        (402, None, OutOfCredit),
        (403, {"error": {"message": "no money", "code": "insufficient_user_quota"}}, OutOfCredit),
        (403, {"error": "Your balance is too low"}, OutOfCredit),
        (422, {"title": "Invalid version", "detail": "The specified version does not exist"}, VersionRejected),
        (422, {"detail": "Invalid version or not permitted"}, VersionRejected),
        # not an API
        (301, None, NotAnApi),
        (302, {"detail": "moved"}, NotAnApi),
        (308, None, NotAnApi),
        (404, None, NotAnApi),
        (404, {"detail": "Not found"}, NotAnApi),
        (404, {"error": {"message": "Invalid URL (POST /v1/predictions)"}}, NotAnApi),
        (405, {"detail": "Method not allowed"}, NotAnApi),
        # fail the item
        (422, {"title": "Input validation failed", "detail": "- image is required"}, InputRejected),
        (422, {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}, InputRejected),
        (413, None, InputRejected),
        (413, {"detail": "too large"}, InputRejected),
        (400, {"detail": "Bad request"}, InputRejected),
        (400, None, InputRejected),
        (415, {"detail": "Unsupported media type"}, InputRejected),
        (500, {"error": {"message": "bad image", "code": "invalid_request"}}, InputRejected),
        (500, {"code": "invalid_request", "message": "bad image"}, InputRejected),
        # try again
        (429, {"detail": "Request was throttled.", "retry_after": 7}, RateLimited),
        (429, None, RateLimited),
        (409, {"detail": "Already running a prediction"}, RateLimited),
        (408, None, ServerError),
        (500, {"detail": "Internal server error"}, ServerError),
        (500, None, ServerError),
        (502, None, ServerError),
        (503, None, ServerError),
        (504, None, ServerError),
        (520, None, ServerError),
        (524, None, ServerError),
    ],
)  # fmt: skip
def test_a_refusal_is_the_class_of_its_remedy(status: int, body: Any, kind: type[BatchError]) -> None:
    assert type(refusal(status, body)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, NotAnApi),
        (401, KeyRejected),
        (402, OutOfCredit),
        (403, KeyRejected),
        (404, NotAnApi),
        (408, ServerError),
        (413, InputRejected),
        (422, NotAnApi),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
    ],
)
def test_a_refusal_as_web_page_goes_by_its_status_where_proxies_answer_so(status: int, kind: type[BatchError]) -> None:
    assert type(refusal(status, None, HTML)) is kind


def test_a_refusal_says_what_was_done_what_came_back_and_what_to_do_next() -> None:
    assert str(refusal(422, {"detail": "- image is required"})) == (
        "creating a prediction: the server answers 422 (- image is required)"
    )
    assert "--token-env" in str(refusal(401))
    assert "top up" in str(refusal(402))
    assert "--base-url" in str(refusal(404))
    assert "--model-version" in str(refusal(422, {"detail": "Invalid version or not permitted"}))
    assert len(str(refusal(500, {"detail": "x" * 10_000}))) < 500


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_goes_along_with_the_error(status: int) -> None:
    refused = refusal(status, {"detail": "wait"}, {"Retry-After": "12"})
    assert isinstance(refused, RateLimited | ServerError)
    assert refused.retry_after == 12.0


@pytest.mark.parametrize("status", [500, 502, 504, 520, 524])
def test_behind_these_a_create_may_have_been_accepted(status: int) -> None:
    assert refusals.may_have_been_accepted(status)


@pytest.mark.parametrize("status", [400, 401, 402, 404, 408, 413, 422, 429, 503, 521, 522, 523, 525, 526])
def test_behind_these_no_create_was_accepted(status: int) -> None:
    assert not refusals.may_have_been_accepted(status)


# Results


def ended(status: Status, **fields: Any) -> Prediction:
    return Prediction("a", status, **fields)


def test_the_result_of_a_success_is_its_output() -> None:
    assert wire.result(ended(Status.SUCCEEDED, output=URL)) == URL


def test_an_output_counts_although_the_status_still_says_processing() -> None:
    assert wire.result(ended(Status.PROCESSING, output=URL)) == URL


@pytest.mark.parametrize(
    "error",
    [
        "Prediction interrupted; please retry (code: PA)",
        "Director: unexpected error handling prediction (E9828)",
        "Director: unexpected error handling prediction (E9243)",
        "Director: unexpected error handling prediction (E8765)",
        "Director: unexpected error handling prediction (E6716)",
        "Service is temporarily unavailable. Please try again later. (E004)",
    ],
)
def test_a_transient_failure_asks_for_another_prediction(error: str) -> None:
    with pytest.raises(PredictionInterrupted, match="the prediction ended failed"):
        wire.result(ended(Status.FAILED, error=error))


@pytest.mark.parametrize("error", ["CUDA out of memory (E1001)", "cannot identify image file", "E98280", None])
def test_any_other_failure_is_for_good(error: str | None) -> None:
    with pytest.raises(PredictionFailed, match="refuses this picture"):
        wire.result(ended(Status.FAILED, error=error))


@pytest.mark.parametrize("status", [Status.CANCELED, Status.ABORTED])
def test_what_was_stopped_asks_for_another_prediction(status: Status) -> None:
    with pytest.raises(PredictionInterrupted, match=status.value):
        wire.result(ended(status))


def test_a_success_without_output_asks_for_another_prediction() -> None:
    with pytest.raises(OutputBroken, match="no output that can be read"):
        wire.result(ended(Status.SUCCEEDED))


def test_a_success_whose_data_is_wiped_is_lost() -> None:
    with pytest.raises(PredictionLost, match="wiped"):
        wire.result(ended(Status.SUCCEEDED, data_removed=True))
