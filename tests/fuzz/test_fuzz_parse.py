"""What servers answer: any JSON gives a prediction, a page, a wait, a refusal or nothing, and never an exception."""

from __future__ import annotations

import json
import math
import random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import BatchError, PredictionFailed, ResubmitError
from batch_removebg.model import Prediction
from batch_removebg.providers import refusals, wire
from tests.fuzz.mutate import PATIENCE, bytes_of, fuzz, json_of, text_of
from tests.support.long_report import LONG

pytestmark = [pytest.mark.crash, pytest.mark.timeout(PATIENCE)]

NOW = 1_800_000_000.0
PREDICTION = {
    "id": "p1",
    "status": "succeeded",
    "input": {"image": "https://f.example/1.jpg"},
    "output": "https://o.example/1.png",
    "error": None,
    "created_at": "2026-01-31T02:00:00.123456789Z",
    "metrics": {"predict_time": 1.5},
    "data_removed": False,
    "urls": {"get": "https://api.example/p1"},
}
SEEDS: list[Any] = [
    PREDICTION,
    {"data": PREDICTION, "status": "success", "message": ""},
    {"created": 1, "data": [{"url": "https://o.example/1.png"}]},
    {"results": [PREDICTION, PREDICTION], "next": "https://api.example/predictions?cursor=abc"},
    {"detail": "Request was throttled. Your rate limit resets in ~7s.", "status": 429, "retry_after": 7},
    {"error": {"code": "insufficient_user_quota", "message": "quota"}},
    {"title": "Input validation failed", "detail": "- input.image: bad", "invalid_fields": [{"field": "x"}]},
    {**PREDICTION, "status": "FAILED", "output": None, "error": "Prediction interrupted (code: PA)"},
    "busy",
]
LEAVES: list[Any] = [None, True, False, 0, -1, 10**400, 1e308, float("nan"), float("-inf"), "", "\ud800", "\0", [], {}]
LEAVES += [
    "data:",
    "https://[x",
    "http://h:99999/",
    "HTTPS://x",
    "resets in 5s",
    "resets in ~" + "9" * 400 + "s",
    "1" * 5000,
]
LEAVES += [
    "2026-01-01T00:00:00.1Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "1e999",
    "invalid version",
]
HEADERS = [
    "7",
    "-1",
    "1e999",
    "nan",
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "Wed, 99 Oct 2026",
    "Wed, 21 Oct 99999 07:28:00 GMT",
]
HEADERS += ["", "٣", "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359"]
STATUSES = [300, 302, 400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502, 503, 504, 520, 524, 599]

Case = tuple[Any, int, str]


def cases(rng: random.Random) -> Case:
    header = rng.choice(HEADERS) if rng.random() < 0.7 else text_of(rng, HEADERS)
    return json_of(rng, SEEDS, LEAVES), rng.choice(STATUSES), header


def holds(case: Case) -> None:
    body, status, header = case
    read = wire.prediction(body, base="https://api.example/v1")
    if read is not None:
        predicted(read)
        ends(read)
    page = wire.page(body)
    for listed in page.predictions if page is not None else ():
        predicted(listed)
    assert page is None or page.next is None or isinstance(page.next, str)
    wait = refusals.retry_after({"Retry-After": header}, body, now=NOW)
    assert wait is None or 0 <= wait < float("inf")
    limit = refusals.limit(body)
    assert limit is None or (0 < limit[0] < float("inf") and 1 <= limit[1] < float("inf"))
    exhausted = refusals.exhausted({"ratelimit-remaining": "0", "ratelimit-reset": header})
    assert exhausted is None or math.isfinite(exhausted)
    refused = refusals.refusal(status, {"Retry-After": header}, body, doing="creating", now=NOW)
    assert isinstance(refused, BatchError)
    assert str(refused)
    assert len(refusals.glimpse(body)) <= 300
    stated = refusals.stated(body)
    assert stated is None or 400 <= stated < 600
    if stated is not None:
        assert isinstance(refusals.refusal(stated, {}, body, doing="creating", now=NOW), BatchError)


def predicted(read: Prediction) -> None:
    """What is read can be written, asked for and compared."""
    json.dumps({"id": read.id, "ran": read.ran, "error": read.error}, allow_nan=False)
    assert read.created_at is None or read.created_at.tzinfo is not None
    assert read.ran is None or read.ran >= 0
    if read.id is not None:
        assert read.id.strip(".")
        quote(read.id, safe="").encode()
    if read.image is not None:
        assert wire.same_url(read.image, read.image)
    urls = [url for url in (read.output, *read.others) if url is not None]
    assert len(urls) == len(set(urls)) <= 4
    assert all(url.lower().startswith(("http:", "https:", "data:")) for url in urls)


def ends(read: Prediction) -> None:
    """A prediction gives a URL, or an error that states its remedy."""
    try:
        url = wire.result(read)
    except (ResubmitError, PredictionFailed):
        return
    assert url.lower().startswith(("http:", "https:", "data:"))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(LEAVES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*PREDICTION, "data", "detail", "results", "next", "retry_after"]), inner)
    ),
    max_leaves=20,
)


# After many examples hypothesis may take a recursion that was never needed for one that can't be.
@pytest.mark.filterwarnings("ignore:extend=")
@settings(max_examples=2_000 if LONG else 200, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANY_JSON, st.sampled_from(STATUSES), st.sampled_from(HEADERS) | st.text(max_size=30))
@example({"status": "succeeded", "metrics": {"predict_time": 10**400}}, 429, "nan")
@example({"results": [], "next": "https://[x"}, 429, "")
def test_any_json_is_read_or_refused(body: Any, status: int, header: str) -> None:
    holds((body, status, header))


def test_answers_after_accidents_are_read_or_refused() -> None:
    fuzz("answers", 13, cases, holds, short=3000, share=0.25)


RAW = [json.dumps(seed).encode() for seed in SEEDS] + [b")]}',\n" + json.dumps(PREDICTION).encode(), b"[1]", b"7"]
TOKENS = [
    b"{",
    b"}",
    b"[" * 3000,
    b'{"data":' * 900,
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"\\ud83d",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
]
TOKENS += [
    b'"',
    b",",
    b":",
    b"null",
    b"<html>",
    b"\0",
    b'"id":"..",',
    b'"status":"succeeded",',
    b'"code":401,',
    b"\x1f\x8b",
]


def raw_holds(raw: bytes) -> None:
    body = wire.parsed(raw)
    json.dumps(body, ensure_ascii=False).encode()
    holds((body, 200 + len(raw) % 400, "7"))


def test_bytes_after_accidents_are_read_or_refused() -> None:
    fuzz("bytes of answers", 16, lambda rng: bytes_of(rng, RAW, TOKENS), raw_holds, short=3000, share=0.15)
