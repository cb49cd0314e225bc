"""Reads what servers answer: predictions in all shapes seen, and refusals by their remedy. Pure.

Shapes and codes are from the docs of Replicate's HTTP API and of gateways that speak it. Read leniently: gateways leave
fields out, wrap the object in `data`, or use other words for a status.
"""

from __future__ import annotations

import email.utils
import math
import re
import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from batch_removebg.errors import (
    BatchError,
    InputRejected,
    KeyRejected,
    NotAnApi,
    OutOfCredit,
    PredictionFailed,
    PredictionInterrupted,
    PredictionLost,
    RateLimited,
    ServerError,
    VersionRejected,
)
from batch_removebg.model import Prediction, PredictionPage, Status

_WORDS = {
    "queued": Status.STARTING,
    "pending": Status.STARTING,
    "booting": Status.STARTING,
    "running": Status.PROCESSING,
    "in_progress": Status.PROCESSING,
    "completed": Status.SUCCEEDED,
    "success": Status.SUCCEEDED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELED,
} | {status.value: status for status in Status}

_TRANSIENT = re.compile(
    r"\(code: PA\)|Prediction interrupted|Director: unexpected error|\bE(9828|9243|8765|6716)\b"
    r"|Service is temporarily unavailable",
    re.IGNORECASE,
)
_RESETS_IN = re.compile(r"resets? in ~?\s*(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
_LIMIT = re.compile(r"(\d+(?:\.\d+)?) requests? per (second|minute|hour)(?:\s+with a burst of\s+(\d+))?", re.IGNORECASE)
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_NO_CREDIT = re.compile(r"quota|credit|balance|funds|billing", re.IGNORECASE)
_NO_VERSION = re.compile(r"invalid version|version.{0,40}(not permitted|does not exist|not found)", re.IGNORECASE)
_NEVER_ACCEPTED = frozenset({408, 503, 521, 522, 523, 525, 526})
_DEEPEST = 8  # levels of nesting that are searched: a hostile body must not exhaust the stack
_WRAPPINGS = 3
_LONGEST_RUN = 86_400.0  # seconds; a longer run time comes from a wrong clock

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 120


def prediction(body: Any, *, image_field: str = "image") -> Prediction | None:
    """The prediction in a JSON body, bare or wrapped; None where there is none.

    `image_field`: the model's input for the picture, by which a lost create is recognised; others may be URLs too.
    """
    for _ in range(_WRAPPINGS):
        # Gateways wrap it: {"data": {…}}, with a status and a message of the wrapper's own.
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict) or {"id", "status"} <= body.keys():
            break
        body = body["data"]
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("data"), list) and "status" not in body and "id" not in body:
        # One gateway documents an immediate result without an id: {"created": …, "data": [{"url": …}]}.
        url = first_url(body["data"])
        return Prediction(None, Status.SUCCEEDED, output=url) if url else None
    if not isinstance(body.get("status"), str):
        return None
    given, created, said = body.get("input"), when(body.get("created_at")), body.get("error")
    return Prediction(
        id=_id(body.get("id")),
        status=_WORDS.get(body["status"].strip().lower(), Status.UNKNOWN),
        output=first_url(body.get("output")),
        error=None if said in (None, "") else detail(said) or glimpse(said),
        image=first_url(given.get(image_field)) if isinstance(given, dict) else None,
        created_at=created,
        data_removed=body.get("data_removed") is True,
        ran=_ran(body.get("metrics"), created, when(body.get("completed_at"))),
    )


def _ran(metrics: Any, created: datetime | None, completed: datetime | None) -> float | None:
    """Seconds from creation to completion, by the server's clock alone."""
    total = _number(metrics.get("total_time")) if isinstance(metrics, dict) else None
    if created is not None and completed is not None:
        total = (completed - created).total_seconds()
    return total if total is not None and 0 <= total < _LONGEST_RUN else None


def _id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # What can't be printed can't be put into a URL either.
    return value if isinstance(value, str) and value and value.isprintable() else None


