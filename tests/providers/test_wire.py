"""What servers answer is read in every shape seen, and no answer, however hostile, raises anything but its remedy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from batch_removebg.model import Prediction, PredictionPage, Status
from batch_removebg.providers import refusals, wire
from batch_removebg.storage import on_disk
from batch_removebg.storage.on_disk import OnDisk
from tests.support.wire import nested

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
URL = "https://replicate.delivery/xezq/abc/output.png"


# Predictions


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ({"request_id": "r1", "output": {"task_id": "t1", "task_status": "PENDING"}}, "t1"),
        ({"request_id": "r1", "id": "p1", "status": "starting"}, "p1"),
        ({"request_id": "r1", "status": "starting", "urls": {"get": "https://x/predictions/p1"}}, "p1"),
        ({"request_id": "r1", "status": "starting"}, "r1"),
    ],
)
def test_the_id_of_a_request_is_a_predictions_only_where_no_other_is_there(body: dict[str, Any], known: str) -> None:
    found = wire.prediction(body)
    assert found is not None
    assert (found.id, found.status) == (known, Status.STARTING)


def test_a_task_that_is_told_of_in_the_output_is_read_to_its_end() -> None:
    output = {"task_id": "t1", "task_status": "SUCCEEDED", "results": [{"url": URL}]}
    assert wire.prediction({"request_id": "r1", "output": output}) == Prediction("t1", Status.SUCCEEDED, output=URL)


def test_a_prediction_of_the_hosted_api_is_read_whole() -> None:
    body = {
        "id": "gm3qorzdhgbfurvjtvhg6dckhu",
        "model": "lucataco/remove-bg",
        "version": "hidden",
        "input": {"image": "https://example.com/shoe.jpg"},
        "output": URL,
        "error": None,
        "status": "succeeded",
        "logs": "",
        "created_at": "2026-01-01T00:00:00.123456789Z",
        "metrics": {"predict_time": 1.25, "total_time": 3.5},
        "data_removed": False,
        "urls": {"get": "https://api.replicate.com/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu"},
    }
    assert wire.prediction(body) == Prediction(
        id="gm3qorzdhgbfurvjtvhg6dckhu",
        status=Status.SUCCEEDED,
        output=URL,
        image="https://example.com/shoe.jpg",
        created_at=datetime(2026, 1, 1, 0, 0, 0, 123456, UTC),
        ran=3.5,
    )


@pytest.mark.parametrize(
    ("fields", "ran"),
    [
        ({"metrics": {"total_time": 3.5}}, 3.5),
        ({"created_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02.5Z"}, 2.5),
        ({"created_at": "2026-01-01T00:00:00Z"}, None),
        ({"created_at": "2026-01-01T00:00:03Z", "completed_at": "2026-01-01T00:00:02Z"}, None),
        ({"created_at": "1970-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:00Z"}, None),
        ({"metrics": {"total_time": "soon"}}, None),
        ({"metrics": {"total_time": -1}}, None),
        ({"metrics": {"predict_time": 1.0}}, None),
    ],
)
def test_how_long_it_ran_is_told_by_the_servers_clock_alone(fields: dict[str, Any], ran: float | None) -> None:
    read = wire.prediction({"id": "a", "status": "succeeded", "output": URL, **fields})
    assert read is not None
    assert read.ran == ran


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        ({"ratelimit-remaining": "1", "ratelimit-reset": "7"}, None),
        ({"ratelimit-remaining": "0"}, None),
        ({"ratelimit-reset": "7"}, None),
        ({"ratelimit-remaining": "none", "ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_an_answer_may_say_that_it_was_the_last(headers: dict[str, str], seconds: float | None) -> None:
    assert refusals.exhausted(headers) == seconds


LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst "
    "of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~7s."
)


@pytest.mark.parametrize(
    ("detail", "limit"),
    [
        (LOW_CREDIT, (0.1, 1.0)),
        ("limited to 600 requests per minute", (10.0, 1.0)),
        ("5 requests per second with a burst of 20", (5.0, 20.0)),
        ("0 requests per minute", None),
        ("9" * 400 + " requests per second", None),
        ("Request was throttled.", None),
    ],
)
def test_a_limit_that_is_spelled_out_is_read(detail: str, limit: tuple[float, float] | None) -> None:
    refused = refusals.refusal(429, {}, {"detail": detail}, doing="asking", now=0.0)
    assert isinstance(refused, RateLimited)
    assert refused.limit == limit


def test_an_id_and_a_status_are_enough() -> None:
    assert wire.prediction({"id": "a", "status": "starting"}) == Prediction("a", Status.STARTING)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("starting", Status.STARTING),
        ("processing", Status.PROCESSING),
        ("succeeded", Status.SUCCEEDED),
        ("failed", Status.FAILED),
        ("canceled", Status.CANCELED),
        ("aborted", Status.ABORTED),
        ("SUCCEEDED", Status.SUCCEEDED),
        (" Processing ", Status.PROCESSING),
        ("pending", Status.STARTING),
        ("queued", Status.STARTING),
        ("running", Status.PROCESSING),
        ("completed", Status.SUCCEEDED),
        ("COMPLETED", Status.SUCCEEDED),
        ("cancelled", Status.CANCELED),
        ("error", Status.FAILED),
        ("reticulating", Status.UNKNOWN),
        ("", Status.UNKNOWN),
    ],
)
def test_a_status_is_read_in_any_case_and_in_other_servers_words(word: str, status: Status) -> None:
    read = wire.prediction({"id": "a", "status": word})
    assert read is not None
    assert read.status is status


def test_only_four_words_are_terminal() -> None:
    ends = {status for status in Status if status.terminal}
    assert ends == {Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED}


@pytest.mark.parametrize(
    ("output", "url"),
    [
        (URL, URL),
        ([URL], URL),
        ([None, "", "no url", URL, "https://second"], URL),
        ({"image": URL}, URL),
        ({"images": [{"mask": None}, {"url": URL}]}, URL),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("HTTPS://EXAMPLE.COM/A.png", "HTTPS://EXAMPLE.COM/A.png"),
        ("http://example.com/a.png", "http://example.com/a.png"),
        (None, None),
        ([], None),
        ("ftp://example.com/a.png", None),
        ("a cat", None),
        (7, None),
    ],
)
def test_the_first_url_in_an_output_of_any_shape_is_taken(output: Any, url: str | None) -> None:
    read = wire.prediction({"id": "a", "status": "succeeded", "output": output})
    assert read is not None
    assert read.output == url


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"id": "a", "status": "starting"}},
        {"code": "success", "message": "", "data": {"id": "a", "status": "starting"}},
        {"status": "success", "data": {"id": "a", "status": "starting"}},
        {"id": "the request's", "data": {"id": "a", "status": "starting"}},
        {"data": {"data": {"id": "a", "status": "starting"}}},
    ],
)
def test_a_prediction_is_found_inside_its_wrapper(body: Any) -> None:
    assert wire.prediction(body) == Prediction("a", Status.STARTING)


def test_a_prediction_with_a_field_named_data_is_no_wrapper() -> None:
    body = {"id": "a", "status": "failed", "data": {"id": "b", "status": "succeeded"}}
    assert wire.prediction(body) == Prediction("a", Status.FAILED)


def test_an_immediate_result_without_an_id_is_a_success() -> None:
    assert wire.prediction({"created": 1_700_000_000, "data": [{"url": URL}]}) == Prediction(
        None, Status.SUCCEEDED, output=URL
    )
    assert wire.prediction({"created": 1_700_000_000, "data": []}) is None


@pytest.mark.parametrize("body", [None, [], "ok", 7, {}, {"id": "a"}, {"status": 200}, {"detail": "no"}, {"data": {}}])
def test_what_holds_no_prediction_is_none(body: Any) -> None:
    assert wire.prediction(body) is None


@pytest.mark.parametrize(
    ("given", "read"),
    [("a", "a"), (17, "17"), ("", None), (None, None), (True, None), ("a\nb", None), ("\ud800", None), (["a"], None)],
)
def test_an_id_is_text_that_fits_into_a_url(given: Any, read: str | None) -> None:
    prediction = wire.prediction({"id": given, "status": "starting"})
    assert prediction is not None
    assert prediction.id == read


def test_the_echoed_image_is_the_field_asked_for_and_not_just_any_url_in_the_input() -> None:
    body = {
        "id": "a",
        "status": "starting",
        "input": {"background": "https://x/back.png", "image_url": "https://x/cat"},
    }
    read = wire.prediction(body, image_field="image_url")
    assert read is not None
    assert read.image == "https://x/cat"
    for sent in (body["input"], {}, None, [], "https://x/cat"):
        other = wire.prediction(body | {"input": sent})
        assert other is not None
        assert other.image is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, None),
        ("", None),
        ("out of memory", "out of memory"),
        ({"message": "out of memory", "code": "E1001"}, "out of memory"),
        ({"detail": [{"msg": "one"}, {"msg": "two"}]}, "one; two"),
        ({"code": 7}, "{'code': 7}"),
        (False, "False"),
    ],
)
def test_an_error_is_read_from_text_and_objects(error: Any, said: str | None) -> None:
    read = wire.prediction({"id": "a", "status": "failed", "error": error})
    assert read is not None
    assert read.error == said


@pytest.mark.parametrize(
    ("total_time", "ran"),
    [(2, 2.0), (0.5, 0.5), ("1.5", 1.5), (None, None), (10**400, None), (float("nan"), None), ([], None), (True, None)],
)
def test_the_run_time_is_a_finite_number_or_none(total_time: Any, ran: float | None) -> None:
    read = wire.prediction({"id": "a", "status": "starting", "metrics": {"total_time": total_time}})
    assert read is not None
    assert read.ran == ran


# Times


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00.123Z", 123_000),
        ("2026-01-01T00:00:00.1234Z", 123_400),
        ("2026-01-01T00:00:00.12345Z", 123_450),
        ("2026-01-01T00:00:00.123456Z", 123_456),
        ("2026-01-01T00:00:00.1234567Z", 123_456),
        ("2026-01-01T00:00:00.12345678Z", 123_456),
        ("2026-01-01T00:00:00.123456789Z", 123_456),
        ("2026-01-01T00:00:00.123456789+00:00", 123_456),
        ("2026-01-01T02:00:00.123456+02:00", 123_456),
        ("2026-01-01T00:00:00.5", 500_000),
        (" 2026-01-01T00:00:00Z\n", 0),
    ],
)
def test_a_time_is_read_with_any_number_of_digits_and_is_never_naive(text: str, microseconds: int) -> None:
    assert wire.when(text) == datetime(2026, 1, 1, 0, 0, 0, microseconds, UTC)


@pytest.mark.parametrize("text", [None, 1_700_000_000, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z"])
def test_what_is_no_time_is_none(text: Any) -> None:
    assert wire.when(text) is None


# Pages


def test_a_page_has_its_predictions_in_order_and_the_cursor_of_the_next() -> None:
    body = {
        "previous": None,
        "next": "https://api.replicate.com/v1/predictions?created_after=2026-01-01&cursor=cD0yMDI%3D",
        "results": [{"id": "b", "status": "starting"}, "junk", {"id": "a", "status": "succeeded"}],
    }
    expected = (
        Prediction("b", Status.STARTING),
        Prediction("a", Status.SUCCEEDED, error="{'id': 'a', 'status': 'succeeded'}"),
    )
    assert wire.page(body) == PredictionPage(expected, "cD0yMDI=")


@pytest.mark.parametrize(
    ("shown", "known"), [({}, True), ({"threshold": 0.5}, True), ({"threshold": 0.9}, False), ({"other": 1}, True)]
)
def test_a_listed_prediction_made_with_another_input_is_not_known_by_its_picture(shown: Any, known: bool) -> None:
    body = {"results": [{"id": "a", "status": "succeeded", "input": {"image": "https://x/a.jpg", **shown}}]}
    found = wire.page(body, inputs={"threshold": 0.5})
    assert found is not None
    assert found.predictions[0].image == ("https://x/a.jpg" if known else None)


@pytest.mark.parametrize("following", [None, "", {}])
def test_a_page_that_names_none_after_it_is_the_last(following: Any) -> None:
    assert wire.page({"results": [], "next": following}) == PredictionPage((), None)


@pytest.mark.parametrize("following", [7, "https://x/predictions?page=2", "https://[x/predictions?cursor=a"])
def test_a_page_without_a_readable_cursor_is_not_the_last(following: Any) -> None:
    assert wire.page({"results": [], "next": following}) == PredictionPage((), "")


@pytest.mark.parametrize("body", [None, [], {}, {"results": None}, {"results": {}}, "results"])
def test_what_is_no_page_is_none(body: Any) -> None:
    assert wire.page(body) is None


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


def refusal(status: int, body: Any = None, headers: dict[str, str] | None = None) -> BatchError:
    return refusals.refusal(status, headers or {}, body, doing="creating a prediction", now=NOW)


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


# Anything at all

WORDS = st.sampled_from(
    [
        "id", "status", "output", "error", "input", "image", "data", "results", "next", "retry_after", "detail", "code",
        "message", "metrics", "predict_time", "created_at", "data_removed", "url", "succeeded", "failed",
        "https://[x", "http://h:99999/", "data:", "2026-01-01T00:00:00.123456789Z", "\ud800", "resets in 5s",
    ]
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | WORDS | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=8),
    max_leaves=20,
)
PREDICTIONS = st.fixed_dictionaries(
    {"status": WORDS}, optional=dict.fromkeys(("id", "output", "error", "input", "metrics", "created_at"), ANY_JSON)
)


@settings(max_examples=80, deadline=None)
@given(body=ANY_JSON | PREDICTIONS, status=st.integers(300, 599), header=st.text(max_size=30))
def test_no_json_raises_anything(body: Any, status: int, header: str) -> None:
    wire.prediction(body)
    wire.page({"results": [body], "next": body})
    refusals.glimpse(body)
    wait = refusals.retry_after({"Retry-After": header}, body, now=NOW)
    assert wait is None or 0 <= wait < float("inf")
    refused = refusal(status, body)
    assert isinstance(refused, BatchError)
    assert "\n" not in refusals.glimpse(body)


@settings(max_examples=30, deadline=None)
@given(PREDICTIONS)
def test_a_status_makes_a_prediction_whatever_else_is_there(body: Any) -> None:
    read = wire.prediction(body)
    assert read is not None
    json.dumps({"ran": read.ran}, allow_nan=False)


@pytest.mark.parametrize("depth", [20, 900, 5000])
def test_no_depth_exhausts_the_stack(depth: int) -> None:
    assert wire.prediction(nested(depth, "data")) is None
    assert wire.outputs([nested(depth, "output"), URL]) == (URL,)
    assert refusals.detail(nested(depth, "detail")) == ""
    assert len(refusals.glimpse(nested(depth))) <= 300
    listed: Any = []
    for _ in range(depth):
        listed = [listed]
    assert refusals.detail(listed) == ""
    assert isinstance(refusal(500, nested(depth, "error")), ServerError)


# Read leniently: what isn't understood is paid for all the same

BASE = "https://gateway.example/replicate/v1"
PNG64 = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        (f" {URL}\n", (URL,)),
        ("//cdn.example/o.png", ("https://cdn.example/o.png",)),
        ("/out/o.png", ("https://gateway.example/out/o.png",)),
        ("out/o.png?x=1", (f"{BASE}/out/o.png?x=1",)),
        (PNG64, (f"data:;base64,{PNG64}",)),
        ({"preview": "https://cdn.example/log.txt", "image": URL}, (URL, "https://cdn.example/log.txt")),
        ({"a": "https://cdn.example/o", "b": URL}, (URL, "https://cdn.example/o")),
        ([URL, f"{URL}?2"], (URL, f"{URL}?2")),
        ("done", ()),
        ("no picture / nothing", ()),
        ("ftp://cdn.example/o.png", ()),
        ({"n": 3}, ()),
    ],
)
def test_an_output_is_found_however_it_is_written(output: Any, urls: tuple[str, ...]) -> None:
    assert wire.outputs(output, BASE) == urls


@pytest.mark.parametrize("field", ["outputs", "files", "images", "result"])
def test_an_output_in_another_field_counts_where_the_usual_one_is_empty(field: str) -> None:
    read = wire.prediction({"id": "a", "status": "succeeded", "output": None, field: [URL]})
    assert read == Prediction("a", Status.SUCCEEDED, output=URL)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"task_id": "t"}, "t"),
        ({"id": None, "prediction_id": 7}, "7"),
        ({"urls": {"get": "https://elsewhere.example/v1/predictions/p%201"}}, "p 1"),
        ({"id": ".."}, None),
        ({"id": 1.5}, None),
    ],
)
def test_an_id_is_found_under_other_names_and_in_the_link(fields: dict[str, Any], found: str | None) -> None:
    read = wire.prediction({"status": "starting", **fields})
    assert read is not None
    assert read.id == found


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: {"status": "success", "id": "req-1", "data": inner},
        lambda inner: {"code": 0, "result": inner},
        lambda inner: {"prediction": inner},
        lambda inner: [inner],
        lambda inner: {"code": 200, "data": {"data": inner}},
    ],
)
def test_a_wrapped_prediction_is_read(wrap: Callable[[Any], Any]) -> None:
    inner = {"id": "a", "status": "processing", "input": {}, "output": None}
    assert wire.prediction(wrap(inner)) == Prediction("a", Status.PROCESSING)
    assert refusals.stated(wrap(inner)) is None or wire.prediction(wrap(inner)) is not None


OUT = "https://pics.example/a.png"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"code": 0, "msg": "ok", "data": {"task_id": "t"}}, ("t", Status.STARTING, None)),
        ({"code": 200, "message": "success", "data": {"taskId": "t"}}, ("t", Status.STARTING, None)),
        ({"code": "0", "data": {"task_id": "t", "task_status": "submitted"}}, ("t", Status.STARTING, None)),
        ({"errno": 0, "errmsg": "ok", "data": {"task_id": 7}}, ("7", Status.STARTING, None)),
        ({"success": True, "result": {"id": "t"}}, ("t", Status.STARTING, None)),
        ({"code": 0, "msg": "ok", "data": "t"}, ("t", Status.STARTING, None)),
        ({"code": 0, "data": json.dumps({"task_id": "t", "status": "running"})}, ("t", Status.PROCESSING, None)),
        (json.dumps({"id": "t", "status": "starting"}), ("t", Status.STARTING, None)),
        (
            {"code": 0, "data": {"task_id": "t", "task_status": "succeed", "task_result": {"images": [{"url": OUT}]}}},
            ("t", Status.SUCCEEDED, OUT),
        ),
        (
            {"code": 200, "data": {"taskId": "t", "state": "success", "resultJson": json.dumps({"resultUrls": [OUT]})}},
            ("t", Status.SUCCEEDED, OUT),
        ),
        ({"code": 0, "msg": "ok", "data": {"image_url": OUT}}, (None, Status.SUCCEEDED, OUT)),
        ({"code": 0, "msg": "ok", "data": OUT}, (None, Status.SUCCEEDED, OUT)),
    ],
)
def test_an_envelope_that_says_that_all_is_well_holds_a_task_or_a_result(body: Any, read: tuple[Any, ...]) -> None:
    found = wire.prediction(body)
    assert found is not None
    assert (found.id, found.status, found.output) == read


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "data": {"task_id": "t", "task_status": "failed", "task_status_msg": "no subject"}},
        {"code": 200, "msg": "success", "data": {"taskId": "t", "state": "fail", "failMsg": "no subject"}},
    ],
)
def test_a_task_that_failed_inside_an_envelope_tells_its_reason(body: Any) -> None:
    found = wire.prediction(body)
    assert found is not None
    assert (found.id, found.status, found.error) == ("t", Status.FAILED, "no subject")


def test_an_envelope_of_a_refusal_holds_no_prediction() -> None:
    assert wire.prediction({"code": 402, "msg": "no balance", "data": {"task_id": "t"}}) is None


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"id": "a"}', {"id": "a"}),
        (b'\xef\xbb\xbf{"id": "a"}', {"id": "a"}),
        ('{"id": "a"}'.encode("utf-16"), {"id": "a"}),
        (b'/**/ {"id": "a"}', {"id": "a"}),
        (b')]}\',\n{"id": "a"}', {"id": "a"}),
        (b'{"id": "a"}\n{"id": "b"}\n', {"id": "a"}),
        (b"busy", None),
        (b"<html>[1]</html>", None),
        (b'{"id": ', None),
        (b"\xff\xfe\xfa", None),
    ],
)
def test_json_is_read_behind_a_prefix_and_before_a_second_value(raw: bytes, value: Any) -> None:
    assert wire.parsed(raw) == value


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": 401, "msg": "invalid api key", "data": None}, 401),
        ({"code": 1102, "msg": "insufficient quota, please recharge", "data": None}, 402),
        ({"code": 1102, "msg": "余额不足", "success": False, "data": {}}, 402),
        ({"code": 429, "msg": "Too Many Requests", "data": None}, 429),
        ({"success": False, "message": "rate limit reached"}, 429),
        ({"code": 400, "message": "image url not reachable", "data": None}, 400),
        ({"code": 4001, "message": "image url not reachable"}, 400),
        ({"code": 500, "msg": "busy"}, 500),
        ({"error": {"message": "model overloaded", "type": "server_error", "code": "upstream"}}, 503),
        ({"error": {"message": "Unauthorized"}}, 401),
        ({"status": 403, "error": "forbidden"}, 403),
        ({"code": "401", "msg": "who are you?"}, 401),
        ({"code": "InvalidApiKey", "message": "Invalid API-key provided."}, 401),
        ({"code": "Throttling.RateQuota", "message": "slow down"}, 429),
        ({"code": "Arrearage", "message": "the account is not in good standing"}, 402),
        ({"code": -1, "msg": "system busy", "data": None}, 503),
        ({"code": 200, "data": {"code": 402, "msg": "top up"}}, 402),
        ({"code": "success", "message": "ok", "data": {}}, None),
        ({"code": 0, "msg": "ok", "data": {}}, None),
        ({"hello": "world"}, None),
        ({"status": 200}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_refusal_inside_a_200_stands_for_its_status(body: Any, status: int | None) -> None:
    assert refusals.stated(body) == status


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("http://pics.example/gr%C3%BCn%20und%20blau.png?a=b%20c", True),
        ("HTTP://PICS.example:80/grün und blau.png?a=b c#x", True),
        ("http://pics.example/grün+und+blau.png?a=b c", False),
        ("http://pics.example/grün und blau 2.png?a=b c", False),
        ("https://pics.example/grün und blau.png?a=b c", False),
        ("http://[", False),
    ],
)
def test_urls_are_compared_normalised(other: str, same: bool) -> None:
    assert wire.same_url("http://pics.example/grün und blau.png?a=b c", other) is same


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (b'"\xed\xa0\xbd\xff"', "\ufffd\ufffd\ufffd\ufffd"),
    ],
)
def test_texts_of_answers_can_be_written(raw: bytes, text: str) -> None:
    assert wire.parsed(raw) == text


@pytest.mark.parametrize("text", ["//[x", "//[]", "//:]"])
def test_what_leads_nowhere_is_no_output(text: str) -> None:
    assert wire.outputs(text, "https://api.example/v1") == ()


def test_what_is_no_url_is_the_same_as_itself_alone() -> None:
    assert wire.same_url("http://[::1]x@", "http://[::1]x@")
    assert not wire.same_url("http://[::1]x@", "http://[::1]")


def test_a_refusal_of_digits_is_read_at_once() -> None:
    assert refusals.limit({"detail": "1" * 500_000}) is None  # where each digit is a start, this takes minutes
    assert refusals.limit({"detail": "12345678901 requests per second"}) is None
    assert refusals.limit({"detail": "x1.5 requests per second"}) == (1.5, 1.0)


@pytest.mark.parametrize("field", ["image", "url", "output_url", "resultUrl", "artifacts", "image_base64"])
def test_a_result_is_found_beside_the_usual_field_but_never_the_picture_that_was_sent(field: str) -> None:
    sent = "https://shop.example/a.png"
    body = {"id": "a", "status": "succeeded", "input": {"image": sent}, "images": [sent], field: PNG64}
    read = wire.prediction(body)
    assert read is not None
    assert read.output == f"data:;base64,{PNG64}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "error", "message": "rate limit exceeded"}, 429),
        ({"status": "error", "message": "Invalid API key"}, 401),
        ({"status": "failed", "msg": "insufficient balance"}, 402),
        ({"errno": 1102, "errmsg": "quota used up"}, 402),
    ],
)
def test_a_status_word_with_a_message_and_no_id_is_a_refusal(body: Any, status: int) -> None:
    assert wire.prediction(body) is None
    assert refusals.stated(body) == status


def test_a_prediction_in_a_list_in_a_wrapper_is_read() -> None:
    inner = {"id": "a", "status": "processing", "input": {"image": "https://shop.example/a.png"}}
    assert wire.prediction({"code": 0, "data": [inner]}) == Prediction(
        "a", Status.PROCESSING, image="https://shop.example/a.png"
    )


def test_long_pictures_in_an_answer_go_to_files_and_what_was_sent_leaves_a_digest(tmp_path: Path) -> None:
    long, other = PNG64 * 2000, "data:image/png;base64," + PNG64 * 1500
    body = {"input": {"image": other}, "output": [other, long, "https://x.example/a.png", PNG64], "logs": "x" * 100_000}
    light = wire.lightened({"id": "p1", "status": "succeeded", **body}, tmp_path)
    found = wire.prediction(light)
    assert found is not None
    assert found.output == "https://x.example/a.png"
    waiting, short = found.others  # the other long one is what was sent
    assert isinstance(waiting, OnDisk)
    assert on_disk.read(waiting.path) == f"data:;base64,{long}"
    assert short == f"data:;base64,{PNG64}"
    assert light["logs"] == body["logs"]
    assert len(json.dumps(light["input"])) < 200
