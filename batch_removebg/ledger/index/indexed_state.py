"""A fold whose states lie in the index, but for those that change at the moment."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final

from batch_removebg.hashing import hash64
from batch_removebg.ledger.state import Fold, ItemState, Outcome, names_of
from batch_removebg.storage.naming import folders_of, name_key

from .bitset import Bits
from .checkpoint import Cover
from .database import Found, Store
from .lookahead import Ahead
from .schema import OUTCOMES, SAVED, row, short_key

_NEAR = 4096
"""States that are kept at hand for what is to change soon."""


@dataclass(slots=True)
class Held:
    """A state in memory, its number, and its outcome in the file: None where the file does not have it."""

    n: int
    state: ItemState
    was: int | None = None
    flew: bool = False


_NOT_NEAR = Held(0, ItemState())


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit takes to the file."""

    held: dict[str, Held]
    fold: dict[str, Any]
    cover: Cover


class States(MutableMapping[str, ItemState]):
    """Item states by id, as `Fold.items` has them.

    What changes stays in `live` until a commit has taken it to the file. The event loop changes states; another thread
    may look them up.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.live: dict[str, Held] = {}
        self.moving: dict[str, Held] = {}
        """On their way to the file, and not to be changed any more."""
        self.near: dict[str, Held | None] = {}
        """What will change soon, as the file has it; None where it has nothing."""
        self.touched: Bits | None = None
        """Takes the numbers of the items that change, if there is anyone to look at it."""
        self.last = store.last()
        self.unheard: set[int] | None = set() if self.last == 0 else None
        """While a fold starts from nothing: hashes of all ids so far, which saves looking for what is not there."""

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
        h = hash64(key)
        if self.unheard is not None and h not in self.unheard:
            self.unheard.add(h)
            return None
        for n, found, state in self.store.find(h):
            if found == key:
                return Held(n, state, OUTCOMES[state.outcome], state.in_flight)
        return None

    def setdefault(self, key: str, default: ItemState | None = None) -> ItemState:
        """The state, to be changed."""
        held = self.live.get(key)
        if held is None:
            held = self.held(key)
            if held is None:
                self.last += 1
                held = Held(self.last, default or ItemState())
            elif key in self.moving:
                held = Held(held.n, replace(held.state), OUTCOMES[held.state.outcome], held.state.in_flight)
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

    def __setitem__(self, key: str, state: ItemState) -> None:
        raise TypeError("states change by entries of the ledger alone")

    def __delitem__(self, key: str) -> None:
        raise TypeError("the ledger forgets nothing")

    def every(
        self, outcome: int | None = None, *, flying: bool = False, flagged: bool = False
    ) -> Iterator[tuple[int, str, ItemState]]:
        """(n, id, state) of the items in order, as the store's `every`; what changed of late comes anyway."""
        waiting = {
            held.n: (held.n, key, held.state) for source in (self.moving, self.live) for key, held in source.items()
        }
        kept = (found for found in self.store.every(outcome, flying=flying, flagged=flagged) if found[0] not in waiting)
        return heapq.merge(kept, [waiting[n] for n in sorted(waiting)], key=itemgetter(0))


