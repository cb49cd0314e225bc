"""What somebody decides about the pictures of an OUT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from batch_removebg.ledger.decisions import Decided, Decisions
from batch_removebg.storage.layout import DECISIONS, RESULTS

STAMP = "2027-01-15T08:00:00.000Z"


def decide(out: Path, verdict: Any, *items: str, note: str = "") -> None:
    """Give the pictures that results.json tells of a verdict."""
    shown = {item["id"]: item["sha256"] for item in json.loads((out / RESULTS).read_text())["items"]}
    verdicts = [Decided(item=item, verdict=verdict, note=note, output_sha256=shown[item]) for item in items]
    Decisions(out / DECISIONS).append(verdicts, STAMP)
