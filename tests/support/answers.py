"""What the tests of answers share: an address, a moment, and what becomes of a refusal."""

from __future__ import annotations

from typing import Any

from batch_removebg.errors import (
    BatchError,
)
from batch_removebg.providers import refusals

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
URL = "https://replicate.delivery/xezq/abc/output.png"


def refusal(status: int, body: Any = None, headers: dict[str, str] | None = None) -> BatchError:
    return refusals.refusal(status, headers or {}, body, doing="creating a prediction", now=NOW)
