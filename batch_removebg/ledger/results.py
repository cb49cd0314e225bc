"""`OUT/results.json`: the snapshot of the ledger that people and scripts read, streamed and written atomically.

It is written from the index, in a thread beside the run, and only where it would change.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import anyio.to_thread

from batch_removebg.storage.atomic import signature, write_atomic

from .codec import encode
from .index.indexed_state import IndexedFold
from .index.run_items import RunItems
from .journal import Ledger
from .state import ItemState


async def write_snapshot(path: Path, ledger: Ledger, run_items: RunItems) -> None:
    """Write `path` as things stand; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        still = run_items.frozen(fold)
        said = await anyio.to_thread.run_sync(_write, path, fold, still)
    if said is not None:
        with suppress(sqlite3.Error):  # it will be written once more, that is all
            await anyio.to_thread.run_sync(run_items.fold.database.put_meta, "results", [*said, signature(path)])


def _write(path: Path, fold: IndexedFold, run_items: RunItems) -> list[object] | None:
    """Write it, unless it is there; returns what it follows from, where that has to be noted."""
    says = _says(fold, run_items)
    if says is not None and path.exists() and fold.database.meta("results") == [*says, signature(path)]:
        return None
    write(path, render(fold, run_items))
    return says


def _says(fold: IndexedFold, run_items: RunItems) -> list[object] | None:
    """What all of the file follows from; None where items are pending, of which the manifest may say something new."""
    if fold.items.live or fold.counts()["pending"] or next(run_items.unknown(), None) is not None:
        return None
    told = (fold.provider, fold.version, fold.engine, fold.predictions, fold.possible_duplicates)
    return [fold.database.meta("changes"), *told]


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a rendered snapshot; raises DiskError."""
    parts = iter(parts)
    write_atomic(path, iter(lambda: "".join(islice(parts, 1000)).encode("utf-8", "backslashreplace"), b""))


def render(fold: IndexedFold, run_items: RunItems) -> Iterator[str]:
    """The snapshot as JSON in pieces, an item a line: all of the ledger, then those read that it doesn't know yet."""
    unknown = sum(1 for _ in run_items.unknown())
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
    for entry in _entries(fold, run_items):
        yield separator + encode(entry).decode()
        separator = ",\n"
    yield "\n]}\n"


def _entries(fold: IndexedFold, run_items: RunItems) -> Iterator[dict[str, Any]]:
    for key, state in fold.each():
        item = run_items.get(key)
        yield _entry(key, state, item.source if item else state.source, (item.meta if item else state.meta) or {})
    for item in run_items.unknown():
        yield _entry(item.id, ItemState(), item.source, item.meta)


_NO_PICTURE = ItemState()


def _entry(key: str, state: ItemState, source: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    failed = state.outcome == "failed"
    picture = state if state.outcome == "saved" else _NO_PICTURE
    return {
        "id": key,
        "source": source or state.source,
        "status": state.outcome,
        "output": picture.output,
        "sha256": picture.sha256,
        "bytes": picture.bytes,
        "width": picture.width,
        "height": picture.height,
        "prediction_id": state.prediction_id,
        "attempts": state.attempts,
        "seconds": picture.seconds,
        "reused": picture.reused,
        "error": {"kind": state.error_kind, "message": state.error_message} if failed else None,
        **({"meta": dict(meta)} if meta else {}),
        **({"notes": list(state.notes)} if state.notes else {}),
        **({"engine": picture.engine} if picture.engine else {}),
        **({"quality": dict(picture.quality)} if picture.quality else {}),
        **({"flags": list(picture.flags)} if picture.flags else {}),
    }
