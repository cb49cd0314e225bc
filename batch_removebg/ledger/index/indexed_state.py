"""The fold of a ledger whose states lie in the index, but for those that change at the moment."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import islice, starmap
from operator import itemgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from batch_removebg.hashing import hash64
from batch_removebg.ledger.decisions import Decided, Decisions
from batch_removebg.ledger.events import Entry, Saved, Submitted
from batch_removebg.ledger.state import Fold, ItemState, Run, names_of, unsigned
from batch_removebg.storage.naming import folders_of, name_key

from .bitset import Bitset
from .checkpoint import Checkpoint
from .database import Database, Found
from .schema import FAILED, FLYING, GONE, MOVED, PENDING, mark, row, short_key

_AT_HAND = 2048  # items under way that a commit leaves in memory: they change soon again
_BOUGHT = 16_384  # predictions in memory: several times what is written to the file at once
_TOTALS = ("provider", "version", "settings", "predictions", "billed", "possible_duplicates", "engine", "proven", "run")


class Held(msgspec.Struct, frozen=True, gc=False):
    """A state in memory, and the number of its item."""

    n: int
    state: ItemState


class States(Mapping[str, ItemState]):
    """Item states by id; the event loop changes them, another thread may look them up."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.live: dict[str, Held] = {}
        """What has changed, at least until a commit has written it to the file; so looked at before the file."""
        self.touched: Bitset | None = None  # receives the numbers of the items that change, if somebody asks for them
        self.last = database.last()
        self.seen: set[int] | None = None
        """While an index is built: hashes of all ids so far, which saves looking for what is not there."""

    def held(self, key: str) -> Held | None:
        """The state with its number."""
        if held := self.live.get(key):
            return held
        kept = self.database.find(hash64(unsigned(key)))
        return next((Held(n, state) for n, found, state in kept if found == key), None)

    def several(self, keys: Sequence[str]) -> dict[str, ItemState]:
        """The states of those among them that there are, looked up together."""
        numbers = (n for _, n in self.database.chosen("h", [hash64(unsigned(key)) for key in keys]))
        found = {key: state for _, key, state in self.database.numbered(numbers)}
        late = ((key, self.live.get(key)) for key in keys)
        return found | {key: held.state for key, held in late if held is not None}

    def change(self, key: str) -> ItemState:
        """The state, to be changed; a new one where there is none."""
        held = self.live.get(key)
        if held is not None:
            return held.state
        if self.seen is not None and (h := hash(key)) not in self.seen:
            self.seen.add(h)
        else:
            held = self.held(key)
        if held is None:
            self.last += 1
            held = Held(self.last, ItemState())
        self.live[key] = held
        if self.touched is not None:
            self.touched.add(held.n)
        return held.state

    def __getitem__(self, key: str) -> ItemState:
        held = self.held(key)
        if held is None:
            raise KeyError(key)
        return held.state

    def __iter__(self) -> Iterator[str]:
        return (key for _, key, _ in self.every())

    def __len__(self) -> int:
        return self.last

    def every(self, mask: int | None = None) -> Iterator[Found]:
        """(n, id, state) of the items in order, as `Database.every`."""
        waiting = sorted(((held.n, key, held.state) for key, held in dict(self.live).items()), key=itemgetter(0))
        numbers = {n for n, _, _ in waiting}
        kept = (found for found in self.database.every(mask) if found[0] not in numbers)
        late = (found for found in waiting if mask is None or mark(found[2]) & mask)
        return heapq.merge(kept, late, key=itemgetter(0))


