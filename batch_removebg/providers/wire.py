"""Reads what servers answer: predictions in all shapes seen, and refusals by their remedy. Pure.

Shapes and codes are from the docs of Replicate's HTTP API and of gateways that speak it. Read leniently, since what
isn't understood is paid for all the same: gateways leave fields out, wrap the object, use other words for a status, and
put refusals into a 200.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urljoin, urlsplit

from batch_removebg.errors import OutputBroken, PredictionFailed, PredictionInterrupted, PredictionLost
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Prediction, PredictionPage, Status
from batch_removebg.net.fetch import as_url
from batch_removebg.net.urls import clean
from batch_removebg.storage import on_disk
from batch_removebg.storage.on_disk import OnDisk

from . import refusals
from .refusals import as_object, aware, detail, glimpse, number

_WORDS = {
    **dict.fromkeys(("queued", "queuing", "pending", "booting", "submitted", "created", "waiting"), Status.STARTING),
    **dict.fromkeys(("running", "in_progress", "in progress", "generating"), Status.PROCESSING),
    **dict.fromkeys(("completed", "complete", "success", "succeed", "finished", "done", "ok"), Status.SUCCEEDED),
    **dict.fromkeys(("error", "failure", "fail"), Status.FAILED),
    "cancelled": Status.CANCELED,
} | {status.value: status for status in Status}

_TRANSIENT = re.compile(
    r"\(code: PA\)|Prediction interrupted|Director: unexpected error|\bE(9828|9243|8765|6716)\b"
    r"|Service is temporarily unavailable",
    re.IGNORECASE,
)
_DEEPEST = 8  # levels of nesting that are searched: a hostile body must not exhaust the stack
_WRAPPINGS = ("data", "result", "prediction", "response")
_FIELDS = {"id", "status", "version", "input", "output", "error", "urls", "created_at", "metrics"}
_IDS = ("id", "prediction_id", "predictionId", "task_id", "taskId", "uuid")
_LAST_IDS = ("request_id", "requestId")
"""Of the request, and of the prediction only where no other id is there: not in the output, nor in a URL."""
_OUTPUTS = (
    *("output", "outputs", "output_url", "outputUrl", "output_image", "result", "results", "result_url", "resultUrl"),
    *("image_url", "imageUrl", "image", "images", "url", "file", "files", "artifacts", "data", "image_base64"),
    *("b64_json", "task_result", "resultJson"),
)
"""Fields that hold the result, the usual one first."""
_STATES = ("status", "task_status", "taskStatus", "state")
_FAULTS = ("error", "task_status_msg", "failMsg", "fail_reason")
_CANDIDATES = 4
_PICTURE = re.compile(r"data:image/|[^?#]+\.(png|webp|jpe?g|tiff?|avif|gif)([?#]|$)", re.IGNORECASE)
_NO_PICTURE = re.compile(
    r"data:(text|application/json)|[^?#]+\.(txt|log|json|html?|csv|md|mp4|zip)([?#]|$)", re.IGNORECASE
)
_BASE64 = re.compile(r"(iVBORw0KGgo|/9j/|UklGR|R0lGOD)[\w+/=\s-]{40,}")
"""A PNG, JPEG, WebP or GIF without the `data:` in front of it."""
_PATH = re.compile(r"/?[\w.~%-]+(/[\w.~%-]+)*(\?\S*)?", re.ASCII)
_LONE = re.compile(
    r"\\u[dD][89abAB][\da-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][\da-fA-F]{2})\\u[dD][c-fC-F][\da-fA-F]{2}",
    re.ASCII,
)
"""Half of a surrogate pair, escaped."""
_LONGEST_PATH = 2000
_LONG = 1 << 16
_LONGEST_RUN = 86_400.0  # seconds; a longer run time comes from a wrong clock


def parsed(raw: bytes) -> Any:
    """The JSON in an answer; a prefix that keeps scripts out, and what follows the first value, are left out.

    Its texts can be written as UTF-8: halves of surrogate pairs and bytes that are none are replaced.
    """
    text = _LONE.sub(r"\\ufffd", raw.decode(json.detect_encoding(raw), "replace"))
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, RecursionError):
        start = min(at for at in (text.find("{"), text.find("[")) if at >= 0)
        found = json.JSONDecoder().raw_decode(text, start)[0]
        return found if isinstance(found, dict) else None
    return None


def prediction(
    body: Any, *, image_field: str = "image", base: str = "", inputs: Mapping[str, Any] | None = None
) -> Prediction | None:
    """The prediction in a JSON body, bare or wrapped; None where there is none.

    `image_field`: the model's input for the picture, by which a lost create is recognised; others may be URLs too.
    `base`: the API's URL, which relative outputs are resolved against. `inputs`: the others that were sent: one made
    with another value isn't recognised by its picture.
    """
    whole = _read(body)
    body = _unwrapped(whole)
    if not isinstance(body, dict):
        return None
    if _state(body) is None:
        body = _with_state(body, base, well=refusals.well(whole))
    if not _like_a_prediction(body):
        return None
    given, created = body.get("input"), when(body.get("created_at"))
    said = next((body[name] for name in _FAULTS if body.get(name) not in (None, "")), None)
    other = any(as_object(given).get(name, value) != value for name, value in (inputs or {}).items())
    own = set(outputs(given, base))  # a picture that was sent is none that was made
    found = (tuple(url for url in outputs(body.get(name), base) if url not in own) for name in _OUTPUTS)
    urls = next(filter(None, found), ())
    status = _WORDS.get((_state(body) or "").strip().lower(), Status.UNKNOWN)
    if said is None and status is Status.SUCCEEDED and not urls:
        said = glimpse({name: value for name, value in body.items() if name != "input"})
    return Prediction(
        id=_id(body),
        status=status,
        output=urls[0] if urls else None,
        others=urls[1:],
        error=None if said is None else detail(said) or glimpse(said),
        image=None if other else _image(as_object(given).get(image_field)),
        created_at=created,
        version=body["version"] if isinstance(body.get("version"), str) else None,
        data_removed=body.get("data_removed") is True,
        ran=_ran(body.get("metrics"), created, when(body.get("completed_at"))),
    )


def _with_state(body: dict[str, Any], base: str, *, well: bool) -> dict[str, Any]:
    """An object without a status: an envelope that says that all is `well` holds a new task, or a result."""
    held = body.get("data")
    if well and isinstance(held, str):
        body = {"output": held} if outputs(held, base) else {"task_id": held}
    if well and _id(body):
        return body | {"status": "starting"}
    # One gateway documents an immediate result without an id: {"created": …, "data": [{"url": …}]}.
    made = well or (isinstance(held, list) and not {"id", "status"} & body.keys())
    return body | {"status": "succeeded"} if made and any(outputs(body.get(name), base) for name in _OUTPUTS) else body


def _unwrapped(body: Any) -> Any:
    """The prediction's own object: gateways put it into `data` and the like, beside a status of the wrapper's own."""
    for _ in range(_DEEPEST):
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
            continue
        held = [_read(body.get(name)) for name in _WRAPPINGS] if isinstance(body, dict) else []
        inner = [one for one in (_single(each) for each in held) if isinstance(one, dict)]
        if not inner or (_like_a_prediction(body) and len(_FIELDS & inner[0].keys()) <= len(_FIELDS & body.keys())):
            break
        body = inner[0]
    return body


def _read(value: Any) -> Any:
    """A field that may be JSON within a text."""
    with suppress(ValueError, RecursionError):
        return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value
    return value


def _state(body: Mapping[str, Any]) -> str | None:
    named = (*map(body.get, _STATES), as_object(body.get("output")).get("task_status"))
    return next((word for word in named if isinstance(word, str)), None)


def _single(value: Any) -> Any:
    """What a list of one prediction holds; anything else as it is."""
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)
    return value[0] if alone and _like_a_prediction(value[0]) else value


def _like_a_prediction(body: Mapping[str, Any]) -> bool:
    if _state(body) is not None:
        # With a message and nothing else it tells of the request.
        return _id(body) is not None or not any(name in body for name in ("message", "msg", "detail"))
    return _id(body) is not None and any(name in body for name in ("output", "input", "urls"))


def _image(value: Any) -> str | None:
    return value if isinstance(value, str) and value.lower().startswith(("https:", "http:", "data:")) else None


def _ran(metrics: Any, created: datetime | None, completed: datetime | None) -> float | None:
    """Seconds from creation to completion, by the server's clock alone."""
    total = number(as_object(metrics).get("total_time"))
    if created is not None and completed is not None:
        total = (completed - created).total_seconds()
    return total if total is not None and 0 <= total < _LONGEST_RUN else None


