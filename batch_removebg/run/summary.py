"""The outcome of a run, as the library returns it and the closing report shows it."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch_removebg.errors import BatchError, Interrupted
from batch_removebg.ledger.state import ItemState
from batch_removebg.manifest.folder import LeftOut
from batch_removebg.storage import layout

EXAMPLES = 3  # failures of one kind, and items with one flag, that are listed


@dataclass(frozen=True, slots=True)
class Group:
    """The items that failed in one way, or the saved ones that have one flag."""

    kind: str
    count: int
    examples: tuple[tuple[str, str], ...]  # id of the first few, and the message of a failed one


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a run: its items, its predictions, and why it ended."""

    out: Path
    saved: int  # items whose picture is in OUT, those of earlier runs included
    failed: int
    pending: int
    skipped: int  # of the saved: by an earlier run
    reused: int  # of the saved in this run: made without a prediction, from the results of earlier ones
    predictions: int  # bought in this run: creates that a server accepted, or may have
    possible_duplicates: int  # creates sent again in this run although an earlier one may have been accepted
    seconds: float
    failures: tuple[Group, ...]
    stopped: BatchError | None  # why the run ended before its manifest did
    limited: bool = False  # the run did as many items as `limit` allows, and didn't read what comes after them
    unread: bool = False  # the manifest wasn't read to its end: there may be more items
    gone: int = 0  # items of earlier runs that the manifest doesn't have any more; in no other number
    left: int = 0  # those of them that left it in this run
    pruned: int = 0  # pictures of those, and earlier ones of others, that were moved aside
    flags: tuple[Group, ...] = ()
    held: int = 0  # of the saved: their pictures wait until they are accepted
    escalated: int = 0  # of the saved in this run: made again by a better network
    engine: str | None = None  # what the local engine ran on, as `openvino CPU bf16`; None where it predicted nothing
    left_out: LeftOut = field(default_factory=dict)  # of folders
    run_id: str = ""  # a UUID, as `run_started` has it
    tried: int = 0  # of the failed: in this run
    cost: float | None = None  # US dollars for `predictions`; None where nothing is billed, or the price isn't known
    job: str | None = None  # the name of the [[job]]

    @property
    def total(self) -> int:
        """All items of the manifest."""
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
        """0 all saved · 2 usage · 3 some failed or are left · 4 aborted · 5 time is over · 128 + signal interrupted."""
        if isinstance(self.stopped, Interrupted):
            return 128 + self.stopped.number
        if self.stopped is not None:
            return self.stopped.exit_code
        return 3 if self.failed or self.pending or self.unread else 0

    @property
    def state(self) -> str:
        """How the run ended: finished, limited (--limit), interrupted or stopped."""
        if self.stopped is None:
            return "limited" if self.limited else "finished"
        return "interrupted" if isinstance(self.stopped, Interrupted) else "stopped"

    def as_json(self) -> dict[str, Any]:
        """The summary as plain data."""
        counts = ("total", "saved", "failed", "pending", "gone", "held", "skipped", "reused", "escalated", "pruned")
        plain = ("state", "unread", *counts, "predictions", "possible_duplicates")
        return {
            "v": 1,
            "run_id": self.run_id,
            "job": self.job,
            **{name: str(getattr(self, name)) for name in ("out", "ledger", "results")},
            **{name: getattr(self, name) for name in (*plain, "cost", "engine")},
            "seconds": round(self.seconds, 3),
            "failures": [
                {"kind": f.kind, "count": f.count, "examples": [{"item": i, "message": m} for i, m in f.examples]}
                for f in self.failures
            ],
            "flags": [{"flag": f.kind, "count": f.count, "examples": [i for i, _ in f.examples]} for f in self.flags],
            "left_out": {what: count for what, (count, _) in self.left_out.items()},
            "stopped": {"kind": self.stopped.kind, "message": str(self.stopped)} if self.stopped else None,
            "exit_code": self.exit_code,
        }


def failures(items: Iterable[tuple[str, ItemState]]) -> tuple[Group, ...]:
    """The failed items by kind, the most frequent first."""
    return _grouped((state.error_kind or "error", key, state.error_message or "") for key, state in items)


def flagged(items: Iterable[tuple[str, ItemState]], presets: Set[str] | None = None) -> tuple[Group, ...]:
    """The items with flags by flag, the most frequent first; an item with two of them is in both groups.

    `presets`: those whose flags count, beside those of the cutout itself; None: all.
    """
    found = ((flag, key, "") for key, state in items for flag in state.flags)
    return _grouped(one for one in found if presets is None or one[0].rpartition(":")[0] in {"", *presets})


def _grouped(found: Iterable[tuple[str, str, str]]) -> tuple[Group, ...]:
    groups: dict[str, Group] = {}
    for kind, item, message in found:
        group = groups.get(kind, Group(kind, 0, ()))
        examples = (*group.examples, (item, message))[:EXAMPLES]
        groups[kind] = Group(kind, group.count + 1, examples)
    return tuple(sorted(groups.values(), key=lambda group: (-group.count, group.kind)))
