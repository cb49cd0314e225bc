"""What this run has read of its manifest, and the names it has given, in memory that doesn't grow with the rows."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from hashlib import sha256
from itertools import chain, islice, takewhile
from pathlib import Path
from tempfile import SpooledTemporaryFile

from batch_removebg.hashing import hash64
from batch_removebg.ledger.codec import decode, encode
from batch_removebg.ledger.state import ItemState, unsigned
from batch_removebg.model import Item, Lot
from batch_removebg.storage.atomic import disk_errors

from .bitset import Bitset
from .database import Database, Found
from .indexed_state import IndexedFold
from .schema import GONE, MOVED, row

_AT_HAND = 4096  # items, or names, in memory; more of them, where they aren't on record, go to a temporary file
_CACHE = 2000  # kiB of such a file in memory
_FEW = 500  # items that are looked up together
_BLOCK = 1 << 16  # bytes of rows that are looked up together, about


class RunItems:
    """The items of this run: those on record by their numbers, the others as they were read, in the reader's thread."""

    def __init__(self, fold: IndexedFold) -> None:
        self.fold = fold
        self.numbers = fold.items.touched = Bitset()  # of those on record
        self._waiting: dict[str, Item] = {}
        self._disk = Database.build(cache=_CACHE)
        self._spilled = 0
        self.names = Names(fold.database, self._disk)
        self.table = Table(fold.database.path)

    def close(self) -> None:
        """Give up what is on the disk."""
        self._disk.close()
        self.table.close()

    def frozen(self, fold: IndexedFold) -> RunItems:
        """The same as it is, over a frozen fold."""
        still = copy(self)
        still.fold, still._waiting = fold, dict(self._waiting)
        return still

    def begin(self, item: Item) -> None:
        """Record an item that is to be done."""
        held = self.fold.items.held(item.id)
        if held is not None:
            self.numbers.add(held.n)
        if len(self._waiting) >= _AT_HAND:
            self._spill()
        self._waiting[item.id] = item

    def _spill(self) -> None:
        states = {key: self.fold.items.get(key, ItemState()) for key in self._waiting}
        left = {key: item for key, item in self._waiting.items() if states[key].outcome == "pending"}
        if len(left) > _AT_HAND // 2:
            made = ((key, ItemState(source=item.source, meta=item.meta)) for key, item in left.items())
            self._disk.write([row(n, *each) for n, each in enumerate(made, self._spilled + 1)], (), ())
            self._spilled += len(left)
            left = {}
        self._waiting = left

    def get(self, key: str) -> Item | None:
        """The item as the manifest of this run has it, if it was to be done."""
        found = self._waiting.get(key)
        if found is not None or not self._spilled:
            return found
        return next((_item(each) for each in self._disk.find(hash64(unsigned(key))) if each[1] == key), None)

    def unknown(self) -> Iterator[Item]:
        """The items of this run that the ledger doesn't know."""
        fold, spilled = self.fold, takewhile(lambda each: each[0] <= self._spilled, self._disk.every())
        items = chain(map(_item, spilled), self._waiting.values())
        while some := list(islice(items, _FEW)):
            late = dict(fold.items.live)
            hashes = {h for h, _ in fold.database.chosen("h", [hash64(unsigned(item.id)) for item in some])}
            for item in some:
                if item.id not in late and (hash64(unsigned(item.id)) not in hashes or item.id not in fold.items):
                    yield item

    def forget(self, key: str) -> None:
        """Take the item that was begun last for one that wasn't read."""
        self._waiting.pop(key, None)

    def absent(self) -> Iterator[str]:
        """Ids of the items on record that this run hasn't read, but for those that are known to be gone."""
        gone, every = {n for n, _ in self.fold.database.marked(GONE | MOVED)}, range(1, self.fold.items.last + 1)
        missing = (n for n in every if n not in self.numbers and n not in gone)
        return (key for _, key, _ in self.fold.database.numbered(missing))

    def counts(self) -> dict[str, int]:
        """The items of the manifest by outcome, as `IndexedFold.counts`."""
        return self.fold.counts(sum(1 for _ in self.unknown()))


def _item(found: Found) -> Item:
    _, key, state = found
    return Item(key, state.source, "", meta=state.meta or {})


class Table:
    """The rows that this run has read, as they stand in their manifests."""

    def __init__(self, index: Path | None) -> None:
        """`index`: beside it is the file, one without a name, that more of them than fit into memory go to."""
        self._path, self._folder = index or Path(), str(index.parent) if index else None
        self._names: object = None
        self._digest = sha256()
        self.columns: dict[tuple[str, int], int] = {}  # of all manifests, with their places

    @functools.cached_property
    def _file(self) -> SpooledTemporaryFile[bytes]:
        return SpooledTemporaryFile(_BLOCK, dir=self._folder)

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

    @property
    def digest(self) -> str:
        """A hash of it all."""
        return self._digest.hexdigest()

    def keep(self, lot: Lot) -> None:
        """Add some rows; raises DiskError."""
        if lot.names != self._names:
            self._names = lot.names
            for column in told_apart(tuple(lot.names)):
                self.columns.setdefault(column, len(self.columns))
        line = encode(lot) + b"\n"
        self._digest.update(line)
        with disk_errors(self._path):
            self._file.write(line)

    def blocks(self) -> Iterator[list[Lot]]:
        """All rows in order, some at a time."""
        self._file.seek(0)
        while lines := self._file.readlines(_BLOCK):
            yield [Lot(*decode(line)) for line in lines]


@functools.lru_cache
def told_apart(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name, and which of the equal ones it is."""
    return [(name, names[:nth].count(name)) for nth, name in enumerate(names)]


class Names:
    """Which item owns which name: those on record, and those that this run has given."""

    def __init__(self, index: Database, disk: Database) -> None:
        self._kept = disk, index  # the former for names that are too many for memory
        self._owners: dict[int, int] = {}
        self._folders: set[int] = set()

    def owner(self, h: int) -> int | None:
        """The hash of the item that the name with hash `h` belongs to."""
        if (owner := self._owners.get(h)) is not None:
            return owner
        return next((owner for kept in self._kept if (owner := kept.owner(h)) is not None), None)

    def given(self, h: int) -> bool:
        """Whether this run has given the name with hash `h`."""
        return h in self._owners or self._kept[0].owner(h) is not None

    def has_folder(self, h: int) -> bool:
        """Whether a name lies below the folder with hash `h`."""
        return h in self._folders or any(kept.has_folder(h) for kept in self._kept)

    def take(self, h: int, owner: int, folders: Iterable[int]) -> None:
        """Give a name to an item."""
        if len(self._owners) >= _AT_HAND:
            self._kept[0].write((), self._owners.items(), self._folders)
            self._owners, self._folders = {}, set()
        self._owners[h] = owner
        self._folders.update(folders)
