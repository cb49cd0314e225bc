"""Reads refusals: every one is an error whose class is its remedy, whether its status says so or its body. Pure.

Codes and texts are from the docs of Replicate's HTTP API and of gateways that speak it.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from batch_removebg.errors import (
    BatchError,
    InputRejected,
    KeyRejected,
    NotAnApi,
    OutOfCredit,
    RateLimited,
    ServerError,
    VersionRejected,
)
from batch_removebg.net import fetch

_RESETS_IN = re.compile(r"resets? in ~?\s*(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
_LIMIT = re.compile(
    r"(?<!\d)(\d{1,9}(?:\.\d{1,9})?) requests? per (second|minute|hour)(?:\s+with a burst of\s+(\d+))?", re.IGNORECASE
)
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_NO_CREDIT = re.compile(r"(?<!rate)quota|credit|balance|funds|billing|arrear|余额|欠费", re.IGNORECASE)
_NO_KEY = re.compile(
    r"unauthori[sz]ed|unauthenticated|invalid.?(api.?)?(key|token)|(key|token) (is )?invalid", re.IGNORECASE
)
_PASSING = re.compile(r"overload|busy|unavailable|time.?out|try again|server.error|internal|upstream", re.IGNORECASE)
_TOO_MANY = re.compile(r"too many requests|rate.?limit|throttl", re.IGNORECASE)
_NO_VERSION = re.compile(r"invalid version|version.{0,40}(not permitted|does not exist|not found)", re.IGNORECASE)
_NEVER_ACCEPTED = frozenset({408, 503, 521, 522, 523, 525, 526})
_SAYING = ((_NO_CREDIT, 402), (_NO_KEY, 401), (_TOO_MANY, 429), (_PASSING, 503))
_SAID = ("detail", "error", "message", "msg", "errmsg", "error_msg", "error_message", "errors", "title")
_FINE = ("ok", "success", "succeed", "succeeded")  # words in `code` that name no fault
_CODES = ("code", "status", "status_code", "statusCode", "errcode", "errno", "error_code")
_DEEPEST = 8  # levels of nesting that are searched: a hostile body must not exhaust the stack

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 120


def retry_after(headers: Mapping[str, str], body: Any, *, now: float) -> float | None:
    """Seconds the server asks to wait: from the body's `retry_after`, the header (seconds or a date), or the text."""
    asked = number(as_object(body).get("retry_after"))
    asked = fetch.retry_after(headers, now=now) if asked is None else asked
    if asked is None and (match := _RESETS_IN.search(detail(body))):
        asked = number(match.group(1))
    return None if asked is None else max(0.0, asked)


def exhausted(headers: Mapping[str, str]) -> float | None:
    """Seconds until the next call is allowed, where this was the last (`ratelimit-remaining: 0`, `ratelimit-reset`)."""
    return number(headers.get("ratelimit-reset")) if number(headers.get("ratelimit-remaining")) == 0 else None


def limit(body: Any) -> tuple[float, float] | None:
    """Requests a second and burst, where a 429 states them: "6 requests per minute with a burst of 1"."""
    found = _LIMIT.search(detail(body))
    if found is None or not float(found.group(1)):
        return None
    burst = float(found.group(3)[:6]) if found.group(3) else 1.0
    return float(found.group(1)) / _SECONDS[found.group(2).lower()], max(1.0, burst)


