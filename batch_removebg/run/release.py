"""Held pictures that somebody has accepted come to their places."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path

import anyio
import anyio.to_thread

from batch_removebg.errors import SourceError
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.events import Released
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.schema import FLAGGED
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import ItemState
from batch_removebg.storage.atomic import digest, move
from batch_removebg.storage.layout import HELD


async def release(out: Path, ledger: Ledger, say: Callable[[str], None]) -> int:
    """Move held pictures that are accepted to their names, and record it; returns of how many items.

    For who holds the lock of `out`. `say` is told of what can't be moved, and stays held. Raises DiskError, and
    LedgerError where the decisions can't be read.
    """
    released = 0
    await anyio.to_thread.run_sync(ledger.decisions.refresh)
    for item, state in await anyio.to_thread.run_sync(due, ledger.fold, ledger.decisions):
        if why := await anyio.to_thread.run_sync(_move, out, state):
            say(f"{item} is accepted, and stays held: {why}")
            continue
        await ledger.append(Released(item))
        released += 1
    return released


def due(fold: IndexedFold, decisions: Decisions) -> list[tuple[str, ItemState]]:
    """The items whose held pictures are accepted. Blocks."""
    held = ((item, copy(state)) for item, state in (fold.each(FLAGGED) if decisions.lines else ()) if state.held)
    return [each for each in held if (said := decisions.of(*each)) and said.verdict == "accepted"]


def _move(out: Path, state: ItemState) -> str:
    """Move the pictures of an item that aren't at their places yet, durably; returns why that can't be, or nothing."""
    there = [
        next((root for root in (out / HELD, out) if _is(root / one.output, one.sha256)), None)
        for one in state.renditions
    ]
    if None in there:
        return "its file isn't the picture that was accepted; --force makes it again"
    try:
        for root, one in zip(there, state.renditions, strict=True):
            if root is not None and root != out:  # else moved already, by a run that was killed before it could say so
                move(root, one.output, out)
    except SourceError as error:
        return str(error)
    return ""


def _is(path: Path, sha256: str | None) -> bool:
    with suppress(OSError, SourceError):
        return digest(path) == sha256
    return False
