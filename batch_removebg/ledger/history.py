"""What earlier runs have left on record, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from batch_removebg.errors import LedgerError

from .events import Entry, Renamed, RunStarted, decode
from .index.database import Database
from .index.indexed_state import IndexedFold
from .journal import read
from .state import ItemState, on_record

KINDS = ("new", "changed", "gone", "worse", "better")
_MANY = 2000  # items or lines that are in memory at once


class Recorded(NamedTuple):
    """A run on record."""

    id: str | None  # None in ledgers of older versions
    started: str
    lines: int  # of the ledger, up to its end


class Difference(NamedTuple):
    """What became of an item between two runs: one of KINDS, and its state after each, None where it wasn't there."""

    item: str
    kind: str
    was: ItemState | None
    now: ItemState | None


def runs(path: Path) -> list[Recorded]:
    """The runs of a ledger in their order, passes of one as one; raises LedgerError where it can't be read."""
    found, number = list[Recorded](), 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                begun = decode(line, number) if b'"run_started"' in line else None
                if isinstance(begun, RunStarted) and (not found or begun.id is None or begun.id != found[-1].id):
                    found.append(Recorded(begun.id, begun.t, number - 1))
    except OSError as error:
        raise LedgerError(f"{path}: can't be read: {error.strerror or error}") from error
    ends = [one.lines for one in found[1:]] + [number]
    return [one._replace(lines=end) for one, end in zip(found, ends, strict=True)]


def touched(path: Path, lines: int) -> set[int]:
    """The items that a ledger names after its first lines, or that ever had another id, as hashes of their ids."""
    found = set[int]()
    for number, (entry, _) in enumerate(read(path), 1):
        if number > lines or isinstance(entry, Renamed):
            found |= _named(entry)
    return found


def as_of(path: Path, lines: int, only: Set[int]) -> IndexedFold:
    """The fold of some items in a ledger's first lines, in a temporary index; to be closed.

    Raises LedgerError and LedgerDamaged as `read` does.
    """
    fold = IndexedFold(Database.build())
    with fold.database.closed_on_error():
        fold.items.seen = set()
        entries = islice(read(path), lines)
        while some := list(islice(entries, _MANY)):
            for entry, _ in some:
                if not only.isdisjoint(_named(entry)):
                    fold.apply(entry)
            fold.commit()
        fold.items.seen = None
        fold.database.built()
    return fold


def _named(entry: Entry) -> set[int]:
    return {hash(on_record(getattr(entry, name))) for name in ("item", "was") if hasattr(entry, name)}


def differences(before: IndexedFold, after: IndexedFold) -> Iterator[Difference]:
    """The items that differ in two folds of one ledger."""
    first, last = sorted((before, after), key=lambda fold: len(fold.items))
    every = last.each()  # no fold loses an item
    while some := dict(islice(every, _MANY)):
        known = first.items.several(list(some))
        for item, state in some.items():
            was, now = (known.get(item), state) if last is after else (state, known.get(item))
            if kind := compared(was, now):
                yield Difference(item, kind, was, now)


def compared(was: ItemState | None, now: ItemState | None) -> str:
    """One of KINDS; empty where nothing differs. What is worse in one way and better in another is worse."""
    was, now = (None if state is None or state.gone or state.nameless else state for state in (was, now))
    if was is None or now is None:
        return "new" if now is not None else "gone" if was is not None else ""
    (had, had_flags), (has, has_flags) = ((one.outcome == "saved", {*one.flags}) for one in (was, now))
    if had > has or has_flags - had_flags:
        return "worse"
    if had < has or had_flags - has_flags:
        return "better"
    first, last = ([(one.output, one.sha256) for one in each.renditions] for each in (was, now))
    return "changed" if first != last else ""
