"""The items of an OUT as its ledger and decisions have them, followed while a run goes on. It blocks."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from batch_removebg.clock import Clock
from batch_removebg.errors import IndexDamaged, LedgerError, SettingsError
from batch_removebg.ledger import codec
from batch_removebg.ledger.decisions import NEWS, Decided, Decisions
from batch_removebg.ledger.index.database import Found
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.schema import FLAGGED, MOVED
from batch_removebg.ledger.journal import look, read
from batch_removebg.ledger.results import head
from batch_removebg.ledger.state import ItemState, on_record
from batch_removebg.storage.layout import INDEX, LEDGER, STATE
from batch_removebg.storage.lock import held

from .protocol import Query, refused
from .views import Facts, Mask, Numbers

_MOST_LIVE = 20_000  # items that have changed since the index was opened, before it is opened anew
_REMEMBERED = 20_000  # changes that are known one by one; of more, all is read again
_LOOKED = 500  # items that are looked at for columns before all are read
_TAIL = 64 << 20  # last bytes of the ledger that an item's history is looked for in
_MASKS = 16  # results of searches that are kept


class Items:
    """What an OUT holds: `open`, then `refresh` now and then; any thread may ask."""

    fold: IndexedFold
    decisions: Decisions

    def __init__(self, out: Path, clock: Clock) -> None:
        """Raises SettingsError where the folder has no ledger."""
        self.out, self._ledger, self._clock = out, out / LEDGER, clock
        if not self._ledger.is_file():
            raise SettingsError(f"{out} holds no {LEDGER}; give the --out of a run")
        self.revision = round(clock.wall() * 1000)  # rises with every change; no other server of this OUT has the same
        self.columns: set[str] = set()
        self.progress = 0.0  # share of the items that `facts` has read
        self.facts: Facts | None = None
        self._facts_of = 0  # revision
        self._known_from = self.revision
        self._changes: deque[tuple[int, set[int]]] = deque()
        self._late: dict[int, str] = {}  # ids of items that have changed since the index was written
        self._masks: dict[object, Mask] = {}
        self._lock, self._reading = RLock(), RLock()

    def open(self) -> None:
        """Read what has to be read first; raises LedgerError."""
        with self._lock:
            self._look()
            self.decisions = Decisions.read(self.out)
            self.decisions.news.clear()
            first = islice(self.fold.items.every(), _LOOKED)
            self.columns = {name for _, _, state in first for name in state.meta or ()}

    def close(self) -> None:
        """Close the index; what is reading it ends."""
        with suppress(AttributeError):  # it may not have been opened
            self.fold.close()

    def _look(self) -> None:
        at_rest = not Path(f"{self.out / INDEX}-wal").exists()
        fold = look(self._ledger, self.out / INDEX)
        self.close()
        self.fold, self._inode = fold, self._ledger.stat().st_ino
        self._at_rest = at_rest  # then a run that begins changes the file under our eyes
        self._late = {held.n: key for key, held in fold.items.live.items()}

    def refresh(self) -> None:
        """See what has changed meanwhile; raises Refusal where OUT is gone, LedgerError where it makes no sense."""
        with self._lock:
            try:
                status = self._ledger.stat()
            except OSError as error:
                raise refused(f"{self._ledger} is gone; bring the folder back, or end this review", 503) from error
            end, changed = self.fold.checkpoint.end, set[int]()
            same = status.st_ino == self._inode and status.st_size >= end
            if same:
                changed = self._follow()
            else:
                self._look()
            self.decisions.refresh()
            decided = [*map(on_record, self.decisions.news)]
            self.decisions.news.clear()
            same = same and len(decided) < NEWS
            changed.update(self._numbers(decided) if same else ())
            if not same or changed or end != self.fold.checkpoint.end:
                self._moved(changed if same else None)

    def _moved(self, changed: set[int] | None) -> None:
        self.revision += 1
        self._masks.clear()
        if changed is None:
            self._changes.clear()
            self._known_from, self.facts = self.revision, None
        else:
            self._changes.append((self.revision, changed))
        while sum(len(some) for _, some in self._changes) > _REMEMBERED:
            self._known_from = self._changes.popleft()[0]

    def _follow(self) -> set[int]:
        """Take what the ledger has got; returns the numbers of the items that it is about."""
        fold, names = self.fold, list[str]()
        entries = list(read(self._ledger, fold.checkpoint.end, fold.checkpoint.lines))
        for entry, _ in entries:
            names += [getattr(entry, name) for name in ("item", "was") if hasattr(entry, name)]
        if entries and (self._at_rest or len(fold.items.live) > _MOST_LIVE):
            self._look()
        else:
            for entry, _ in entries:
                fold.apply(entry)
            fold.checkpoint = fold.checkpoint.longer([line for _, line in entries])
            live = fold.items.live
            self._late |= {live[key].n: key for key in map(on_record, names) if key in live}
        return set(self._numbers(map(on_record, names)))

    def _numbers(self, names: Iterable[str]) -> Iterator[int]:
        return (found.n for name in dict.fromkeys(names) if (found := self.fold.items.held(name)) is not None)

    def changed(self, since: int) -> set[int] | None:
        """The numbers of the items that have changed since a revision; None where that isn't known any more."""
        with self._lock:
            if not self._known_from <= since <= self.revision:
                return None
            return {n for revision, some in self._changes if revision > since for n in some}

    def several(self, numbers: Sequence[int]) -> list[Found]:
        """The items with these numbers, in this order; those that there are."""
        with self._lock:
            for again in (False, True):
                with suppress(IndexDamaged, sqlite3.Error):
                    if again:
                        self._look()
                    late = {n: self._late[n] for n in numbers if n in self._late}
                    kept = self.fold.database.numbered(n for n in numbers if n not in late)
                    found = {n: (n, key, state) for n, key, state in kept}
                    found |= {n: (n, key, self.fold.items[key]) for n, key in late.items()}
                    return [found[n] for n in numbers if n in found]
        raise LedgerError(f"{self.out / INDEX} can't be read; run the same command again to rebuild it")

    def verdict(self, key: str, state: ItemState) -> str:
        """What was decided about an item's picture, in a word."""
        found = self.decisions.of(key, state)
        return found.verdict if found is not None else "undecided"

    def append(self, entries: Sequence[Decided]) -> str:
        """Put decisions on disk, durably; returns their stamp. Raises DiskError, LedgerError."""
        stamp = self._clock.stamp()
        with self._lock:
            self.decisions.append(entries, stamp)
        return stamp

    def edit(self, state: ItemState) -> str | None:
        """The sha256 of an item's alpha that somebody has touched up; None where there is none."""
        found = self.decisions.edit(state)
        return found.alpha if found is not None else None

    def all(self) -> Numbers:
        """The numbers of all items in order, but for those that have other ids now."""
        with self._lock:
            moved = {n for n, _ in self.fold.database.marked(MOVED)}
            numbers = range(1, self.fold.items.last + 1)
            return [n for n in numbers if n not in moved] if moved else numbers

    def read_facts(self) -> Facts:
        """What items are filtered by, as it is now: all is read once, then what changes."""
        with self._reading:
            now, changed = self.revision, self.changed(self._facts_of)
            if (facts := self.facts) is None or changed is None:
                facts, last = Facts(), self.fold.items.last
                facts.grow(last)
                for n, key, state in self.fold.items.every():
                    self._put(facts, n, key, state)
                    self.progress = n / last
                self.columns = facts.columns
            else:
                for found in self.several([*changed]):
                    self._put(facts, *found)
            self.facts, self._facts_of = facts, now
            return facts

    def _put(self, facts: Facts, n: int, key: str, state: ItemState) -> None:
        facts.put(n, key, state, self.verdict(key, state), edited=self.edit(state) is not None)

    def choose(self, query: Query) -> tuple[Numbers, dict[str, dict[str, int]]]:
        """The numbers of a query's items in its order, and facets."""
        with self._reading:
            facts = self.read_facts()
            ranks = self.fold.database.by_id() if query.sort == "id" else ()
            return facts.chosen(query, [*self._searches(query)], ranks)

    def _searches(self, query: Query) -> Iterator[Mask]:
        for texts, column in ((query.texts, None), *((values, name) for name, values in query.columns.items())):
            if texts and (texts, column) not in self._masks:
                if len(self._masks) >= _MASKS:
                    self._masks.clear()
                self._masks[texts, column] = self._search(texts, column)
            if texts:
                yield self._masks[texts, column]

    def _search(self, texts: Collection[str], column: str | None) -> Mask:
        """Which items have one of the texts in id, names or error, or are equal to one in a column."""
        lowered = {text.lower() for text in texts}
        likely = {n for text in texts for n in self.fold.database.mentioning(text)} | {*self._late}
        mask = np.zeros(self.fold.items.last + 1, np.bool_)
        for n, key, state in self.several(sorted(likely)):
            if column is None:
                told = "\n".join((key, state.source, state.output or "", state.error_message or "")).lower()
                mask[n] = any(text in told for text in lowered)
            else:
                mask[n] = str((state.meta or {}).get(column, "")).lower() in lowered
        return mask

    def last_used(self) -> tuple[str, str]:
        """The provider of the last run, and the version of its model."""
        with self._lock:
            return self.fold.provider, self.fold.version

    def settings(self) -> Mapping[str, Any]:
        """The last run's settings that weren't the default."""
        with self._lock:
            return self.fold.settings

    def history(self, key: str) -> list[dict[str, str]]:
        """What ledger and decisions tell of an item, the oldest first, as far as the last lines of each go."""
        found, mark = list[dict[str, str]](), codec.encode(key)
        for path in (self._ledger, self.decisions.path):
            with suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                for line in (line for line in file if mark in line):
                    with suppress(ValueError, LookupError, TypeError, RecursionError):  # it is torn, or edited
                        if (entry := codec.decode(line))["item"] == key:
                            event = entry.get("verdict", entry["event"])
                            told = (entry.get(name) for name in ("message", "output", "prediction_id", "was", "note"))
                            found.append({"t": entry["t"], "event": event, "text": next(filter(None, told), "")})
        return sorted(found, key=lambda each: each["t"])

    def told(self) -> dict[str, Any]:
        """What is told of the run as a whole."""
        with self._lock:
            counts = self.fold.counts()
            found = head(self.fold, counts, held=held(self.out / STATE))
            counts["gone"], counts["flagged"] = found["gone"], len(self.fold.database.marked(FLAGGED))
            return {**{name: found[name] for name in ("provider", "version", "engine", "run")}, "counts": counts}
