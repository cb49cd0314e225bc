"""Finds the items of a manifest's rows without a query for each: most manifests have the order of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from batch_removebg.hashing import hash64

from .database import Database


class Lookahead:
    """Reads ahead the keys of the next finished items, which may have run in another order: unmatched ones are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 1
        self._numbers: dict[int | None, int] = {}

    def find(self, keys: Sequence[int | None], ids: Sequence[str]) -> list[int | None]:
        """For each of `done_keys` the number of the saved item with that key and id, None where there is none."""
        most = 2 * len(keys)
        if len(self._numbers) < most and (rows := self._database.finished(self._next, most)):
            self._next = rows[-1][1] + 1
            self._numbers.update(rows)
        found: list[int | None] = list(map(self._numbers.pop, keys, repeat(None)))
        if missed := [nth for nth, n in enumerate(found) if n is None and keys[nth] is not None]:
            self._look_up(missed, keys, ids, found)
        return found

    def _look_up(
        self, missed: Sequence[int], keys: Sequence[int | None], ids: Sequence[str], found: list[int | None]
    ) -> None:
        """Find the others by their ids; continue from there if the manifest does."""
        hashes = [hash64(ids[nth]) for nth in missed]
        hints = {h: (n, done) for h, n, done in self._database.chosen(hashes) if done is not None}
        met, by_id = sum(n is not None for n in found), 0
        for nth, h in zip(missed, hashes, strict=True):
            n, key = hints.get(h, (None, None))
            if n is not None and key == keys[nth]:
                found[nth], by_id, last = n, by_id + 1, n
        if by_id > met:
            self._numbers, self._next = {}, last + 1
