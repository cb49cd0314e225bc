"""What isn't understood is paid for all the same: answers are read leniently, and no JSON raises anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_removebg.errors import (
    BatchError,
    ServerError,
)
from batch_removebg.model import Prediction, Status
from batch_removebg.providers import refusals, wire
from batch_removebg.storage import on_disk
from batch_removebg.storage.on_disk import OnDisk
from tests.support.answers import NOW, URL, refusal
from tests.support.wire import nested

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
