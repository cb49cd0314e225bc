"""The fold of a ledger whose states lie in the index, but for those that change at the moment."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

from msgspec import Struct

from batch_removebg.hashing import hash64
from batch_removebg.ledger.state import Fold, ItemState, Outcome
from batch_removebg.storage.naming import folders_of, name_key

from .bitset import Bitset
from .checkpoint import Checkpoint
from .database import Database, Found
from .lookahead import Lookahead
from .schema import OUTCOMES, SAVED, rows, short_key

_NEAR = 4096
"""States that are kept at hand for what is to change soon."""
_TOTALS = ("provider", "version", "predictions", "possible_duplicates", "finished", "engine")
"""What a fold knows beside the items."""


class Held(Struct, gc=False):
    """A state in memory, its number, and its outcome in the file: None where the file does not have it."""

    n: int
    state: ItemState
    was: int | None = None
    flew: bool = False


_NOT_NEAR = Held(0, ItemState())


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit writes to the file."""

    held: dict[str, Held]
    totals: dict[str, Any]
    checkpoint: Checkpoint


class States(Mapping[str, ItemState]):
    """Item states by id.

    What changes stays in `live` until a commit has written it to the file. The event loop changes states; another
    thread may look them up.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.live: dict[str, Held] = {}
        self.moving: dict[str, Held] = {}
        """Being written to the file, and not to be changed any more."""
        self.near: dict[str, Held | None] = {}
        """What will change soon, as the file has it; None where it has nothing."""
        self.touched: Bitset | None = None
        """Receives the numbers of the items that change, where somebody asks for them."""
        self.last = database.last()
        self.seen: set[int] | None = None
        """While an index is built: hashes of all ids so far, which saves looking for what is not there."""

    def expect(self, key: str) -> Held | None:
        """The state with its number, kept at hand, so that the event loop will not have to ask the file.

        For an item that is not under way yet: what is changing in another thread would be kept as it was.
        """
        held = self.held(key)
        if key not in self.live and key not in self.moving:
            if len(self.near) >= _NEAR:
                self.near = {}
            self.near[key] = held
        return held

    def held(self, key: str) -> Held | None:
        """The state with its number."""
        held = self.live.get(key) or self.moving.get(key)
        if held is not None:
            return held
        near = self.near.get(key, _NOT_NEAR)
        return self._load(key) if near is _NOT_NEAR else near

    def _load(self, key: str) -> Held | None:
        for n, found, state in self.database.find(hash64(key)):
            if found == key:
                return Held(n, state, OUTCOMES[state.outcome], state.in_flight)
        return None

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
        elif key in self.moving:
            held = Held(held.n, copy(held.state), OUTCOMES[held.state.outcome], held.state.in_flight)
        self.live[key] = held
        self.near.pop(key, None)
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

    def every(
        self, outcome: int | None = None, *, flying: bool = False, flagged: bool = False
    ) -> Iterator[tuple[int, str, ItemState]]:
        """(n, id, state) of the items in order, as `Database.every`; what changed of late comes anyway."""
        waiting = {
            held.n: (held.n, key, held.state) for source in (self.moving, self.live) for key, held in source.items()
        }
        kept = (
            found for found in self.database.every(outcome, flying=flying, flagged=flagged) if found[0] not in waiting
        )
        return heapq.merge(kept, [waiting[n] for n in sorted(waiting)], key=itemgetter(0))


class IndexedFold(Fold):
    """The fold of a ledger, kept in an index, in little memory.

    `checkpoint` says which part of the ledger has been applied; what the file holds is as of an earlier one until
    `begin_commit`, `write`, `end_commit` have moved the difference. Questions about all items are not asked meanwhile.
    """

    items: States

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.items = States(database)
        self._lookahead = Lookahead(database)
        try:
            for name, value in (database.meta("totals") or {}).items():
                setattr(self, name, value)
            self.checkpoint = Checkpoint(**(database.meta("checkpoint") or {}))
            sound = isinstance(self.checkpoint.end + self.checkpoint.lines + self.checkpoint.crc, int)
        except (TypeError, AttributeError) as error:
            raise database.damaged(error) from error
        if not sound:
            raise database.damaged("its checkpoint makes no sense")

    def close(self) -> None:
        """Let go of the index's file."""
        self.database.close()

    def frozen(self) -> IndexedFold:
        """The fold as it is, to be read in another thread while no commit is made; made on the event loop."""
        still = IndexedFold(self.database)
        for name, value in self._totals().items():
            setattr(still, name, value)
        still.items.live = {
            key: Held(held.n, copy(held.state), held.was, held.flew) for key, held in self.items.live.items()
        }
        return still

    def change(self, item: str) -> ItemState:
        """See Fold."""
        return self.items.change(item)

    # Commits

    def begin_commit(self) -> Batch:
        """What has changed since the last one; on the event loop."""
        self.items.moving, self.items.live = self.items.live, {}
        return Batch(self.items.moving, self._totals(), self.checkpoint)

    def write(self, batch: Batch) -> None:
        """Write a batch to the file, all or nothing; blocks, and raises sqlite3.Error."""
        changed = [(held.n, key, held.state) for key, held in batch.held.items()]
        earlier = [(hash64(name_key(name)), hash64(key)) for _, key, state in changed for name in state.others]
        nested = [name for _, _, state in changed for name in (state.output, *state.others) if name and "/" in name]
        folders = {folder for name in nested for folder in folders_of(name)}
        more = {"changes": (self.database.meta("changes") or 0) + 1} if changed else {}
        self.database.write(
            rows(changed), earlier, folders, totals=batch.totals, checkpoint=asdict(batch.checkpoint), **more
        )

    def end_commit(self, batch: Batch, *, written: bool) -> None:
        """Let go of what the file has now, or take it back where it could not be written; on the event loop."""
        items = self.items
        if written:
            near = ((key, held) for key, held in batch.held.items() if held.state.outcome != "saved")
            for key, held in near:
                if key not in items.live and len(items.near) < _NEAR:
                    items.near[key] = Held(held.n, held.state, OUTCOMES[held.state.outcome], held.state.in_flight)
            self.saved_for = {made: key for made, key in self.saved_for.items() if key in items.live}
        else:
            for key, held in batch.held.items():
                again = items.live.setdefault(key, held)
                again.was, again.flew = held.was, held.flew
        items.moving = {}

    def commit(self) -> None:
        """All three at once, where nobody else has the fold."""
        batch = self.begin_commit()
        written = False
        try:
            self.write(batch)
            written = True
        finally:
            self.end_commit(batch, written=written)

    def _totals(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _TOTALS}

    # What is asked of all items

    def counts(self, among: Bitset | None = None) -> dict[str, int]:
        """Items by outcome, and their total: of all, or of those with a number `among` these."""
        by = Counter({SAVED: self.database.total() if among is None else len(among)})
        waiting = {held.n: held for held in self.items.live.values()}
        for n, outcome in self.database.unsaved():
            if n not in waiting and (among is None or n in among):
                by[outcome] += 1
                by[SAVED] -= 1
        for held in waiting.values():
            if among is None and held.was is None:
                by[SAVED] += 1
            outcome = OUTCOMES[held.state.outcome]
            if outcome != SAVED and (among is None or held.n in among):
                by[outcome] += 1
                by[SAVED] -= 1
        named: dict[Outcome, int] = {outcome: by[number] for outcome, number in OUTCOMES.items()}
        return {"total": by.total(), **{outcome: named[outcome] for outcome in ("saved", "failed", "pending")}}

    def each(self) -> Iterator[tuple[str, ItemState]]:
        """Every item with its state, as the ledger first names them."""
        return ((key, state) for _, key, state in self.items.every())

    def in_flight(self) -> int:
        """Items whose prediction was submitted and whose result is not saved yet."""
        return self.database.flying() + sum(held.state.in_flight - held.flew for held in self.items.live.values())

    def failed(self, among: Bitset | None = None) -> Iterator[tuple[str, ItemState]]:
        """The items that failed, as the ledger first names them; of all, or of those `among` these numbers."""
        for n, key, state in self.items.every(OUTCOMES["failed"]):
            if state.outcome == "failed" and (among is None or n in among):
                yield key, state

    def flagged(self, among: Bitset | None = None) -> Iterator[tuple[str, ItemState]]:
        """The saved items that are worth a look, likewise."""
        for n, key, state in self.items.every(flagged=True):
            if state.outcome == "saved" and state.flags and (among is None or n in among):
                yield key, state

    def unsettled(self) -> Iterator[ItemState]:
        """The states with a prediction in flight, or a create without an answer."""
        for _, _, state in self.items.every(flying=True):
            if state.in_flight or state.lost is not None:
                yield state

    # What is asked of some

    def has_prediction(self, prediction_id: str) -> bool:
        """Whether the prediction belongs to an item already."""
        return any(
            state.prediction_id == prediction_id
            for state in self._among(self.database.by_prediction(short_key(prediction_id)))
        )

    def made(self, fingerprint: str) -> ItemState | None:
        """The state of a saved item that was bought for `fingerprint`, where its `saved` line says so."""
        of_late = self.saved_for.get(fingerprint)
        kept = (key for _, key, _ in self.database.by_fingerprint(short_key(fingerprint)))
        for key in (*([of_late] if of_late is not None else []), *kept):
            state = self.items[key]
            if (state.outcome, state.fingerprint) == ("saved", fingerprint):
                return state
        return None

    def _among(self, found: list[Found]) -> Iterator[ItemState]:
        """What was found in the file, as it is now, and all that has changed of late."""
        live, moving = self.items.live, self.items.moving
        yield from (held.state for held in list(live.values()))
        yield from (held.state for key, held in list(moving.items()) if key not in live)
        yield from (state for _, key, state in found if not self.changing(key))

    def changing(self, key: str) -> bool:
        """Whether the file does not have the item's present state yet."""
        return key in self.items.live or key in self.items.moving

    def done(self, keys: Sequence[int | None], ids: Sequence[str]) -> list[int | None]:
        """For each of `done_keys` the number of the saved item of that id that is done so, and hasn't changed since."""
        # Looked at first: what leaves them meanwhile is in the file by then.
        changing = {held.n for source in (self.items.live, self.items.moving) for held in list(source.values())}
        found = self._lookahead.find(keys, ids)
        return [None if n in changing else n for n in found] if changing else found
