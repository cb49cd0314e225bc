"""What this run has read of its manifest, and the names it has given, in memory that doesn't grow with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from copy import copy
from itertools import chain, islice, takewhile

from batch_removebg.hashing import hash64
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item

from .bitset import Bitset
from .database import Database, Found
from .indexed_state import IndexedFold
from .schema import rows

_AT_HAND = 4096  # items, or names, in memory; more of them, where they aren't on record, go to a temporary file
_CACHE = 2000  # kiB of such a file in memory
_FEW = 500  # items that are looked up together


class RunItems:
    """The items of this run: those on record by their numbers, the others as they were read.

    Filled in the reader's thread, and read when a snapshot or the summary is made.
    """

    def __init__(self, fold: IndexedFold) -> None:
        self.fold = fold
        self.numbers = fold.items.touched = Bitset()
        """Items of this run that are on record."""
        self.names = Names(fold)
        self._waiting: dict[str, Item] = {}
        self._disk: Database | None = None
        self._spilled = 0

    def frozen(self, fold: IndexedFold) -> RunItems:
        """The same as it is, over a frozen fold."""
        still = copy(self)
        still.fold, still._waiting = fold, dict(self._waiting)
        return still

    def close(self) -> None:
        """Delete the temporary file."""
        self.names.close()
        if self._disk is not None:
            self._disk.close()

    def steady(self) -> AbstractContextManager[None]:
        """Queries in the block lock the index once instead of each time; other threads wait."""
        return self.fold.database.steady()

    def done(self, numbers: Iterable[int]) -> None:
        """Record items of the ledger that need nothing."""
        self.numbers.update(numbers)

    def begin(self, item: Item) -> None:
        """Record an item that is to be done."""
        held = self.fold.items.expect(item.id)
        if held is not None:
            self.numbers.add(held.n)
        if len(self._waiting) >= _AT_HAND:
            self._spill()
        self._waiting[item.id] = item

    def _spill(self) -> None:
        left = {key: item for key, item in self._waiting.items() if not self._settled(key)}
        if len(left) > _AT_HAND // 2:
            self._disk = self._disk or Database.build(cache=_CACHE)
            states = ((key, ItemState(source=item.source, meta=item.meta)) for key, item in left.items())
            self._disk.write(rows([(n, *each) for n, each in enumerate(states, self._spilled + 1)]), (), ())
            self._spilled += len(left)
            left = {}
        self._waiting = left

    def _settled(self, key: str) -> bool:
        state = self.fold.items.get(key)
        return state is not None and state.outcome != "pending"

    # What results.json and the summary ask

    def get(self, key: str) -> Item | None:
        """The item as the manifest of this run has it, if it was to be done."""
        found = self._waiting.get(key)
        if found is not None or self._disk is None:
            return found
        return next((_item(each) for each in self._disk.find(hash64(key)) if each[1] == key), None)

    def unknown(self) -> Iterator[Item]:
        """The items of this run that the ledger doesn't know."""
        fold, items = self.fold, self._items()
        while some := list(islice(items, _FEW)):
            hashes = fold.database.known([hash64(item.id) for item in some])
            for item in some:
                known = fold.changing(item.id) or (hash64(item.id) in hashes and item.id in fold.items)
                if not known:
                    yield item

    def _items(self) -> Iterator[Item]:
        spilled = self._disk.every() if self._disk is not None else iter(())
        return chain(map(_item, takewhile(lambda each: each[0] <= self._spilled, spilled)), self._waiting.values())

    def counts(self) -> dict[str, int]:
        """The items of this run by outcome."""
        counts = self.fold.counts(self.numbers)
        unknown = sum(1 for _ in self.unknown())
        return {**counts, "total": counts["total"] + unknown, "pending": counts["pending"] + unknown}

    def failed(self) -> Iterator[tuple[str, ItemState]]:
        """The items of this run that failed."""
        return self.fold.failed(self.numbers)

    def flagged(self) -> Iterator[tuple[str, ItemState]]:
        """The items of this run that are saved and worth a look."""
        return self.fold.flagged(self.numbers)


def _item(found: Found) -> Item:
    _, key, state = found
    return Item(key, state.source, "", meta=state.meta or {})


class Names:
    """Which item owns which name: those on record, and those that this run has given."""

    def __init__(self, fold: IndexedFold) -> None:
        self._fold = fold
        self._owners: dict[int, int] = {}
        self._folders: set[int] = set()
        self._disk: Database | None = None

    def close(self) -> None:
        """Delete the temporary file."""
        if self._disk is not None:
            self._disk.close()

    def owner(self, h: int) -> int | None:
        """The hash of the item that the name with hash `h` belongs to."""
        owner = self._owners.get(h)
        if owner is None:
            owner = self._fold.database.owner(h)
        return owner if owner is not None or self._disk is None else self._disk.owner(h)

    def has_folder(self, h: int) -> bool:
        """Whether a name lies below the folder with hash `h`."""
        if h in self._folders or self._fold.database.has_folder(h):
            return True
        return self._disk is not None and self._disk.has_folder(h)

    def take(self, h: int, owner: int, folders: Iterable[int]) -> None:
        """Give a free name to an item."""
        if len(self._owners) >= _AT_HAND:
            self._spill()
        self._owners.setdefault(h, owner)
        self._folders.update(folders)

    def _spill(self) -> None:
        database = self._fold.database
        left = [(h, owner) for h, owner in self._owners.items() if database.owner(h) is None]
        self._disk = self._disk or Database.build(cache=_CACHE)
        self._disk.write((), left, [h for h in self._folders if not database.has_folder(h)])
        self._owners, self._folders = {}, set()
