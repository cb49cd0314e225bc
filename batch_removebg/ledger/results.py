"""The ledger's snapshot for people and scripts, `OUT/results.json`, and `results.csv`, its items as a table."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.to_thread
from msgspec import to_builtins

from batch_removebg.net.urls import scrubbed
from batch_removebg.storage.atomic import signature, write_atomic
from batch_removebg.storage.layout import CSV

from .codec import encode
from .decisions import Decisions
from .events import RunFinished
from .index.indexed_state import IndexedFold
from .index.run_items import RunItems, told_apart
from .journal import Ledger
from .state import ItemState

_ABOUT, _BOUGHT = ("provider", "version", "engine"), ("predictions", "possible_duplicates")
_COLUMNS = ("output", "status", "flags", "error")  # of the table, behind the manifest's
_SAID = ("decision", "note")  # behind these, where anything was decided
csv_line: Callable[[Iterable[object]], str] = csv.writer(cast("Any", SimpleNamespace(write=str))).writerow
"""A row of a table."""


async def write_snapshot(path: Path, ledger: Ledger, end: RunFinished | None = None) -> None:
    """Write `path` as things stand, or after `end`; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        if end is not None:
            fold.apply(end)
        # A thread is waited for even by who is cancelled; then what it has written is to be known, too.
        with anyio.CancelScope(shield=True):
            said = await anyio.to_thread.run_sync(_write, path, ledger.run_items.frozen(fold), ledger.decisions)
            if said is not None:
                with suppress(sqlite3.Error):  # it will be written once more, that is all
                    await anyio.to_thread.run_sync(ledger.fold.database.put_meta, "results", said)


def _write(path: Path, run_items: RunItems, decisions: Decisions) -> list[object] | None:
    """Write both, of what is there already the head alone.

    Returns what the rest follows from, None if it will change: the items, then of the table the rows.
    """
    fold, table, says = run_items.fold, path.with_name(CSV), None
    known, rows = fold.database.meta("results") or [None], [run_items.table.digest, fold.run.reason]
    decided = signature(decisions.path) if decisions.path.exists() else None
    decisions.refresh()
    if not fold.items.live and not fold.counts()["pending"] and next(run_items.unknown(), None) is None:
        says = [fold.database.meta("changes"), decided, *(getattr(fold, name) for name in (*_ABOUT, *_BOUGHT))]
    if says is not None and path.exists() and known[:2] == [says, signature(path)]:
        with path.open("rb") as file:
            file.readline()
            begin = _bytes(_head(head(fold, run_items.counts())))
            write_atomic(path, chain([begin], iter(partial(file.read, 1 << 20), b"")))
    else:
        write(path, render(run_items, decisions))
    if fold.run.state is None:
        rows = known[2:] if known[0] == says else []
    elif says is None or [known[0], *known[2:]] != [says, *rows] or not table.exists():
        write(table, _table(run_items, decisions))
    return says and [says, signature(path), *rows]


def write(path: Path, parts: Iterable[str]) -> None:
    """Write a rendered snapshot; raises DiskError."""
    parts = iter(parts)
    write_atomic(path, iter(lambda: _bytes("".join(islice(parts, 1000))), b""))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def render(run_items: RunItems, decisions: Decisions) -> Iterator[str]:
    """The snapshot as JSON in pieces: all of the ledger, then those read that it doesn't know yet."""
    return document(head(run_items.fold, run_items.counts()), entries(run_items, decisions))