def page(body: Any, *, image_field: str = "image") -> PredictionPage | None:
    """A page of a list of predictions, newest first; None where the body is no list."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        return None
    read = (prediction(each, image_field=image_field) for each in body["results"])
    return PredictionPage(tuple(p for p in read if p is not None), _cursor(body.get("next")))


def _cursor(following: Any) -> str | None:
    try:
        query = urlsplit(following).query if isinstance(following, str) else ""
    except ValueError:
        return None
    return parse_qs(query).get("cursor", [None])[0]


def first_url(value: Any, depth: int = 0) -> str | None:
    """The first `https:`, `http:` or `data:` string in an output of any shape."""
    if isinstance(value, str):
        return value if value.lower().startswith(("https:", "http:", "data:")) else None
    if depth > _DEEPEST:
        return None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((url for part in inner if (url := first_url(part, depth + 1))), None)


def when(text: Any) -> datetime | None:
    """An ISO time with 0 to 9 fractional digits, as an aware datetime."""
    try:
        return _aware(datetime.fromisoformat(text.strip())) if isinstance(text, str) else None
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def retry_after(headers: Mapping[str, str], body: Any, *, now: float) -> float | None:
    """Seconds the server asks to wait: from the body's `retry_after`, the header (seconds or a date), or the text."""
    header = headers.get("Retry-After", "")
    asked = _number(body.get("retry_after")) if isinstance(body, dict) else None
    asked = _number(header) if asked is None else asked
    asked = _until(header, now) if asked is None else asked
    if asked is None and (match := _RESETS_IN.search(detail(body))):
        asked = _number(match.group(1))
    return None if asked is None else max(0.0, asked)


def exhausted(headers: Mapping[str, str]) -> float | None:
    """Seconds until the next call is allowed, where this was the last (`ratelimit-remaining: 0`, `ratelimit-reset`)."""
    if _number(headers.get("ratelimit-remaining")) != 0:
        return None
    return _number(headers.get("ratelimit-reset"))


def limit(body: Any) -> tuple[float, float] | None:
    """Requests a second and burst, where a 429 states them: "6 requests per minute with a burst of 1"."""
    found = _LIMIT.search(detail(body))
    if found is None or len(found.group(1)) > 12 or not float(found.group(1)):
        return None
    burst = float(found.group(3)[:6]) if found.group(3) else 1.0
    return float(found.group(1)) / _SECONDS[found.group(2).lower()], max(1.0, burst)


def _number(value: Any) -> float | None:
    """A finite number from a JSON value or a header."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _until(date: str, now: float) -> float | None:
    try:
        return _aware(email.utils.parsedate_to_datetime(date)).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def detail(body: Any, depth: int = 0) -> str:
    """The text of an error body; empty where there is none."""
    if isinstance(body, str):
        return body.strip()
    if depth > _DEEPEST:
        return ""
    if isinstance(body, list):
        return "; ".join(filter(None, (detail(part, depth + 1) for part in body)))
    if not isinstance(body, dict):
        return ""
    said = (detail(body.get(name), depth + 1) for name in ("detail", "error", "message", "msg", "title"))
    return next(filter(None, said), "")


def glimpse(value: Any) -> str:
    """The beginning of a JSON value, for a message."""
    return _repr.repr(value)[:300]


def is_page(headers: Mapping[str, str], body: Any) -> bool:
    """Whether an answer is a web page instead of JSON; `body`: its parsed JSON, None where it was none."""
    return body is None and "html" in headers.get("Content-Type", "").lower()


def may_have_been_accepted(status: int) -> bool:
    """Whether a create with this answer may run all the same: a proxy's 5xx hides what the API did."""
    return status >= 500 and status not in _NEVER_ACCEPTED


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
    wrong_path = 300 <= status < 400 or status in (404, 405)
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
    error = body.get("error") if isinstance(body, dict) else None
    holder = error if isinstance(error, dict) else body
    code = holder.get("code") if isinstance(holder, dict) else None
    return code if isinstance(code, str) else ""


def result(ended: Prediction) -> str:
    """The output URL of a prediction that has ended.

    Raises PredictionInterrupted or PredictionLost where a new prediction may give one, PredictionFailed where the model
    refuses this picture for good: E1001 (out of memory) too, since it would happen again.
    """
    said = ended.error or "no reason given"
    if ended.status is Status.SUCCEEDED or (ended.output and not ended.status.terminal):
        if ended.output:
            return ended.output
        if ended.data_removed:
            raise PredictionLost("the server has wiped the output, an hour after it was made")
        raise PredictionInterrupted("the prediction succeeded without an output")
    if ended.status is Status.FAILED and not _TRANSIENT.search(said):
        raise PredictionFailed(f"the model refuses this picture: {said[:400]}")
    raise PredictionInterrupted(f"the prediction ended {ended.status.value}: {said[:400]}")
