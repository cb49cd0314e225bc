"""results.json as of one moment: out of the index, in a thread beside the run, and only where it would change."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from batch_removebg.storage.atomic import signature

from . import results
from .index import IndexedFold, Reading, Store
from .journal import Ledger


async def write_snapshot(path: Path, ledger: Ledger, reading: Reading) -> None:
    """Write `path` as things stand; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        still = reading.frozen(fold)
        said = await anyio.to_thread.run_sync(_write, path, fold, still)
    if said is not None:
        await anyio.to_thread.run_sync(_note, reading.fold.store, [*said, signature(path)])


def _write(path: Path, fold: IndexedFold, reading: Reading) -> list[object] | None:
    """Write it, unless it is there; returns what it follows from, where that has to be noted."""
    says = _says(fold, reading)
    if says is not None and path.exists() and fold.store.meta("results") == [*says, signature(path)]:
        return None
    results.write(path, results.render(fold, reading))
    return says


def _note(store: Store, says: list[object]) -> None:
    import sqlite3

    with suppress(sqlite3.Error):  # it will be written once more, that is all
        store.put_meta("results", says)


def _says(fold: IndexedFold, reading: Reading) -> list[object] | None:
    """What all of the file follows from; None where items are pending, of which the manifest may say something new."""
    if fold.states.live or fold.counts()["pending"] or next(reading.unknown(), None) is not None:
        return None
    told = (fold.provider, fold.version, fold.engine, fold.predictions, fold.possible_duplicates)
    return [fold.store.meta("changes"), *told]
