"""Pictures that nobody asks for any more are moved aside; never deleted."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from batch_removebg.errors import BatchError
from batch_removebg.ledger.events import Saved
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.journal import read
from batch_removebg.ledger.state import names_of
from batch_removebg.storage.atomic import digest, move
from batch_removebg.storage.layout import LEDGER, PRUNED, place
from batch_removebg.storage.naming import earlier


def prune(out: Path, fold: IndexedFold, stamp: str) -> int:
    """Move pictures of items that are gone aside, and those under earlier names of items; returns their number.

    Pictures in other formats serve an item still. A file stays where it isn't what a `saved` line of its name says:
    then it is somebody else's.
    """
    aside, moved, written = out / PRUNED / re.sub(r"[^0-9TZ]", "", stamp), 0, set[tuple[str | None, str | None]]()
    stale = {name for _, state in fold.each() for name in names_of(state) if state.gone or earlier(name, state.output)}
    if stale:
        stale.difference_update(one.output for _, state in fold.each() if not state.gone for one in state.renditions)
        lines = (line for line, _ in read(out / LEDGER) if isinstance(line, Saved))
        made = ((one.output, one.sha256) for line in lines for one in line.outputs or (line,))
        written = {one for one in made if one[0] in stale}
    for name, there in ((name, place(name, held=held)) for name in sorted(stale) for held in (False, True)):
        with suppress(OSError, BatchError):  # it isn't there, or can't be moved
            if (name, digest(out / there)) in written:
                move(out, there, aside)
                moved += 1
    return moved
