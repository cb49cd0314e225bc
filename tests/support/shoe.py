"""One item's lines and state."""

from __future__ import annotations

from typing import Any

from batch_removebg.ledger.state import ItemState
from tests.support.oracle import oracle, saved

SUBMITTING = {
    "event": "submitting",
    "t": "2026-01-31T02:00:00.123Z",
    "item": "shoe",
    "attempt": 1,
    "key": "https://files.example/shoe.jpg",
    "output": "shoe.png",
    "fingerprint": "f1",
}
SUBMITTED = {"event": "submitted", "item": "shoe", "prediction_id": "p1"}
SAVED = saved(recipe="r1", source_sha256="50", signature="10:1:1", meta={"sku": "7"}, notes=["profile left out"])
FAILED = {
    "event": "failed",
    "item": "shoe",
    "source": "in/shoe.jpg",
    "kind": "source",
    "message": "is empty",
    "retryable": False,
    "attempts": 2,
    "recipe": "r2",
}


fold_of = oracle


def shoe(*entries: dict[str, Any]) -> ItemState:
    return fold_of(*entries).items["shoe"]
