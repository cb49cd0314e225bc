"""The ledger's snapshot for people and scripts, `OUT/results.json`, and `results.csv`, its items as a table."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.to_thread

from batch_removebg.storage.atomic import signature, write_atomic
from batch_removebg.storage.layout import CSV

from .codec import encode
from .events import RunFinished
from .index.indexed_state import IndexedFold
from .index.run_items import RunItems
from .journal import Ledger
from .state import ItemState

_ABOUT, _BOUGHT = ("provider", "version", "engine"), ("predictions", "possible_duplicates")
_COLUMNS = ("output", "status", "flags", "error")  # of the table, behind the manifest's


async def write_snapshot(path: Path, ledger: Ledger, end: RunFinished | None = None) -> None:
    """Write `path` as things stand, or after `end`; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        if end is not None:
            fold.apply(end)
        # A thread is waited for even by who is cancelled; then what it has written is to be known, too.
        with anyio.CancelScope(shield=True):
            said = await anyio.to_thread.run_sync(_write, path, ledger.run_items.frozen(fold))
            if said is not None:
                with suppress(sqlite3.Error):  # it will be written once more, that is all
                    await anyio.to_thread.run_sync(ledger.fold.database.put_meta, "results", [*said, signature(path)])


def _write(path: Path, run_items: RunItems) -> list[object] | None:
    """Write it, of what is there already the head alone; returns what the rest follows from, None if it will change."""
    fold, table, says = run_items.fold, path.with_name(CSV), None
    if not fold.items.live and not fold.counts()["pending"] and next(run_items.unknown(), None) is None:
        says = [fold.database.meta("changes"), *(getattr(fold, name) for name in (*_ABOUT, *_BOUGHT))]
        if path.exists() and table.exists() and fold.database.meta("results") == [*says, signature(path)]:
            with path.open("rb") as file:
                file.readline()
                write_atomic(path, chain([_bytes(_head(run_items))], iter(partial(file.read, 1 << 20), b"")))
            return says
    write(path, render(run_items))
    if fold.run.state is None:
        return None
    write(table, _table(run_items))
    return says


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a rendered snapshot; raises DiskError."""
    parts = iter(parts)
    write_atomic(path, iter(lambda: _bytes("".join(islice(parts, 1000))), b""))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def render(run_items: RunItems) -> Iterator[str]:
    """The snapshot as JSON in pieces, an item a line: all of the ledger, then those read that it doesn't know yet."""
    yield _head(run_items)
    separator = ""
    for entry in _entries(run_items):
        yield separator + encode(entry).decode()
        separator = ",\n"
    yield "\n]}\n"


def _head(run_items: RunItems) -> str:
    return json.dumps(head(run_items.fold, run_items.counts()), ensure_ascii=False)[:-1] + ', "items": [\n'


def head(fold: IndexedFold, counts: dict[str, int], *, held: bool = True) -> dict[str, Any]:
    """What is told of the run as a whole; `held`: a process holds the lock of OUT."""
    about, bought = ({name: getattr(fold, name) for name in names} for names in (_ABOUT, _BOUGHT))
    run, gone = fold.run.told(counts, held=held), counts.pop("gone")
    return {"v": 1, **about, "run": run, "counts": counts, "gone": gone, **bought}


def _table(run_items: RunItems) -> Iterator[str]:
    """The manifest's items as CSV: id, source, further cells as they were, and what became of them."""
    line: Callable[[Iterable[object]], str] = csv.writer(cast("Any", SimpleNamespace(write=str))).writerow
    of_manifest = chain.from_iterable(entry.get("meta", ()) for entry in _rows(run_items))
    waits = f"not done yet: {run_items.fold.run.reason or 'the next run tries it again'}"
    columns = dict.fromkeys(chain(("id", "source"), of_manifest))
    yield line((*columns, *(f"{name}_" if name in columns else name for name in _COLUMNS)))
    for entry in _rows(run_items):
        cells = {**entry.get("meta", {}), "id": entry["id"], "source": entry["source"]}
        found = [cells.get(name, "") for name in columns]
        flags, error = " ".join(entry.get("flags", ())), (entry["error"] or {}).get("message")
        error = waits if entry["status"] == "pending" else error
        ends = (entry["output"], entry["status"], flags, error)
        yield line((*(cell if isinstance(cell, str) else encode(cell).decode() for cell in found), *ends))


def _rows(run_items: RunItems) -> Iterator[dict[str, Any]]:
    return (entry for entry in _entries(run_items) if entry["status"] != "gone")


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
        "status": "gone" if state.gone else state.outcome,
        **{name: getattr(picture, name) for name in ("output", "sha256", "bytes", "width", "height")},
        "prediction_id": state.prediction_id,
        "attempts": state.attempts,
        "seconds": picture.seconds,
        "reused": picture.reused,
        "error": {"kind": state.error_kind, "message": state.error_message} if failed else None,
        **{name: value for name, value in extras.items() if value},
    }