def document(about: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The run as a whole and its items as JSON in pieces, an item a line."""
    yield _head(about)
    separator = ""
    for item in items:
        yield separator + encode(item).decode()
        separator = ",\n"
    yield "\n]}\n"


def _head(about: Mapping[str, Any]) -> str:
    return json.dumps(about, ensure_ascii=False)[:-1] + ', "items": [\n'


def head(fold: IndexedFold, counts: dict[str, int], *, held: bool = True) -> dict[str, Any]:
    """What is told of the run as a whole; `held`: a process holds the lock of OUT."""
    about, bought = ({name: getattr(fold, name) for name in names} for names in (_ABOUT, _BOUGHT))
    run, gone = fold.run.told(counts, held=held), counts.pop("gone")
    return {"v": 1, **about, "run": run, "counts": counts, "gone": gone, **bought}


def _table(run_items: RunItems, decisions: Decisions) -> Iterator[str]:
    """The rows of the manifests as they were read, without what lets somebody in, and what became of them.

    Of a row with several pictures each cell has what became of each, divided by ` | `; its status is the worst one.
    """
    columns, waits = (
        run_items.table.columns,
        f"not done yet: {run_items.fold.run.reason or 'the next run tries it again'}",
    )
    names, more = [name for name, _ in columns], _COLUMNS + _SAID * (decisions.lines > 0)
    yield csv_line((*map(scrubbed, names), *(f"{name}_" if name in names else name for name in more)))
    for lots in run_items.table.blocks():
        states = run_items.fold.items.several([key for lot in lots for key in lot.ids])
        for lot in lots:
            places = [columns[column] for column in told_apart(tuple(lot.names))]
            for cells, ids in zip(lot.rows, zip(lot.ids) if len(lot.rows) > 1 else [lot.ids], strict=True):
                row = [""] * len(columns)
                for place, cell in zip(places, cells, strict=False):
                    row[place] = shown(cell)
                items = [(key, states.get(key, _NO_PICTURE)) for key in ids]
                *became, error, verdict, note = _became(items, waits, decisions)
                error = error if lot.names else f"{ids[0]}: {error}"
                yield csv_line((*row, *became, error, *(verdict, note) * (decisions.lines > 0)))


def shown(cell: object) -> str:
    """A manifest's cell in a table, without what lets somebody in."""
    return "" if cell is None else scrubbed(cell if isinstance(cell, str) else encode(cell).decode())


def _became(items: Sequence[tuple[str, ItemState]], waits: str, decisions: Decisions) -> tuple[str, ...]:
    """What stands in the columns behind those of a row with these pictures; `waits`: what is said of pending ones."""
    if not items:
        return "", "no picture", "", "", "", ""
    ended = (_ended(*item, waits, decisions) for item in items)
    outputs, outcomes, flags, errors, verdicts, notes = zip(*ended, strict=True)
    worst = max(outcomes, key=("saved", "held", "pending", "failed").index)
    error = " | ".join(dict.fromkeys(filter(None, errors)))
    return _joined(outputs), worst, _joined(flags), error, _joined(verdicts), _joined(notes)


def _ended(key: str, state: ItemState, waits: str, decisions: Decisions) -> tuple[str, ...]:
    if state.gone or state.outcome == "pending":
        return "", "pending", "", waits, "", ""
    if state.outcome == "failed":
        return "", "failed", "", state.error_message or "", "", ""
    said = decisions.last(key, state)
    outputs = "" if state.held else _joined([one.output for one in state.renditions])
    verdict = (said.verdict, said.note) if said else ("", "")
    return outputs, "held" if state.held else "saved", " ".join(state.flags), "", *verdict


def _joined(texts: Sequence[str]) -> str:
    return " | ".join(texts) if any(texts) else ""


def entries(run_items: RunItems, decisions: Decisions) -> Iterator[dict[str, Any]]:
    """The items as the snapshot has them."""
    for key, state in run_items.fold.each():
        if state.gone and state.nameless:
            continue
        item = run_items.get(key)
        source, meta = (item.source, item.meta) if item else (state.source, state.meta)
        yield _entry(key, state, source, meta or {}, decisions)
    for item in run_items.unknown():
        yield _entry(item.id, ItemState(), item.source, item.meta, decisions)


_NO_PICTURE = ItemState()


def _entry(key: str, state: ItemState, source: str, meta: Mapping[str, Any], decisions: Decisions) -> dict[str, Any]:
    failed = state.outcome == "failed"
    picture = state if state.outcome == "saved" else _NO_PICTURE
    extras: dict[str, Any] = {"meta": meta, "notes": state.notes, "engine": picture.engine}
    extras |= {"quality": picture.quality, "flags": picture.flags}
    extras |= {"outputs": [to_builtins(one) for one in picture.outputs]}
    if picture is state and (said := decisions.last(key, state)) is not None:
        extras["decision"] = {"verdict": said.verdict, "note": said.note, "t": said.t}
    extras |= {"edited": decisions.edit(state) is not None, "held": picture.held}
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
