"""Predictions, times and pages are read from what a server answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from batch_removebg.errors import (
    RateLimited,
)
from batch_removebg.model import Prediction, PredictionPage, Status
from batch_removebg.providers import refusals, wire
from tests.support.answers import URL

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