def _id(body: Mapping[str, Any]) -> str | None:
    task = as_object(body.get("output"))  # some gateways put it there
    in_url = unquote(_split(as_object(body.get("urls")).get("get")).path.rpartition("/")[2])
    values = [*map(body.get, _IDS), task.get("task_id"), task.get("taskId"), in_url, *map(body.get, _LAST_IDS)]
    return next((found for value in values if (found := _usable_id(value))), None)


def _usable_id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # What can't be printed can't be put into a URL either, and dots alone lead to another path.
    return value if isinstance(value, str) and value.strip(".") and value.isprintable() else None


def _split(url: Any) -> SplitResult:
    """The parts of a URL, empty where it is none."""
    with suppress(ValueError):
        return urlsplit(url if isinstance(url, str) else "")
    return urlsplit("")


def page(body: Any, *, image_field: str = "image", inputs: Mapping[str, Any] | None = None) -> PredictionPage | None:
    """A page of a list of predictions, newest first; None where the body is no list."""
    shown = as_object(body)
    shown = shown if "results" in shown else as_object(shown.get("data"))
    if not isinstance(shown.get("results"), list):
        return None
    read = (prediction(each, image_field=image_field, inputs=inputs) for each in shown["results"])
    cursor = parse_qs(_split(shown["next"]).query).get("cursor", [""])[0] if shown.get("next") else None
    return PredictionPage(tuple(p for p in read if p is not None), cursor)


