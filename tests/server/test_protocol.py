"""What the server reads and writes, as values."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from batch_removebg.model import REMOVE_BG as REMOVE_BG_VERSION
from batch_removebg.model import Status
from batch_removebg.server import protocol
from batch_removebg.server.jobs import Job
from batch_removebg.server.protocol import Create, Refusal
from tests.support.local_doubles import BEGIN

SERVED = {"a" * 64: "batch-removebg/stub", REMOVE_BG_VERSION: "lucataco/remove-bg"}
IMAGE = "https://host/cat.jpg"
BASE = "http://127.0.0.1:5055/v1"


def body(**changes: Any) -> dict[str, Any]:
    return {"version": "a" * 64, "input": {"image": IMAGE}} | changes


def refused(given: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        protocol.parse_create(given, SERVED)
    return caught.value


@pytest.mark.parametrize(
    ("reference", "model", "version"),
    [
        ("a" * 64, "batch-removebg/stub", "a" * 64),
        ("batch-removebg/stub:" + "a" * 64, "batch-removebg/stub", "a" * 64),
        (REMOVE_BG_VERSION, "lucataco/remove-bg", REMOVE_BG_VERSION),
        (f"lucataco/remove-bg:{REMOVE_BG_VERSION}", "lucataco/remove-bg", REMOVE_BG_VERSION),
    ],
)
def test_versions_are_known_bare_and_with_their_models_name(reference: str, model: str, version: str) -> None:
    assert protocol.parse_create(body(version=reference), SERVED) == Create(model, version, IMAGE, ())


@pytest.mark.parametrize(
    "reference",
    ["b" * 64, "lucataco/remove-bg:" + "a" * 64, "batch-removebg/stub:latest", "lucataco/remove-bg", "", ":"],
)
def test_any_other_version_is_refused_in_the_words_clients_know(reference: str) -> None:
    refusal = refused(body(version=reference))
    assert refusal.status == 422
    assert refusal.body == {
        "title": "Invalid version or not permitted",
        "detail": "The specified version does not exist (or perhaps you don't have permission to use it?)",
        "status": 422,
    }


def test_every_fault_of_a_create_is_named_at_once() -> None:
    assert refused({"model": "x", "inputs": {}}).body == {
        "title": "Input validation failed",
        "detail": "- version is required\n- input is required\n"
        "- Additional property model is not allowed\n- Additional property inputs is not allowed\n",
        "status": 422,
        "invalid_fields": [
            {"type": "required", "field": "", "description": "version is required"},
            {"type": "required", "field": "", "description": "input is required"},
            {
                "type": "additional_property_not_allowed",
                "field": "",
                "description": "Additional property model is not allowed",
            },
            {
                "type": "additional_property_not_allowed",
                "field": "",
                "description": "Additional property inputs is not allowed",
            },
        ],
    }


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ([], "- Invalid type. Expected: object\n"),
        (None, "- Invalid type. Expected: object\n"),
        (body(version=7), "- version: Invalid type. Expected: string\n"),
        (body(input=[]), "- input: Invalid type. Expected: object\n"),
        (body(input={}), "- input: image is required\n"),
        (body(input={"image": 5}), "- input.image: Invalid type. Expected: string\n"),
        (body(input={"image": "cat.jpg"}), "- input.image: Does not match format 'uri' (http, https or data)\n"),
        (
            body(input={"image": "file:///etc/passwd"}),
            "- input.image: Does not match format 'uri' (http, https or data)\n",
        ),
        (body(input={"image": IMAGE + "x" * 8192}), "- input.image: URL length must be less than or equal to 8192\n"),
        (
            body(webhook="https://host/"),
            "- webhook: webhooks are not offered by this server; poll, or send Prefer: wait\n",
        ),
        (
            body(webhook_events_filter=["completed"]),
            "- webhook: webhooks are not offered by this server; poll, or send Prefer: wait\n",
        ),
    ],
)
def test_a_faulty_create_says_what_is_wrong(given: object, detail: str) -> None:
    refusal = refused(given)
    assert (refusal.status, refusal.body["title"], refusal.body["detail"]) == (422, "Input validation failed", detail)


def test_a_long_key_is_not_echoed_at_length() -> None:
    [fault] = refused(body(**{"x" * 1_000_000: 1})).body["invalid_fields"]
    assert fault["description"] == f"Additional property {'x' * 200} is not allowed"


def test_inputs_the_model_does_not_have_are_named_and_left_out() -> None:
    given = body(input={"image": IMAGE, "threshold": 0.5, "format": "png"}, stream=False)
    assert protocol.parse_create(given, SERVED).ignored == ("threshold", "format")


def test_a_data_uri_may_be_long() -> None:
    image = "DATA:image/png;base64," + "A" * 100_000
    assert protocol.parse_create(body(input={"image": image}), SERVED).image == image


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait", 60.0),
        ("Wait=5", 5.0),
        ("respond-async, wait = 30", 30.0),
        ("wait=0", 1.0),
        ("wait=999", 60.0),
        ("wait=soon", None),
        ("wait=-5", None),
        ("respond-async", None),
    ],
)
def test_prefer_wait_is_read_within_its_bounds(header: str | None, seconds: float | None) -> None:
    assert protocol.prefer_wait(header) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, inf), ("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("1h30m45s", 5445.0), ("1h", 3600.0), ("5", 5.0)],
)
def test_cancel_after_is_read_in_all_its_forms(header: str | None, seconds: float) -> None:
    assert protocol.cancel_after(header) == seconds


@pytest.mark.parametrize("header", ["", "4", "4s", "soon", "30x", "s", "-30", "1m1h"])
def test_any_other_cancel_after_is_refused(header: str) -> None:
    with pytest.raises(Refusal) as caught:
        protocol.cancel_after(header)
    assert caught.value.status == 422
    assert caught.value.body["invalid_fields"][0]["field"] == "Cancel-After"


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00", "2026-01-01"]
)
def test_moments_are_read_as_utc_where_they_name_no_zone(text: str) -> None:
    assert protocol.parse_time("created_after", text) == BEGIN


def test_a_moment_that_is_none_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        protocol.parse_time("created_after", "yesterday")
    assert caught.value.body["detail"] == "- created_after: Does not match format 'date-time'\n"


@pytest.mark.parametrize("cursor", ["o1", "n123456", ""])
def test_cursors_that_were_given_out_are_taken(cursor: str) -> None:
    assert protocol.check_cursor(cursor) == cursor


@pytest.mark.parametrize("text", ["!", "abc", "bz0", "é", "bz0tMQ"])
def test_a_cursor_that_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        protocol.check_cursor(text)
    assert caught.value.status == 400


def job(**changes: Any) -> Job:
    return replace(
        Job(_no_source, "owner/name", "v", {"image": IMAGE}, id="j" * 26, number=1, created=BEGIN), **changes
    )


async def _no_source() -> bytes:
    return b""


def test_a_new_prediction_has_every_field_of_the_api() -> None:
    assert protocol.prediction(job(), BASE) == {
        "id": "j" * 26,
        "model": "owner/name",
        "version": "v",
        "input": {"image": IMAGE},
        "output": None,
        "error": None,
        "status": "starting",
        "logs": "",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "started_at": None,
        "completed_at": None,
        "metrics": {},
        "data_removed": False,
        "source": "api",
        "urls": {"get": f"{BASE}/predictions/{'j' * 26}", "cancel": f"{BASE}/predictions/{'j' * 26}/cancel"},
    }


def test_an_ended_prediction_has_output_stamps_and_metrics() -> None:
    shown = protocol.prediction(
        job(status=Status.SUCCEEDED, started=BEGIN + 1, completed=BEGIN + 3.5, output="o" * 26), BASE
    )
    assert shown["output"] == f"{BASE}/outputs/{'o' * 26}/output.png"
    assert shown["completed_at"] == "2026-01-01T00:00:03.500000Z"
    assert shown["metrics"] == {"predict_time": 2.5, "total_time": 3.5}


def test_a_prediction_canceled_in_the_queue_has_no_predict_time() -> None:
    assert protocol.prediction(job(status=Status.CANCELED, completed=BEGIN + 2), BASE)["metrics"] == {"total_time": 2.0}


def test_a_wait_that_ran_out_never_says_processing() -> None:
    """Official clients take `processing` in such an answer for finished, and return no output."""
    running = job(status=Status.PROCESSING, started=BEGIN)
    assert protocol.prediction(running, BASE, still_waiting=True)["status"] == "starting"
    assert protocol.prediction(running, BASE)["status"] == "processing"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"{BASE}/files/{'f' * 26}/download", "f" * 26),
        (f"https://else.where/v1/files/{'f' * 26}", "f" * 26),
        (f"{BASE}/files/short/download", None),
        (f"{BASE}/outputs/{'f' * 26}/output.png", None),
        ("http://[broken", None),
    ],
)
def test_uploaded_files_are_recognised_by_their_path(url: str, named: str | None) -> None:
    assert protocol.file_id(url) == named
