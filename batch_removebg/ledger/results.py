"""`OUT/results.json`: the snapshot of the ledger that people and scripts read, streamed and written atomically."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from batch_removebg.model import Item
from batch_removebg.storage.atomic import write_atomic

from .codec import encode
from .state import Fold, ItemState


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a rendered snapshot; raises DiskError."""
    parts = iter(parts)
    write_atomic(path, iter(lambda: "".join(islice(parts, 1000)).encode("utf-8", "backslashreplace"), b""))


class Read(Protocol):
    """What a run has read of its manifest."""

    def get(self, key: str) -> Item | None:
        """The item as the manifest has it, where that is not on record yet."""
        ...

    def unknown(self) -> Iterable[Item]:
        """The items that the ledger does not know yet."""
        ...


def render(fold: Fold, read: Read) -> Iterator[str]:
    """The JSON text of the snapshot in pieces, an item a line.

    It holds every item of the ledger, and those read in this run that the ledger does not know yet.
    """
    unknown = sum(1 for _ in read.unknown())
    counts = fold.counts()
    counts["total"] += unknown
    counts["pending"] += unknown
    head = {
        "v": 1,
        "provider": fold.provider,
        "version": fold.version,
        "engine": fold.engine,
        "counts": counts,
        "predictions": fold.predictions,
        "possible_duplicates": fold.possible_duplicates,
    }
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "items": ['
    separator = "\n"
    for entry in _entries(fold, read):
        yield separator + encode(entry).decode()
        separator = ",\n"
    yield "\n]}\n"


def _entries(fold: Fold, read: Read) -> Iterator[dict[str, Any]]:
    for key, state in fold.each():
        item = read.get(key)
        yield _entry(key, state, item.source if item else state.source, (item.meta if item else state.meta) or {})
    for item in read.unknown():
        yield _entry(item.id, ItemState(), item.source, item.meta)


def _entry(key: str, state: ItemState, source: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    saved, failed = state.outcome == "saved", state.outcome == "failed"
    return {
        "id": key,
        "source": source or state.source,
        "status": state.outcome,
        "output": state.output if saved else None,
        "sha256": state.sha256 if saved else None,
        "bytes": state.bytes if saved else None,
        "width": state.width if saved else None,
        "height": state.height if saved else None,
        "prediction_id": state.prediction_id,
        "attempts": state.attempts,
        "seconds": state.seconds if saved else None,
        "reused": saved and state.reused,
        "error": {"kind": state.error_kind, "message": state.error_message} if failed else None,
        **({"meta": dict(meta)} if meta else {}),
        **({"notes": list(state.notes)} if state.notes else {}),
        **({"engine": state.engine} if saved and state.engine else {}),
        **({"quality": dict(state.quality)} if saved and state.quality else {}),
        **({"flags": list(state.flags)} if saved and state.flags else {}),
    }