def number(value: Any) -> float | None:
    """A finite number from a JSON value or a header."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def aware(moment: datetime) -> datetime:
    """The moment; in UTC where its text named no zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def as_object(value: Any) -> Mapping[str, Any]:
    """A JSON value where it is an object; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def detail(body: Any, depth: int = 0) -> str:
    """The text of an error body; empty where there is none."""
    if isinstance(body, str):
        return body.strip()
    if depth > _DEEPEST or not isinstance(body, dict | list):
        return ""
    if isinstance(body, list):
        return "; ".join(filter(None, (detail(part, depth + 1) for part in body)))
    return next(filter(None, (detail(body.get(name), depth + 1) for name in _SAID)), "")


def glimpse(value: Any) -> str:
    """The beginning of a JSON value, for a message."""
    return _repr.repr(value)[:300]


def is_page(headers: Mapping[str, str], body: Any) -> bool:
    """Whether an answer is a web page instead of JSON; `body`: its parsed JSON, None where it was none."""
    return body is None and "html" in headers.get("Content-Type", "").lower()


def may_have_been_accepted(status: int) -> bool:
    """Whether a create with this answer may run all the same: a proxy's 5xx hides what the API did."""
    return status >= 500 and status not in _NEVER_ACCEPTED


def stated(body: Any) -> int | None:
    """The HTTP status that a refusal inside a 2xx stands for, such as `{"code": 401, "msg": …}`; None where it is none.

    One whose words don't say that it passes is the input's fault (400).
    """
    if not isinstance(body, dict):
        return None
    inner, word = as_object(body.get("data")), _code(body).lower()
    codes = (*_codes(body), *_codes({"code": inner.get("code")}))
    code = next((code for code in codes if not 200 <= code < 300 and code), None)
    failed = (word and number(word) is None and word not in _FINE) or body.get("success") is False
    failed = failed or body.get("error") or body.get("status") in ("error", "failed", "fail")
    said = (detail(inner) if well(body) else "") or detail(body)
    if code is None and not (failed and said):
        return None
    by_words = next((status for words, status in _SAYING if words.search(f"{word} {said}")), None)
    return code if code is not None and 400 <= code < 600 else by_words or 400


def well(body: Any) -> bool:
    """Whether an envelope says of itself that all is well, by its code or a word."""
    codes = list(_codes(as_object(body)))
    return all(code == 0 or 200 <= code < 300 for code in codes) if codes else as_object(body).get("success") is True


def _codes(body: Mapping[str, Any]) -> Iterator[int]:
    for holder in (body, as_object(body.get("error"))):
        found = (number(holder.get(name)) for name in _CODES)
        yield from (int(code) for code in found if code is not None)


def refusal(status: int, headers: Mapping[str, str], body: Any, *, doing: str, now: float) -> BatchError:
    """The error for an answer of 300 or more; `body`: its parsed JSON, None where it was none."""
    said = detail(body)
    text = f"{doing}: the server answers {status}" + (f" ({said[:400]})" if said else "")
    code = _code(body)
    if status in (409, 429):  # 409: all slots of a self-hosted server are busy
        return RateLimited(text, retry_after=retry_after(headers, body, now=now), limit=limit(body))
    if status == 401 or (status == 403 and not _NO_CREDIT.search(f"{code} {said}")):
        return KeyRejected(f"{text}; check the key in the environment variable that --token-env names")
    if status in (402, 403):
        return OutOfCredit(f"{text}; top up the account, then run the same command again")
    # A path that does not exist is no input's fault: every other item would meet the same.
    wrong_path = 300 <= status < 400 or status in (404, 405, 501)
    if wrong_path or (is_page(headers, body) and status < 500 and status not in (408, 413)):
        return not_an_api(text)
    if status == 422 and _NO_VERSION.search(said):
        return VersionRejected(f"{text}; check --model-version")
    if status == 408 or (status >= 500 and code != "invalid_request"):
        return ServerError(text, retry_after=retry_after(headers, body, now=now))
    return InputRejected(text)


def not_an_api(text: str) -> NotAnApi:
    """The error for an answer that no predictions API gives; `text`: what was asked and answered."""
    return NotAnApi(
        f"{text}, which is not a predictions API's; check --base-url: predictions are created at BASE/predictions"
    )


def _code(body: Any) -> str:
    error = as_object(body).get("error")
    code = as_object(error if isinstance(error, dict) else body).get("code")
    return code if isinstance(code, str) else ""
