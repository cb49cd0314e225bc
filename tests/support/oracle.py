"""What the ledger's code is compared with: lines written by `json` alone, and a fold that is plainly in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batch_removebg.clock import stamp
from batch_removebg.hashing import hash64
from batch_removebg.ledger.events import Entry, lenient
from batch_removebg.ledger.index.database import Database
from batch_removebg.ledger.index.schema import FAILED, FLAGGED, mark
from batch_removebg.ledger.journal import read
from batch_removebg.ledger.state import Fold, ItemState, unsigned
from batch_removebg.storage.naming import DEFAULT_TEMPLATE, Claims, folders_of, name_key

NOW = 1_800_000_000.0


def line(event: str, *, at: float = NOW, **fields: Any) -> bytes:
    """A line with any fields."""
    entry = {"v": 1, "t": stamp(at), "event": event, **fields}
    try:
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def entry(event: str, **fields: Any) -> Entry:
    """A record with any fields, as it is read from a line."""
    return lenient({"event": event, **fields})


def saved(**other: Any) -> dict[str, Any]:
    """The fields of a `saved` line of an item `shoe`, and others beside or instead."""
    picture = {"output": "shoe.png", "sha256": "5e", "bytes": 10, "width": 4, "height": 3}
    bought = {"prediction_id": "p1", "attempts": 1, "seconds": 1.5, "reused": False}
    return {"event": "saved", "item": "shoe", "source": "in/shoe.jpg", **picture, **bought, **other}


class Oracle(Fold):
    """The fold with all states in memory, and every question answered by a look at each."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, ItemState] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Oracle) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))

    __hash__ = None

    def change(self, item: str) -> ItemState:
        return self.items.setdefault(item, ItemState())

    def done(self, keys: Sequence[int | None]) -> list[None]:
        """Nothing is found quickly: each item is looked at."""
        return [None for _ in keys]

    def counts(self, unknown: int | None = None) -> dict[str, int]:
        by = Counter(
            ("moved" if state.nameless else "gone") if state.gone else state.outcome for state in self.items.values()
        )
        pending = max(by["pending"], self.run.pending) if unknown is None else by["pending"] + unknown
        named = {"saved": by["saved"], "failed": by["failed"], "pending": pending}
        return {"total": sum(named.values()), **named, "gone": by["gone"]}

    def each(self, mask: int | None = None) -> Iterator[tuple[str, ItemState]]:
        return ((key, state) for key, state in self.items.items() if mask is None or mark(state) & mask)

    def in_flight(self) -> int:
        return sum(state.in_flight for state in self.items.values())

    def failed(self) -> Iterator[tuple[str, ItemState]]:
        return ((key, state) for key, state in self.items.items() if state.outcome == "failed" and not state.gone)

    def flagged(self) -> Iterator[tuple[str, ItemState]]:
        return ((key, state) for key, state in self.items.items() if mark(state) & FLAGGED)

    def has_prediction(self, prediction_id: str) -> bool:
        return any(state.prediction_id == prediction_id for state in self.items.values())

    def filed(self, state: ItemState) -> ItemState:
        return state

    def of_hash(self, h: int) -> list[str]:
        return [key for key in self.items if hash64(unsigned(key)) == h]

    def made(self, fingerprint: str) -> Iterator[ItemState]:
        return (one for one in self.items.values() if one.is_made and one.fingerprint == fingerprint)

    def unsettled(self) -> Iterator[ItemState]:
        return (state for state in self.items.values() if state.in_flight or state.lost is not None)


class InMemory:
    """Owners of names, in memory."""

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        """`known`: (item id, output) pairs of earlier runs."""
        self._owners: dict[int, int] = {}
        self._folders: set[int] = set()
        for item, name in known:
            self.take(hash64(name_key(name)), hash64(item), folders_of(name))

    def owner(self, h: int) -> int | None:
        return self._owners.get(h)

    def given(self, h: int) -> bool:
        return h in self._owners

    def has_folder(self, h: int) -> bool:
        return h in self._folders

    def take(self, h: int, owner: int, folders: Iterable[int]) -> None:
        self._owners.setdefault(h, owner)
        self._folders.update(folders)


def namer(extension: str, template: str = DEFAULT_TEMPLATE, known: Iterable[tuple[str, str]] = ()) -> Claims:
    """What gives names, with nobody's index."""
    return Claims(extension, template, owners=InMemory(known))


def new_database(path: Path | None = None) -> Database:
    """An index of nothing."""
    database = Database.build(path)
    database.built()
    if path is None:
        return database
    database.close()
    return Database.open(path)


def oracle(*entries: dict[str, Any]) -> Oracle:
    """The fold of lines given as dicts."""
    fold = Oracle()
    for each in entries:
        fold.apply(lenient(each))
    return fold


def replay(path: Path) -> tuple[Oracle, int]:
    """The fold of the ledger at `path`, and the length in bytes of its sound part; raises LedgerError as a run does."""
    fold, sound = Oracle(), 0
    for each, written in read(path):
        fold.apply(each)
        sound += len(written)
    return fold, sound


def same(fold: Any, known: Oracle) -> None:
    """Every question has the same answer."""
    ids = [*known.items, "", "new"]
    assert dict(fold.each()) == dict(known.each())
    assert [key for key, _ in fold.each()] == list(known.items)
    assert {key: fold.items.get(key) for key in ids} == {key: known.items.get(key) for key in ids}
    assert fold.counts() == known.counts()
    assert fold.in_flight() == known.in_flight()
    assert list(fold.unsettled()) == list(known.unsettled())
    assert [key for key, _ in fold.each(FAILED)] == [key for key, _ in known.failed()]
    assert [key for key, _ in fold.each(FLAGGED)] == [key for key, _ in known.flagged()]
    assert len(fold.items) == len(known.items)
    for name in [*filter(None, (state.prediction_id for state in known.items.values())), "p3"]:
        assert fold.has_prediction(name) or not known.has_prediction(name)  # what an item had before may count, too
    assert not fold.has_prediction("nobody's")
    for name in [*known.saved_for, "f3"]:
        assert sorted(map(repr, fold.made(name))) == sorted(map(repr, known.made(name)))
    told = ("provider", "version", "engine", "predictions", "billed", "possible_duplicates", "run")
    assert [getattr(fold, name) for name in told] == [getattr(known, name) for name in told]