class IndexedFold(Fold):
    """The fold of a ledger up to `checkpoint`, in little memory; the index's file has it as of the last commit."""

    items: States

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.items = States(database)
        self.change = self.items.change
        self.close = database.close
        self._bought: OrderedDict[str, None] = OrderedDict()  # the latest predictions: more than the file lacks
        self._today: Mapping[str, str] = {}
        self._older: dict[str, list[str]] = {}
        try:
            totals = database.meta("totals") or {}
            vars(self).update(totals, run=msgspec.convert(totals.get("run", {}), Run))
            self.checkpoint = msgspec.convert(database.meta("checkpoint") or {}, Checkpoint)
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            raise database.damaged(error) from error

    def frozen(self) -> IndexedFold:
        """The fold as it is, to be read in another thread while no commit is made; made on the event loop."""
        still = IndexedFold(self.database)
        vars(still).update(self._totals())
        still.items.last = self.items.last
        still.items.live = {key: Held(held.n, copy(held.state)) for key, held in self.items.live.items()}
        return still

    def apply(self, entry: Entry) -> None:
        """See Fold."""
        super().apply(entry)
        if isinstance(entry, Submitted | Saved) and entry.prediction_id is not None:
            self._bought[entry.prediction_id] = None
            if len(self._bought) > _BOUGHT:
                self._bought.popitem(last=False)

    def commit(self) -> None:
        """Write all that has changed to the file, or nothing, which raises sqlite3.Error.

        It blocks, in any thread; others may read meanwhile, and nothing is applied.
        """
        live = self.items.live
        changed = [(held.n, key, held.state) for key, held in live.items()]
        earlier = [
            (hash64(name_key(name)), hash64(unsigned(key))) for _, key, state in changed for name in state.others
        ]
        nested = [name for _, _, state in changed for name in names_of(state) if "/" in name]
        folders = {folder for name in nested for folder in folders_of(name)}
        more = {"changes": (self.database.meta("changes") or 0) + 1} if changed else {}
        told = {"totals": self._totals(), "checkpoint": self.checkpoint, **more}
        self.database.write(starmap(row, changed), earlier, folders, **told)
        under_way = ((key, held) for key, held in live.items() if mark(held.state) & PENDING)
        self.items.live, self.saved_for = dict(islice(under_way, _AT_HAND)), {}

    def _totals(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _TOTALS}

    def counts(self, unknown: int | None = None) -> dict[str, int]:
        """Items of the manifest by outcome, and their total; beside them `gone`.

        `unknown`: pending ones that no line names; where it isn't given, as many as the last run said at its end.
        """
        kinds = PENDING | FAILED | GONE | MOVED
        marks = dict(self.database.marked(kinds))
        marks |= {held.n: mark(held.state) for held in self.items.live.values()}
        by = Counter(found & kinds for found in marks.values())
        pending = max(by[PENDING], self.run.pending) if unknown is None else by[PENDING] + unknown
        saved = self.items.last - by[FAILED] - by[PENDING] - by[GONE] - by[MOVED]
        total = saved + by[FAILED] + pending
        return {"total": total, "saved": saved, "failed": by[FAILED], "pending": pending, "gone": by[GONE]}

    def each(self, mask: int | None = None) -> Iterator[tuple[str, ItemState]]:
        """Items with their states, as the ledger first names them: all, or those so marked."""
        return ((key, state) for _, key, state in self.items.every(mask))

    def unsettled(self) -> Iterator[ItemState]:
        """The states with a prediction in flight, or a create without an answer."""
        return (self.filed(state) for _, state in self.each(FLYING))

    def decided(self, decisions: Decisions) -> Iterator[tuple[str, ItemState, Decided]]:
        """The items of the manifest with a verdict on the picture that they have; the others aren't looked at."""
        seen = set[str]()
        for item in decisions.items():
            state = self.items.get(item)
            while state is not None and state.nameless and state.now:
                item, state = state.now, self.items.get(state.now)
            if state is not None and not state.gone and (said := decisions.of(item, state)) and item not in seen:
                seen.add(item)
                yield item, state, said

    def refile(self, today: Mapping[str, str]) -> None:
        """Find purchases that an older version filed otherwise by the fingerprints that they have `today`."""
        self._today = today
        for old, now in today.items():
            self._older.setdefault(now, []).append(old)

    def filed(self, state: ItemState) -> ItemState:
        """The state with the fingerprint that its purchase has now."""
        today = self._today.get(state.fingerprint or "")
        return state if today is None else replace(state, fingerprint=today)

    def in_flight(self) -> int:
        """Items whose prediction was submitted and whose result is not saved yet."""
        return sum(state.in_flight for state in self.unsettled())

    def has_prediction(self, prediction_id: str) -> bool:
        """Whether the prediction belongs to an item already."""
        if prediction_id in self._bought:
            return True
        kept = self.database.find(short_key(prediction_id), "bought")
        return any(state.prediction_id == prediction_id for _, _, state in kept)

    def of_hash(self, h: int) -> list[str]:
        """The ids in the index that are found by it: one, or those that differ by their signatures."""
        return [key for _, key, _ in self.database.find(h)]

    def made(self, fingerprint: str) -> Iterator[ItemState]:
        """The states of items with a picture that was bought for `fingerprint`, where their `saved` lines say so."""
        for filed in (fingerprint, *self._older.get(fingerprint, ())):
            found = self.database.find(short_key(filed), "made")
            keys = dict.fromkeys((*reversed(self.saved_for.get(filed, ())), *(key for _, key, _ in found)))
            states = map(self.items.__getitem__, keys)
            yield from (one for one in states if one.is_made and one.fingerprint == filed)

    def of_content(self, content: str) -> Iterator[tuple[str, ItemState]]:
        """The items with a picture of that content, with their states."""
        live = (key for key, held in dict(self.items.live).items() if held.state.content == content)
        for key in dict.fromkeys((*(key for _, key, _ in self.database.find(short_key(content), "made")), *live)):
            if (state := self.items[key]).is_made and state.content == content:
                yield key, state

    def done(self, keys: Sequence[int | None]) -> list[int | None]:
        """For each of `done_keys` the number of the saved item that is done so, and hasn't changed since."""
        changing = {held.n for held in dict(self.items.live).values()}
        found: dict[int | None, int] = dict(self.database.chosen("done", keys))
        return [None if (n := found.get(key)) in changing else n for key in keys]
