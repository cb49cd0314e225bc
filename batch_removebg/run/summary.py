"""What a run came to, as the library returns it and the closing lines tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_removebg.errors import BatchError, Interrupted
from batch_removebg.ledger.state import ItemState
from batch_removebg.storage import layout

EXAMPLES = 3
"""Failures of one kind, and items with one flag, that are told in full."""


@dataclass(frozen=True, slots=True)
class Failures:
    """The items that failed in one way."""

    kind: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """(item id, message) of the first few."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """The saved items that are worth a look for one reason."""

    flag: str
    count: int
    examples: tuple[str, ...]
    """Ids of the first few."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to: its items, what they cost, and how to go on."""

    out: Path
    saved: int
    """Items whose picture is in OUT, those of earlier runs included."""
    failed: int
    pending: int
    skipped: int
    """Of the saved: finished by an earlier run and unchanged."""
    reused: int
    """Of the saved in this run: made without a prediction, from what earlier ones gave."""
    predictions: int
    """Bought in this run."""
    possible_duplicates: int
    """Creates sent again in this run although an earlier one may have been accepted."""
    seconds: float
    failures: tuple[Failures, ...]
    stopped: BatchError | None
    """Why the run ended before its manifest did."""
    limited: bool = False
    """The run did as many items as `limit` allows, and did not look at what comes after them."""
    flags: tuple[Flagged, ...] = ()
    """Of the saved, those worth a look."""
    engine: str | None = None
    """What the local engine ran on in this run, such as `openvino CPU bf16`; None where it predicted nothing."""

    @property
    def total(self) -> int:
        """All items the run has seen."""
        return self.saved + self.failed + self.pending

    @property
    def ledger(self) -> Path:
        """The journal of all runs over this OUT."""
        return self.out / layout.LEDGER

    @property
    def results(self) -> Path:
        """The snapshot for people and scripts."""
        return self.out / layout.RESULTS

    @property
    def exit_code(self) -> int:
        """0 all saved · 2 manifest or settings · 3 some failed · 4 aborted · 128 + signal interrupted."""
        if isinstance(self.stopped, Interrupted):
            return 128 + self.stopped.number
        if self.stopped is not None:
            return self.stopped.exit_code
        return 3 if self.failed or self.pending else 0

    def as_json(self) -> dict[str, Any]:
        """The summary as plain data."""
        return {
            "out": str(self.out),
            "ledger": str(self.ledger),
            "results": str(self.results),
            "total": self.total,
            "saved": self.saved,
            "failed": self.failed,
            "pending": self.pending,
            "skipped": self.skipped,
            "reused": self.reused,
            "predictions": self.predictions,
            "possible_duplicates": self.possible_duplicates,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "failures": [
                {"kind": f.kind, "count": f.count, "examples": [{"item": i, "message": m} for i, m in f.examples]}
                for f in self.failures
            ],
            "flags": [{"flag": f.flag, "count": f.count, "examples": list(f.examples)} for f in self.flags],
            "stopped": {"kind": self.stopped.kind, "message": str(self.stopped)} if self.stopped else None,
            "exit_code": self.exit_code,
        }


def failures(failed: Iterable[tuple[str, ItemState]]) -> tuple[Failures, ...]:
    """The failed items by kind, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[tuple[str, str]]] = {}
    for key, state in failed:
        kind = state.error_kind or "error"
        counts[kind] += 1
        if counts[kind] <= EXAMPLES:
            examples.setdefault(kind, []).append((key, state.error_message or ""))
    found = (Failures(kind, count, tuple(examples[kind])) for kind, count in counts.items())
    return tuple(sorted(found, key=lambda f: (-f.count, f.kind)))


def flagged(found: Iterable[tuple[str, ItemState]]) -> tuple[Flagged, ...]:
    """The items with flags by flag, the most frequent first; an item with two of them is in both."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for key, state in found:
        for flag in state.flags:
            counts[flag] += 1
            if counts[flag] <= EXAMPLES:
                examples.setdefault(flag, []).append(key)
    groups = (Flagged(flag, count, tuple(examples[flag])) for flag, count in counts.items())
    return tuple(sorted(groups, key=lambda group: (-group.count, group.flag)))
