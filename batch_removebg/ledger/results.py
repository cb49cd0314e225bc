"""`OUT/results.json`: the ledger's snapshot for people and scripts, written beside the run where it would change."""

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
from .index.run_items import RunItems
from .journal import Ledger
from .state import ItemState

_ABOUT, _BOUGHT = ("provider", "version", "engine"), ("predictions", "possible_duplicates")


async def write_snapshot(path: Path, ledger: Ledger) -> None:
    """Write `path` as things stand; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        said = await anyio.to_thread.run_sync(_write, path, ledger.run_items.frozen(fold))
    if said is not None:
        with suppress(sqlite3.Error):  # it will be written once more, that is all
            await anyio.to_thread.run_sync(ledger.fold.database.put_meta, "results", [*said, signature(path)])


def _write(path: Path, run_items: RunItems) -> list[object] | None:
    """Write it, unless it is there; returns what all of it follows from, None while items are pending."""
    fold, says = run_items.fold, None
    if not fold.items.live and not fold.counts()["pending"] and next(run_items.unknown(), None) is None:
        says = [fold.database.meta("changes"), *(getattr(fold, name) for name in (*_ABOUT, *_BOUGHT))]
        if path.exists() and fold.database.meta("results") == [*says, signature(path)]:
            return None
    write(path, render(run_items))
    return says


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a rendered snapshot; raises DiskError."""
    parts = iter(parts)
    write_atomic(path, iter(lambda: "".join(islice(parts, 1000)).encode("utf-8", "backslashreplace"), b""))


def render(run_items: RunItems) -> Iterator[str]:
    """The snapshot as JSON in pieces, an item a line: all of the ledger, then those read that it doesn't know yet."""
    fold = run_items.fold
    about, bought = ({name: getattr(fold, name) for name in names} for names in (_ABOUT, _BOUGHT))
    unknown, counts = sum(1 for _ in run_items.unknown()), fold.counts()
    counts |= {name: counts[name] + unknown for name in ("total", "pending")}
    head = {"v": 1, **about, "counts": counts, **bought}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "items": ['
    separator = "\n"
    for entry in _entries(run_items):
        yield separator + encode(entry).decode()
        separator = ",\n"
    yield "\n]}\n"


def _entries(run_items: RunItems) -> Iterator[dict[str, Any]]:
    for key, state in run_items.fold.each():
        if state.gone and state.nameless:
            continue
        item = run_items.get(key)
        yield _entry(key, state, item.source if item else state.source, (item.meta if item else state.meta) or {})
    for item in run_items.unknown():
        yield _entry(item.id, ItemState(), item.source, item.meta)


_NO_PICTURE = ItemState()


def _entry(key: str, state: ItemState, source: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    failed = state.outcome == "failed"
    picture = state if state.outcome == "saved" else _NO_PICTURE
    extras = {"meta": meta, "notes": state.notes, "engine": picture.engine}
    extras |= {"quality": picture.quality, "flags": picture.flags}
    return {
        "id": key,
        "source": source or state.source,
        "status": state.outcome,
        **{name: getattr(picture, name) for name in ("output", "sha256", "bytes", "width", "height")},
        "prediction_id": state.prediction_id,
        "attempts": state.attempts,
        "seconds": picture.seconds,
        "reused": picture.reused,
        "error": {"kind": state.error_kind, "message": state.error_message} if failed else None,
        **{name: value for name, value in extras.items() if value},
    }
