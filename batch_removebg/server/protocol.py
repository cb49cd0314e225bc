"""Requests and answers as values, by Replicate's HTTP API reference; in its words, which clients recognise. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Any
from urllib.parse import urlsplit

from batch_removebg.model import Status

from .blob_store import Blob
from .jobs import Job

REMOVE_BG = "lucataco/remove-bg"
_MAX_WAIT = 60.0  # seconds
_MAX_URL = 8192  # characters
_MAX_KEY = 200  # characters of one that are shown
_MAX_VALUES = 1000  # in a body: tiny ones take thirty times their bytes in memory
_IMAGE = re.compile(r"(https?|data):.", re.IGNORECASE | re.DOTALL)
_WAIT = re.compile(r"\s*wait\s*(?:=\s*(\d+)\s*)?", re.ASCII | re.IGNORECASE)
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", re.ASCII)
_CURSOR = re.compile(r"([on]\d{1,15})?", re.ASCII)
_FILE_PATH = re.compile(r"/v1/files/([0-9a-f]{26})(?:/download)?")


class Refusal(Exception):
    """The request is answered with a problem document (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any):
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"title": title, "detail": detail, "status": status, **more}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request's fields."""

    type: str
    field: str
    description: str


def invalid(*faults: Fault) -> Refusal:
    """The 422 that names every fault."""
    return Refusal(
        422,
        "Input validation failed",
        "".join(f"- {fault.field}{': ' if fault.field else ''}{fault.description}\n" for fault in faults),
        invalid_fields=[asdict(fault) for fault in faults],
    )


@dataclass(frozen=True, slots=True)
class Create:
    """A valid create."""

    model: str
    version: str
    image: str  # URL or data URI
    ignored: tuple[str, ...]  # names of inputs that the model doesn't have


def parse_json(body: bytes) -> object:
    """The value in a JSON text; raises ValueError or RecursionError for what is none or holds too many values."""
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_VALUES:  # each value but the first follows one of these
        raise ValueError(f"more than {_MAX_VALUES} values")
    return json.loads(body)


def parse_create(body: object, served: Mapping[str, str], version: str | None = None) -> Create:
    """The create in a JSON body; `served` maps version ids to `owner/name`. Raises Refusal (422).

    `version`: of the model in the URL, where it names one.
    """
    body = {"version": version, **body} if version is not None and isinstance(body, dict) else body
    if not isinstance(body, dict):
        raise invalid(Fault("invalid_type", "", "Invalid type. Expected: object"))
    if any(key in body for key in ("webhook", "webhook_completed", "webhook_events_filter")):
        detail = "webhooks are not offered by this server; poll, or send Prefer: wait"
        raise invalid(Fault("not_offered", "webhook", detail))
    faults = [Fault("required", "", f"{key} is required") for key in ("version", "input") if key not in body]
    faults += [
        Fault("additional_property_not_allowed", "", f"Additional property {key[:_MAX_KEY]} is not allowed")
        for key in body
        if key not in ("version", "input", "stream")
    ]
    faults += _input_faults(body["input"]) if "input" in body else []
    if "version" in body and not isinstance(body["version"], str):
        faults.append(Fault("invalid_type", "version", "Invalid type. Expected: string"))
    if faults:
        raise invalid(*faults)
    model, _, version = body["version"].rpartition(":")
    if version not in served or model not in ("", served[version]):
        detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
        raise Refusal(422, "Invalid version or not permitted", detail)
    given = body["input"]
    return Create(served[version], version, given["image"], tuple(key for key in given if key != "image"))


def _input_faults(given: object) -> list[Fault]:
    if not isinstance(given, dict):
        return [Fault("invalid_type", "input", "Invalid type. Expected: object")]
    if "image" not in given:
        return [Fault("required", "input", "image is required")]
    image = given["image"]
    if not isinstance(image, str):
        return [Fault("invalid_type", "input.image", "Invalid type. Expected: string")]
    if not _IMAGE.match(image):
        return [Fault("format", "input.image", "Does not match format 'uri' (http, https or data)")]
    if len(image) > _MAX_URL and not is_data(image):
        return [Fault("string_lte", "input.image", f"URL length must be less than or equal to {_MAX_URL}")]
    return []


