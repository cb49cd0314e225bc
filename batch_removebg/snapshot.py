"""results.json as of one moment: out of the index, in a thread beside the run, and only where it would change."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from batch_removebg import results
from batch_removebg.files import signature
from batch_removebg.index import IndexedFold, Reading
from batch_removebg.ledger import Ledger


async def write_snapshot(path: Path, ledger: Ledger, reading: Reading) -> None:
    """Write `path` as things stand; raises DiskError, and LedgerError where the index can't be read."""
    async with ledger.still() as fold:
        await anyio.to_thread.run_sync(_write, path, fold, reading.frozen(fold))


def _write(path: Path, fold: IndexedFold, reading: Reading) -> None:
    import sqlite3

    says = _says(fold, reading)
    if says is not None and path.exists() and fold.store.meta("results") == [*says, signature(path)]:
        return
    results.write(path, results.render(fold, reading))
    if says is not None:
        with suppress(sqlite3.Error):  # it will be written once more, that is all
            fold.store.put_meta("results", [*says, signature(path)])


def _says(fold: IndexedFold, reading: Reading) -> list[object] | None:
    """What all of the file follows from; None where items are pending, of which the manifest may say something new."""
    if fold.states.live or fold.counts()["pending"] or next(reading.unknown(), None) is not None:
        return None
    return [fold.store.meta("changes"), fold.provider, fold.version, fold.predictions, fold.possible_duplicates]
