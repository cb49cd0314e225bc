"""Pictures handed over by what was decided about them: copied to a folder, or listed in a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

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
_TOGETHER = 1 << 25  # bytes that are written with one fsync of their folder
_NOTHING = Decided(item="", verdict="undecided")
Chosen = tuple[Decided, ItemState, list[Rendition]]  # what was decided about an item, and its pictures


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pictures are handed over."""

    verdicts: Collection[str]
    preset: str | None = None
    flag: str | None = None

    def of(self, fold: IndexedFold, decisions: Decisions) -> Iterator[Chosen]:
        """The items that have a picture, but for those that are gone."""
        for key, state in fold.each():
            if state.outcome != "saved" or state.gone or (self.flag and self.flag not in state.flags):
                continue
            pictures = [one for one in state.renditions if self.preset in (None, one.preset)]
            said = decisions.last(key, state) or _NOTHING
            if pictures and said.verdict in self.verdicts:
                yield replace(said, item=key), state, pictures


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

    def lacks(self, text: str) -> None:
        """Count and tell of a picture."""
        self.lacking += 1
        self.say(text)


def export(out: Path, to: Path, choice: Choice, say: Callable[[str], None]) -> Exported:
    """Copy the chosen pictures into a folder, or list them in `to` if that is a .csv; a run may go on meanwhile.

    Nothing is overwritten but an earlier table. Raises SettingsError, DiskError, and LedgerError where ledger or
    decisions can't be read. Blocks.
    """
    if not (out / LEDGER).is_file():
        raise SettingsError(f"{out} holds no {LEDGER}; give the --out of a run")
    table, done = to.suffix.lower() == ".csv" and not to.is_dir(), Exported(to, say)
    if table:
        _require_ours(to)
    elif to.resolve().is_relative_to(out.resolve()):
        raise SettingsError(f"--to {to} lies in {out}; give a folder of its own")
    with closing(look(out / LEDGER, out / INDEX)) as fold:
        chosen = partial(choice.of, fold, Decisions.read(out))
        if table:
            columns = list(dict.fromkeys(chain(*(state.meta or () for _, state, _ in chosen()))))
            make_folder(to.absolute().parent)
            write_atomic(to, (row.encode("utf-8", "backslashreplace") for row in _rows(out, chosen(), columns, done)))
        else:
            make_folder(to)
            _copy(out, chosen(), done)
    return done


def _copy(out: Path, chosen: Iterable[Chosen], done: Exported) -> None:
    waiting: list[tuple[str, bytes]] = []
    for _, state, pictures in chosen:
        done.items += 1
        for one in pictures:
            path, target = out / state.place(one.output), done.to / one.output
            if (data := _read(path)) is None:
                done.lacks(f"{path} is missing, or can't be read")
            elif sha256_hex(data) != one.sha256:
                done.lacks(f"{path} isn't the picture on record: it was changed, or is made anew just now")
            elif not os.path.lexists(target):
                waiting.append((one.output, data))
            elif _read(target) == data:
                done.pictures += 1
            else:
                done.lacks(f"{target} is another picture, and stays; move it away, or give another --to")
        if sum(len(data) for _, data in waiting) > _TOGETHER:
            _write(waiting, done)
            waiting = []
    _write(waiting, done)


def _write(pictures: Sequence[tuple[str, bytes]], done: Exported) -> None:
    for error in write_all(done.to, pictures):
        if error is None:
            done.pictures += 1
        elif isinstance(error, DiskError):
            raise error
        else:
            done.lacks(str(error))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _rows(out: Path, chosen: Iterable[Chosen], columns: Sequence[str], done: Exported) -> Iterator[str]:
    """The table, without the pictures that aren't there."""
    yield csv_line((*_COLUMNS, *(f"{scrubbed(name)}{'_' * (name in _COLUMNS)}" for name in columns)))
    for said, state, pictures in chosen:
        places = [state.place(one.output) for one in pictures]
        there = [place for place in places if (out / place).is_file()]
        for place in set(places).difference(there):
            done.lacks(f"{out / place} is missing")
        done.items, done.pictures = done.items + 1, done.pictures + len(there)
        if there:
            meta = state.meta or {}
            about = said.item, state.source, " | ".join(there), said.verdict, said.note, said.t, " ".join(state.flags)
            yield csv_line((*about, *(shown(meta.get(name)) for name in columns)))


def _require_ours(path: Path) -> None:
    """Raise SettingsError where the path is taken by something that isn't an earlier table."""
    if os.path.lexists(path) and not (_read(path) or b"").startswith(csv_line(_COLUMNS).rstrip().encode()):
        raise SettingsError(f"--to {path}: there is another file of that name; move it away, or give another one")
