"""Mends a ledger from what is left: its own sound lines, then its index and results.json for lines that are missing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from batch_removebg.errors import LedgerDamaged, LedgerError
from batch_removebg.storage.atomic import put_aside, write_atomic
from batch_removebg.storage.layout import DECISIONS, INDEX, LEDGER, RESULTS

from . import codec, decisions
from .events import Claimed, Entry, Failed, Gone, Renamed, Saved, Submitted, Submitting, decode, encode, lenient
from .index.database import Database
from .index.indexed_state import IndexedFold
from .journal import UNUSABLE, look
from .state import ItemState, on_record

_STAMP = re.compile(r"[0-9TZ:.-]+")
_decode_at = json.JSONDecoder().raw_decode


def repair(out: Path, stamp: str, *, dry_run: bool = False) -> Counter[str]:
    """Mend the ledger of `out` and its decisions, or only say what that would do: how many lines come from where.

    None do if all is well. What they are made from is put aside. Raises DiskError, and LedgerError where nothing is
    left to make the ledger from.
    """
    found = _ledger(out, stamp, dry_run=dry_run)
    decided = decisions.repair(out, stamp, _objects(out / DECISIONS), dry_run=dry_run)
    return found if decided is None else Counter({**found, DECISIONS: decided})


def _ledger(out: Path, stamp: str, *, dry_run: bool) -> Counter[str]:
    path, mending = out / LEDGER, _Mending()
    with suppress(LedgerDamaged):
        look(path, out / INDEX).close()
        return mending.found
    lines = list(mending.lines(out, stamp))
    if not lines:
        raise LedgerError(f"{path}: nothing is left to mend it from; restore it from a backup, or start over")
    if not dry_run:
        if path.exists():
            put_aside(path, stamp, start=0)
        write_atomic(path, lines)
        for name in filter(Path.exists, (out / INDEX, out / f"{INDEX}-wal", out / RESULTS)):
            put_aside(name, stamp)
    return mending.found


class _Mending:
    def __init__(self) -> None:
        self.found = Counter[str]()
        self._known = set[tuple[object, ...]]()  # what the lines say so far: see `_marks`
        self._last = dict[str, str]()  # the last prediction of an item
        self._first = dict[str, str]()  # the id that an item's lines began with

    def lines(self, out: Path, stamp: str) -> Iterator[bytes]:
        for value in _objects(out / LEDGER):
            line = codec.encode(value) + b"\n"
            if "event" in value and (entry := decode(line, self.found[LEDGER] + 1)) is not None:
                self._note(entry, LEDGER)
                yield line
        for entry, source in self._missing(out):
            self._note(entry, source)
            yield encode(replace(entry, t=""), entry.t if _STAMP.fullmatch(entry.t) else stamp)

    def _note(self, entry: Entry, source: str) -> None:
        self.found[source] += 1
        if isinstance(entry, Renamed):
            self._first[entry.item] = self._first.pop(entry.was, entry.was)
        if item := getattr(entry, "item", ""):
            entry = replace(entry, item=self._begun_as(item))
        self._known.update(_marks(entry))
        if isinstance(entry, Saved | Submitted) and entry.prediction_id is not None:
            self._last[entry.item] = entry.prediction_id

    def _begun_as(self, item: str) -> str:
        return self._first.get(on_record(item), on_record(item))

    def _missing(self, out: Path) -> Iterator[tuple[Entry, str]]:
        with suppress(*UNUSABLE), closing(Database.look(out / INDEX)) as database:
            for item, state in IndexedFold(database).each():
                why = {"kind": state.error_kind, "message": state.error_message}
                ended = lenient({**asdict(state), **why, "event": state.outcome, "item": item, "t": state.checked})
                yield from ((entry, INDEX) for entry in self._unknown(item, state, ended))
        for value in _objects(out / RESULTS):
            why = value["error"] if isinstance(value.get("error"), dict) else {}
            status, gone = value.get("status"), value.get("status") == "gone"
            if gone:
                status = "failed" if why else "saved" if value.get("sha256") else None
            ended = lenient({**value, **why, "event": status, "item": value.get("id")})
            if isinstance(ended, Saved | Failed):
                state = ItemState(prediction_id=getattr(ended, "prediction_id", None), reused=True, gone=gone)
                yield from ((entry, RESULTS) for entry in self._unknown(ended.item, state, ended))

    def _unknown(self, item: str, state: ItemState, ended: Entry) -> Iterator[Entry]:
        """The lines that lead to an item's state, as far as its last ones are missing; `ended` ignored: pending."""
        held, bought, first = state.upload, state.prediction_id, self._begun_as(item)
        if self._last.get(first, bought) != bought and (bought is None or (first, bought) in self._known):
            return  # the lines have gone on since
        begun = Submitting(
            item=item,
            attempt=state.attempts,
            key=held.url if held is not None else "",
            output=state.output,
            fingerprint=state.fingerprint,
            until=held.until if held is not None else None,
        )
        if bought is not None and not state.reused and (first, bought) not in self._known:
            yield begun
            ids = (one for one in (*state.spent, bought) if (first, one) not in self._known)
            yield from (Submitted(item=item, prediction_id=one) for one in ids)
        lost = (one for one in (*state.lost_before, state.lost) if one is not None)
        for nth, one in enumerate(lost):
            if (first, one.since) not in self._known:
                yield replace(begun, key=one.key, t=one.since, possible_duplicate=nth > 0)
        names = state.others if isinstance(ended, Saved) else (*state.others, state.output)
        last: list[Entry] = [Claimed(item=item, output=name) for name in names if name is not None]
        last += [ended] if isinstance(ended, Saved | Failed) else []
        if last and (first, *_marks(last[-1])[0][1:]) not in self._known:
            yield from last
            yield from [Gone(item=item)] * state.gone


def _marks(entry: Entry) -> list[tuple[object, ...]]:
    """What tells a line from the others of its item, and what else can be known from it."""
    match entry:
        case Saved(item=item, prediction_id=bought):
            return [(item, entry.sha256, bought), (item, bought), (item, entry.output)]
        case Failed(item=item):
            return [(item, entry.kind, entry.message)]
        case Submitted(item=item):
            return [(item, entry.prediction_id)]
        case Submitting(item=item):
            return [(item, entry.t), (item, entry.output)]
        case Claimed(item=item):
            return [(item, entry.output)]
    return []


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The outermost sound JSON objects of a file that tell of an item or a run, however they are laid out."""
    text = ""
    with suppress(OSError, ValueError):
        data = path.read_bytes()
        text = data.decode(json.detect_encoding(data), "surrogateescape")
    at = text.find("{")
    while at >= 0:
        end = at + 1
        with suppress(ValueError, RecursionError):
            value, after = _decode_at(text, at)
            text[at:after].encode()  # bytes that are no text raise
            if {"event", "status"} & value.keys():
                yield value
                end = after
        at = text.find("{", end)
