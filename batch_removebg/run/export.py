"""Pictures handed over by what was decided about them: copied to a folder, or listed in a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from batch_removebg.errors import DiskError, SettingsError
from batch_removebg.hashing import sha256_hex
from batch_removebg.ledger.decisions import Decided, Decisions
from batch_removebg.ledger.events import Rendition
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.journal import look
from batch_removebg.ledger.results import csv_line, shown
from batch_removebg.ledger.state import ItemState
from batch_removebg.net.urls import scrubbed
from batch_removebg.storage.atomic import make_folder, write_all, write_atomic
from batch_removebg.storage.layout import INDEX, LEDGER

_COLUMNS = ("id", "source", "output", "decision", "note", "t", "flags")
Chosen = tuple[str, ItemState, Decided | None, list[Rendition]]  # an item, and its pictures


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pictures are handed over."""

    verdicts: Collection[str]
    preset: str | None = None
    flag: str | None = None

    def of(self, fold: IndexedFold, decisions: Decisions) -> Iterator[Chosen]:
        """The items that have one, but for those that are gone."""
        for item, state in fold.each():
            said = decisions.last(item, state)
            if (said.verdict if said else "undecided") not in self.verdicts or state.outcome != "saved" or state.gone:
                continue
            pictures = [one for one in state.renditions if self.preset in (None, one.preset)]
            if pictures and (self.flag is None or self.flag in state.flags):
                yield item, state, said, pictures


@dataclass(slots=True)
class Exported:
    """What came of it; `say` is told of each picture that can't be handed over."""

    to: Path
    say: Callable[[str], None]
    pictures: int = 0
    items: int = 0
    lacking: int = 0

    def __str__(self) -> str:
        lacking = f"; {self.lacking} couldn't be handed over" if self.lacking else ""
        return f"{self.to}: {self.pictures} pictures of {self.items} items{lacking}"

    def add(self, problem: str | None) -> bool:
        """Count a picture, or tell of its problem; returns whether there was none."""
        self.pictures, self.lacking = self.pictures + (problem is None), self.lacking + (problem is not None)
        if problem is not None:
            self.say(problem)
        return problem is None


def export(out: Path, to: Path, choice: Choice, say: Callable[[str], None]) -> Exported:
    """Copy the chosen pictures into a folder, or list them in `to` if that is a .csv; a run may go on meanwhile.

    Nothing is overwritten but an earlier table. Raises SettingsError, DiskError, and LedgerError where ledger or
    decisions can't be read. Blocks.
    """
    if not (out / LEDGER).is_file():
        raise SettingsError(f"{out} holds no {LEDGER}; give the --out of a run")
    done, table = Exported(to, say), to.suffix.lower() == ".csv" and not to.is_dir()
    if table and os.path.lexists(to) and not (_read(to) or b"").startswith(csv_line(_COLUMNS).rstrip().encode()):
        raise SettingsError(f"--to {to}: there is another file of that name; move it away, or give another one")
    if not table and to.resolve().is_relative_to(out.resolve()):
        raise SettingsError(f"--to {to} lies in {out}; give a folder of its own")
    make_folder(to.absolute().parent if table else to)
    with closing(look(out / LEDGER, out / INDEX)) as fold:
        chosen = partial(choice.of, fold, Decisions.read(out))
        if table:
            columns = list(dict.fromkeys(chain(*(state.meta or () for _, state, _, _ in chosen()))))
            write_atomic(to, (row.encode("utf-8", "backslashreplace") for row in _rows(out, chosen(), columns, done)))
        else:
            for _, state, _, pictures in chosen():
                done.items += 1
                for one in pictures:
                    done.add(_copied(out / state.place(one.output), one, to))
    return done


def _copied(path: Path, picture: Rendition, to: Path) -> str | None:
    """Copy a picture to its name in a folder, if it isn't there; returns why that can't be."""
    target = to / picture.output
    if (data := _read(path)) is None:
        return f"{path} is missing, or can't be read"
    if sha256_hex(data) != picture.sha256:
        return f"{path} isn't the picture on record: it was changed, or is made anew just now"
    if os.path.lexists(target):
        known = _read(target) == data
        return None if known else f"{target} is another picture, and stays; move it away, or give another --to"
    [error] = write_all(to, [(picture.output, data)])
    if isinstance(error, DiskError):
        raise error
    return None if error is None else str(error)


def _rows(out: Path, chosen: Iterable[Chosen], columns: Sequence[str], done: Exported) -> Iterator[str]:
    """The table, without the pictures that aren't there."""
    yield csv_line((*_COLUMNS, *(f"{scrubbed(name)}{'_' * (name in _COLUMNS)}" for name in columns)))
    for item, state, said, pictures in chosen:
        done.items += 1
        places = [state.place(one.output) for one in pictures]
        there = [one for one in places if done.add(None if (out / one).is_file() else f"{out / one} is missing")]
        if there:
            verdict = (said.verdict, said.note, said.t) if said else ("undecided", "", "")
            row = item, state.source, " | ".join(there), *verdict, " ".join(state.flags)
            yield csv_line((*row, *(shown((state.meta or {}).get(name)) for name in columns)))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
