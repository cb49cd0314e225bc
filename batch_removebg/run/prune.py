"""Pictures that nobody asks for any more are moved aside; never deleted."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path, PurePath

from batch_removebg.errors import BatchError
from batch_removebg.ledger.events import Saved
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.journal import read
from batch_removebg.ledger.state import ItemState, names_of
from batch_removebg.storage.atomic import digest, move
from batch_removebg.storage.layout import LEDGER, PRUNED


def prune(out: Path, fold: IndexedFold, stamp: str) -> int:
    """Move pictures of items that are gone aside, and those under earlier names of items; returns their number.

    A file stays where it isn't what the last `saved` line of its name says: then it is somebody else's.
    """
    aside, moved, kept = out / PRUNED / re.sub(r"[^0-9TZ]", "", stamp), 0, set[str | None]()
    stale = {name for _, state in fold.each() for name in _stale(state)}
    if stale:
        kept = {state.output for _, state in fold.each() if not state.gone and state.output in stale}
        written = {line.output: line.sha256 for line, _ in read(out / LEDGER) if isinstance(line, Saved)}
    for name in sorted(stale - kept):
        with suppress(OSError, BatchError):  # it isn't there, or can't be moved
            if digest(out / name) == written.get(name):
                move(out, name, aside)
                moved += 1
    return moved


def _stale(state: ItemState) -> list[str]:
    """The names that the item is not to have any more; its pictures in other formats serve it still."""
    kind = PurePath(state.output or "").suffix
    return [name for name in names_of(state) if state.gone or (name != state.output and PurePath(name).suffix == kind)]