def outputs(value: Any, base: str = "") -> tuple[str, ...]:
    """The `https:`, `http:` and `data:` URLs in an output of any shape, the likeliest picture first, four at most."""
    found = list(dict.fromkeys(_urls(value, base, 0)))
    found.sort(key=lambda url: 0 if _PICTURE.match(url) else 2 if _NO_PICTURE.match(url) else 1)
    return tuple(found[:_CANDIDATES])


def _urls(value: Any, base: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        url = _url(value if isinstance(value, OnDisk) else value.strip(), base)
        if url is not None:
            yield url
        elif (read := _read(value)) is not value:
            yield from _urls(read, base, depth + 1)
    elif depth <= _DEEPEST:
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _urls(part, base, depth + 1)


def _url(text: str, base: str) -> str | None:
    if text[:6].lower().startswith(("https:", "http:")):
        return text
    if (inline := _data_uri(text)) is not None:
        return inline
    # Relative to the API, where it can be nothing else.
    if base and len(text) < _LONGEST_PATH and (text.startswith("//") or (_PATH.fullmatch(text) and "/" in text)):
        with suppress(ValueError):
            return urljoin(f"{base}/", text)
    return None


def _data_uri(text: str) -> str | None:
    if text[:5].lower() == "data:":
        return text
    return f"data:;base64,{text}" if _BASE64.fullmatch(text) else None


def lightened(body: Any, folder: Path, depth: int = 0, *, sent: bool = False) -> Any:
    """The JSON value, its long data URIs in files, as OnDisk; of an `input` digests alone. Blocks; raises DiskError."""
    if isinstance(body, str) and len(body) > _LONG and (uri := _data_uri(body.strip())) is not None:
        return on_disk.stand_in(uri) if sent else on_disk.put(folder, uri)
    if depth > _DEEPEST:
        return body
    if isinstance(body, dict):
        return {key: lightened(part, folder, depth + 1, sent=sent or key == "input") for key, part in body.items()}
    return [lightened(part, folder, depth + 1, sent=sent) for part in body] if isinstance(body, list) else body


def key_of(image: str, ignored: Collection[str] = ()) -> str:
    """What a lost create is looked for by: the input URL as it is shown, or a digest of a data URI, never echoed."""
    return f"sha256:{sha256_hex(image)}" if image.startswith("data:") else clean(image, ignored)


def same_url(one: str, other: str) -> bool:
    """Whether two URLs name the same: servers echo them percent-encoded, decoded, or with other letters in the host."""
    return one == other or normalised(one) == normalised(other)


def normalised(url: str) -> tuple[str, ...] | str:
    """A URL's parts, decoded, so that two spellings of one are equal; what is no URL stays as it is."""
    try:
        parts = as_url(url)
        path, query = unquote(parts.raw_path), unquote_plus(parts.raw_query_string)
        return parts.scheme, parts.host or "", str(parts.port), path, query
    except ValueError:
        return url


def when(text: Any) -> datetime | None:
    """An ISO time with 0 to 9 fractional digits, as an aware datetime."""
    try:
        return aware(datetime.fromisoformat(text.strip())) if isinstance(text, str) else None
    except ValueError:
        return None


def result(ended: Prediction) -> str:
    """The output URL of a prediction that has ended.

    Raises PredictionInterrupted, PredictionLost or OutputBroken where a new prediction may give one, PredictionFailed
    where the model refuses this picture for good: E1001 (out of memory) too, since it would happen again.
    """
    said = ended.error or "no reason given"
    if ended.status is Status.SUCCEEDED or (ended.output and not ended.status.terminal):
        if ended.output:
            return ended.output
        if ended.data_removed:
            raise PredictionLost("the server has wiped the output, an hour after it was made")
        unread = OutputBroken("the prediction succeeded, and its answer holds no output that can be read")
        unread.answer = f"prediction {ended.id} gave {said}"
        raise unread
    if ended.status is Status.FAILED and not _TRANSIENT.search(said):
        raise PredictionFailed(f"the model refuses this picture: {said[:400]}")
    raise PredictionInterrupted(f"the prediction ended {ended.status.value}: {said[:400]}")