class IndexedFold(Fold):
    """The fold of a ledger, kept in an index: the same answers as Fold gives, in little memory.

    `cover` says which part of the ledger has been applied; what the file holds is as of an earlier one until
    `begin_commit`, `write`, `end_commit` have moved the difference. Questions about all items are not asked meanwhile.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.states: Final = States(store)
        self._ahead = Ahead(store)
        try:
            super().__init__(items=self.states, **(store.meta("fold") or {}))
            self.cover = Cover(**(store.meta("cover") or {}))
            sound = isinstance(self.cover.end + self.cover.lines + self.cover.crc, int)
        except TypeError as error:
            raise store.damaged(error) from error
        if not sound:
            raise store.damaged("its cover makes no sense")
        """Of what has been applied."""

    def frozen(self) -> IndexedFold:
        """The fold as it is, to be read in another thread while no commit is made; made on the event loop."""
        still = IndexedFold(self.store)
        for name, value in self.known().items():
            setattr(still, name, value)
        still.states.live = {
            key: Held(held.n, replace(held.state), held.was, held.flew) for key, held in self.states.live.items()
        }
        return still

    # Commits

    def begin_commit(self) -> Batch:
        """What has changed since the last one; on the event loop."""
        self.states.moving, self.states.live = self.states.live, {}
        return Batch(self.states.moving, self.known(), self.cover)

    def write(self, batch: Batch) -> None:
        """Take a batch to the file, all or nothing; blocks, and raises sqlite3.Error."""
        rows = [row(held.n, key, held.state) for key, held in batch.held.items()]
        names = [(key, name) for key, held in batch.held.items() for name in names_of(held.state)]
        self.store.write(
            rows,
            [(hash64(name_key(name)), hash64(key)) for key, name in names],
            [folder for _, name in names for folder in folders_of(name)],
            fold=batch.fold,
            cover={name: getattr(batch.cover, name) for name in Cover.__slots__},
            **({"changes": (self.store.meta("changes") or 0) + 1} if rows else {}),
        )

    def end_commit(self, batch: Batch, *, written: bool) -> None:
        """Let go of what the file has now, or take it back where it could not be written; on the event loop."""
        states = self.states
        if written:
            near = ((key, held) for key, held in batch.held.items() if held.state.outcome != "saved")
            for key, held in near:
                if key not in states.live and len(states.near) < _NEAR:
                    states.near[key] = Held(held.n, held.state, OUTCOMES[held.state.outcome], held.state.in_flight)
            self.saved_for = {made: key for made, key in self.saved_for.items() if key in states.live}
        else:
            for key, held in batch.held.items():
                again = states.live.setdefault(key, held)
                again.was, again.flew = held.was, held.flew
        states.moving = {}

    def commit(self) -> None:
        """All three at once, where nobody else has the fold."""
        batch = self.begin_commit()
        written = False
        try:
            self.write(batch)
            written = True
        finally:
            self.end_commit(batch, written=written)

    def known(self) -> dict[str, Any]:
        """What is known of the ledger beside its items."""
        return {
            "provider": self.provider,
            "version": self.version,
            "predictions": self.predictions,
            "possible_duplicates": self.possible_duplicates,
            "finished": self.finished,
            "engine": self.engine,
        }

    # What Fold answers from its items

    def counts(self, ids: Any = None) -> dict[str, int]:
        """See Fold; `ids` may also be the Bits of the items to be counted."""
        if ids is not None and not isinstance(ids, Bits):
            return super().counts(ids)
        by = Counter({SAVED: self.store.total() if ids is None else len(ids)})
        waiting = {held.n: held for held in self.states.live.values()}
        for n, outcome in self.store.unsaved():
            if n not in waiting and (ids is None or n in ids):
                by[outcome] += 1
                by[SAVED] -= 1
        for held in waiting.values():
            if ids is None and held.was is None:
                by[SAVED] += 1
            outcome = OUTCOMES[held.state.outcome]
            if outcome != SAVED and (ids is None or held.n in ids):
                by[outcome] += 1
                by[SAVED] -= 1
        named: dict[Outcome, int] = {outcome: by[number] for outcome, number in OUTCOMES.items()}
        return {"total": by.total(), **{outcome: named[outcome] for outcome in ("saved", "failed", "pending")}}

    def each(self) -> Iterator[tuple[str, ItemState]]:
        """See Fold."""
        return ((key, state) for _, key, state in self.states.every())

    def in_flight(self) -> int:
        """See Fold."""
        return self.store.flying() + sum(held.state.in_flight - held.flew for held in self.states.live.values())

    def failed(self, among: Bits | None = None) -> Iterator[tuple[str, ItemState]]:
        """See Fold; of all items, or of those that are `among`."""
        for n, key, state in self.states.every(OUTCOMES["failed"]):
            if state.outcome == "failed" and (among is None or n in among):
                yield key, state

    def flagged(self, among: Bits | None = None) -> Iterator[tuple[str, ItemState]]:
        """See Fold; of all items, or of those that are `among`."""
        for n, key, state in self.states.every(flagged=True):
            if state.outcome == "saved" and state.flags and (among is None or n in among):
                yield key, state

    def has_prediction(self, prediction_id: str) -> bool:
        """See Fold."""
        return any(
            state.prediction_id == prediction_id
            for _, state in self._among(self.store.by_prediction(short_key(prediction_id)))
        )

    def made(self, fingerprint: str) -> ItemState | None:
        """See Fold."""
        of_late = super().made(fingerprint)
        if of_late is not None:
            return of_late
        found = (self.states[key] for _, key, _ in self.store.by_fingerprint(short_key(fingerprint)))
        return next((now for now in found if (now.outcome, now.fingerprint) == ("saved", fingerprint)), None)

    def unsettled(self) -> Iterator[ItemState]:
        """See Fold."""
        for _, _, state in self.states.every(flying=True):
            if state.in_flight or state.lost is not None:
                yield state

    def _among(self, found: list[Found]) -> Iterator[tuple[str, ItemState]]:
        """What was found in the file, as it is now, and all that has changed of late."""
        states = self.states
        moving = {key: held for key, held in states.moving.items() if key not in states.live}
        for source in (states.live, moving):
            yield from ((key, held.state) for key, held in list(source.items()))
        yield from ((key, state) for _, key, state in found if not self.changing(key))

    def changing(self, key: str) -> bool:
        """Whether the file does not have the item's present state yet."""
        return key in self.states.live or key in self.states.moving

    def done(self, keys: Sequence[int | None], ids: Sequence[str]) -> list[int | None]:
        """See Fold; none has changed since the last commit."""
        # Looked at first: what leaves them meanwhile is in the file by then.
        changing = {held.n for source in (self.states.live, self.states.moving) for held in list(source.values())}
        found = self._ahead.find(keys, ids)
        return [None if n in changing else n for n in found] if changing else found