def is_data(image: str) -> bool:
    """Whether `image` is a data URI."""
    return image[:5].lower() == "data:"


def prefer_wait(header: str | None) -> float | None:
    """Seconds that `Prefer: wait[=N]` asks for, 1–60; None where it doesn't, or isn't understood (RFC 7240 §2)."""
    for preference in (header or "").split(","):
        if found := _WAIT.fullmatch(preference):
            return min(max(float(found[1] or _MAX_WAIT), 1.0), _MAX_WAIT)
    return None


def cancel_after(header: str | None) -> float:
    """Seconds in a `Cancel-After` header such as `30`, `30s`, `5m`, `1h30m45s`; raises Refusal (422) below 5, too."""
    if header is None:
        return inf
    found = _SPAN.fullmatch(header.strip())
    if not found or not any(found.groups()):
        raise invalid(Fault("format", "Cancel-After", f"{header!r} is not a duration such as 30, 30s, 5m or 1h30m45s"))
    hours, minutes, seconds = (float(group or 0) for group in found.groups())
    span = hours * 3600 + minutes * 60 + seconds
    if span < 5:
        raise invalid(Fault("number_gte", "Cancel-After", "must be at least 5 seconds"))
    return span


def parse_time(field: str, text: str) -> float:
    """An ISO 8601 time in seconds since 1970, UTC where it names no zone; raises Refusal (422)."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(Fault("format", field, "Does not match format 'date-time'")) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def check_cursor(text: str) -> str:
    """A cursor as `Page` has them, or none; raises Refusal (400) for other texts."""
    if not _CURSOR.fullmatch(text):
        raise Refusal(400, "Bad request", "the cursor is not one that this server gave out")
    return text


def file_id(url: str) -> str | None:
    """The id of the uploaded file that a URL names, by any host name (we may have several); None for other URLs."""
    try:
        found = _FILE_PATH.fullmatch(urlsplit(url).path)
    except ValueError:  # not a URL; the fetch reports it
        return None
    return found[1] if found else None


def file(blob: Blob, base: str) -> dict[str, Any]:
    """An uploaded file as the API shows it; `base` is the URL of `/v1`."""
    return {
        "id": blob.id,
        "size": blob.size,
        **blob.upload,
        "created_at": timestamp(blob.created),
        "expires_at": timestamp(blob.expires),
        "urls": {"get": f"{base}/files/{blob.id}/download"},
    }


def prediction(job: Job, base: str, *, still_waiting: bool = False) -> dict[str, Any]:
    """A job as the API shows it; `base` is the URL of `/v1`; `still_waiting`: where the time of a wait ran out."""
    # Its status is `starting` then: official clients take `processing` in that answer for finished, and ask no more.
    root = f"{base}/predictions/{job.id}"
    output = f"{base}/outputs/{job.output}/output.png" if job.output else None
    begun, end = {"total_time": job.created, "predict_time": job.started}, job.completed
    metrics = {name: end - begin for name, begin in begun.items() if end is not None and begin is not None}
    return {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "input": job.input,
        "output": output,
        "error": job.error,
        "status": (Status.STARTING if still_waiting else job.status).value,
        "logs": job.logs,
        "created_at": timestamp(job.created),
        "started_at": timestamp(job.started),
        "completed_at": timestamp(job.completed),
        "metrics": metrics,
        "data_removed": job.removed,
        "source": "api",
        "urls": {"get": root, "cancel": f"{root}/cancel"},
    }


def timestamp(seconds: float | None) -> str | None:
    """Seconds since 1970 as `2026-01-31T02:00:00.123456Z`."""
    if seconds is None or not isfinite(seconds):
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
