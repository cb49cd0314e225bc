"""What is left to do for each item, by the ledger's state and a look at the disk; runs in the reader's thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Literal

from batch_removebg.errors import ItemError
from batch_removebg.hashing import hash64
from batch_removebg.ledger.events import Renamed, Rendition, Unchanged
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import Done, done_keys
from batch_removebg.ledger.state import ItemState, Step, plan, unsigned
from batch_removebg.manifest.columns import as_item
from batch_removebg.model import Item, UrlRow
from batch_removebg.net.fetch import UNKNOWN, Validators
from batch_removebg.net.urls import clean
from batch_removebg.storage.atomic import signature
from batch_removebg.storage.naming import Claims, earlier, is_url, without_suffix
from batch_removebg.storage.outputs import Outputs

from .cache_key import Recipe
from .edits import Edits
from .scales import Scales
from .work import Todo


@dataclass(slots=True)
class Plan:
    """What to do with a few items."""

    todos: list[Todo] = field(default_factory=list)
    done: int = 0
    left: int = 0  # failed before, and left alone
    elsewhere: int = 0  # for another pass of the run
    entries: list[Renamed | Unchanged] = field(default_factory=list)
    """To be recorded first: ids that have changed, and rows that have, of items with nothing to do."""

    @property
    def read(self) -> int:
        """All items."""
        return len(self.todos) + self.done + self.left + self.elsewhere


@dataclass(frozen=True, slots=True)
class Again:
    """What is done again although it was done."""

    failed: bool = False  # what failed for good
    forced: Collection[str] | None = None  # the items with these ids; all where it is empty
    doubtful: Collection[str] = ()  # the items that a better network is to make again
    refresh: Literal["auto", "never", "always"] = "never"  # URLs that were fetched by us
    before: str = ""  # `auto` asks for what was last read or asked for before this: an ISO stamp
    met: set[str] = field(default_factory=set)  # of the forced, if they are named: those that are there
    only: Collection[str] | None = None  # the items with these ids are looked at, and no others
    aside: Collection[str] = ()  # these are left as they are
    redone: bool = False  # all are made anew, since somebody wants other pictures
    anew: bool = False  # and from other predictions
    by_picture: bool = True  # a row may be the one whose picture has its name: all rows are read

    def forces(self, item: str) -> bool:
        """Whether the item is made anew."""
        if self.redone or item in self.doubtful:
            return True
        if not self.forced:
            return self.forced is not None
        self.met.update({item}.intersection(self.forced))
        return item in self.met

    def asks(self, state: ItemState) -> Validators | None:
        """What the host of a finished item is asked with; None where it isn't asked."""
        if state.source_sha256 is None or self.refresh == "never":
            return None
        known = Validators(state.etag, state.modified) if self.refresh == "auto" else UNKNOWN
        due = known.headers() and state.checked < self.before
        return known if due or self.refresh == "always" else None


@dataclass(eq=False)
class Planner:
    """Claims names and decides, item by item; blocks, and belongs in one thread at a time."""

    fold: IndexedFold
    claims: Claims
    outputs: Outputs
    recipe: Recipe
    again: Again
    reading: RunItems  # records every item
    more_claims: tuple[Claims, ...] = ()  # for further pictures of each item
    scales: Scales | None = None  # of groups
    edits: Edits = Edits()

    def __post_init__(self) -> None:
        self._late = {key for key, _ in self.edits.late(self.fold)}

    def plan_all(self, rows: Sequence[Item | UrlRow], most: int | None = None) -> Plan:
        """What to do with each; stops after the `most`-th item to do.

        An item that no name is free for is to do, with that as its problem.
        """
        rows, given = self._own(rows), len(rows)
        found = Plan(elsewhere=given - len(rows))
        numbers = self.fold.done(self._keys(rows))
        looked = len(rows)
        for nth in (nth for nth, number in enumerate(numbers) if number is None):
            self._add(found, as_item(rows[nth]))
            if len(found.todos) == most:
                looked = nth + 1
                break
        done = [number for number in numbers[:looked] if number is not None]
        found.done += len(done)
        self.reading.numbers.add(*done)
        return found

    def _own(self, rows: Sequence[Item | UrlRow]) -> Sequence[Item | UrlRow]:
        """Those for this pass of the run; the ones that are left aside are in the manifest all the same."""
        only, aside = self.again.only, self.again.aside
        if only is not None:
            return [row for row in rows if row.id in only]
        for row in rows if aside else ():
            if row.id in aside:
                self.reading.begin(as_item(row))
        return [row for row in rows if row.id not in aside] if aside else rows

    def _add(self, found: Plan, item: Item) -> None:
        try:
            step, todo = self.plan(item)
        except ItemError as error:
            item = item if item.problem is not None else replace(item, problem=str(error))
            step, todo = Step.DO, Todo(item, "", ItemState())
        if todo.was:
            found.entries.append(Renamed(item.id, todo.was))
        self.reading.begin(item)
        if todo.was in self.again.aside:
            found.elsewhere += 1
            return
        if step is Step.DO:
            found.todos.append(todo)
            if todo.state.gone:  # whatever becomes of it, it is in the manifest again
                found.entries.append(Unchanged(item.id, todo.state.signature))
            return
        found.done += step is Step.DONE
        found.left += step is Step.LEAVE
        if todo.state.gone or todo.state.source != item.source or (todo.state.meta or {}) != item.meta:
            found.entries.append(unchanged(todo, todo.state.signature))

    def plan(self, item: Item) -> tuple[Step, Todo]:
        """What to do with the item; raises ManifestError or SourceError where no name is free for it."""
        known, mark, was = self.fold.items.get(item.id), None, ""
        if (known is None or known.nameless) and (was := self._former(item)):
            known = self.fold.items[was]
        state = copy(known) or ItemState()
        over: list[ItemState] = []
        names = self._claim(item, unsigned(was), over)
        with suppress(OSError):
            mark = signature(item.path) if item.path is not None else None
        recipe = self.recipe if self.scales is None else self.scales.recipe_of(item, state)
        stay = self._stay(state, dict(zip(names, recipe.digests_of(item), strict=True)))
        late = self.edits.stale(self.fold.filed(state))
        whole = not late and {one.output for one in stay}.issuperset(names)
        step_if = partial(plan, state, tried=self.recipe.tried, retry_failed=self.again.failed, whole=whole)
        # Of a file whose times have changed the content is compared later.
        same_file = mark is not None and mark == state.signature
        same_url = state.source in (item.source, clean(item.url or item.source))
        step = step_if(same_source=(same_source := same_file if item.path is not None else same_url))
        forced, asks, same = self.again.forces(item.id), None, False
        if forced:
            step = Step.DO
        elif step is Step.DO:
            same = step_if(same_source=True) is Step.DONE
        elif step is Step.DONE and item.path is None and not self.recipe.passes(item):
            same = (asks := self.again.asks(state)) is not None
            step = Step.DO if same else step
        stay = () if forced or late or whole or not same_source else stay
        replaced = over[-1] if over else self.fold.filed(state)
        own = None if recipe is self.recipe else recipe
        notes = self._notes(item, names)
        redone = self.again.redone, self.again.anew
        what = item, names[0], state, mark, same, notes, was, asks, forced, replaced, names[1:], own, stay
        return step, Todo(*what, *redone)

    def _notes(self, item: Item, names: Sequence[str]) -> tuple[str, ...]:
        """Why the item's pictures have other names than were asked for."""
        plain, given = self.claims.plain(item), zip(names, (self.claims, *self.more_claims), strict=True)
        notes = [] if names[0] == plain else [f"is named {names[0]}, since {plain} is taken"]
        empty = ((name, column) for name, claims in given if (column := claims.empty(item)))
        return *notes, *(f"is named {name}, since its {column} is empty" for name, column in empty)

    def _claim(self, item: Item, was: str, over: list[ItemState]) -> tuple[str, ...]:
        """The names of the item's pictures; `over` receives the items whose pictures are replaced."""
        # What lies under a name isn't ours if the ledger doesn't know it.
        claim = partial(
            Claims.claim,
            item=item,
            was=was,
            exists=self.outputs.taken,
            passes=lambda holder, name: self._passes(holder, name, over),
        )
        return tuple(map(claim, (self.claims, *self.more_claims)))

    def _stay(self, state: ItemState, wanted: Mapping[str, str]) -> tuple[Rendition, ...]:
        """The pictures on record and there that are as they would be made, or for presets that aren't wanted now.

        `wanted`: the digest of each by its name; one on record may be unknown.
        """
        presets = {finish.preset for finish in self.recipe.finishes}
        same = (
            one.recipe in (None, wanted[one.output]) if one.output in wanted else one.preset not in presets
            for one in state.renditions
        )
        return tuple(
            one for one, stays in zip(state.renditions, same, strict=True) if stays and self._intact(one, state)
        )

    def _former(self, item: Item) -> str:
        """The id that a new item is on record under, or that the row has which its name belongs to; else empty."""
        if not (item.was or item.url) or not len(self.fold.items):
            return ""
        owner, plain, of_hash = self.claims.owner(item), self.claims.plain(item), self.fold.of_hash
        named = of_hash(owner) if owner is not None and self.again.by_picture else []
        like = [key for was in (item.id, *item.was) for key in (was, *of_hash(hash64(unsigned(was))))]
        found = list[tuple[bool, int, str]]()
        for was in dict.fromkeys((*like, *named)):
            held = self.fold.items.held(was)
            if held is None or held.n in self.reading.numbers or held.state.nameless:
                continue
            # What has the name was called by its picture: such an id is no row's that has a better one.
            by_picture = is_url(was) or (was in named and without_suffix(was) != was)
            if by_picture or held.state.source == item.source:
                found.append((held.state.output != plain, held.n, was))
        _, n, was = min(found, default=(True, 0, ""), key=itemgetter(0))
        self.reading.numbers.add(n)
        return was

    def _passes(self, holder: int, name: str, over: list[ItemState]) -> bool:
        """Whether an item on record needs its name no more; `over` receives the one whose picture is replaced."""
        keys = self.fold.of_hash(holder)
        for state in map(self.fold.items.__getitem__, keys):
            if state.gone and state.output == name:
                over.append(self.fold.filed(state))
            now = any(one.output == name for one in state.outputs)
            if not (state.gone or (state.outcome == "saved" and earlier(name, state.output) and not now)):
                return False
        return bool(keys)

    def _keys(self, rows: Sequence[Item | UrlRow]) -> Sequence[int | None]:
        """Of each a hash of all that `plan` compares, None where a part is missing; on record, it says "done"."""
        there: list[Done] = []
        missing: list[int] = []
        plain, size_of, recipe = self.claims.plain, self.outputs.size, self.recipe
        further = [claims.plain for claims in self.more_claims]
        asks = self.again.refresh != "never"
        for nth, row in enumerate(rows):
            special = row.id in self._late or self.again.forces(row.id)
            if (asks and row.path is None and not recipe.passes(row)) or self.scales is not None or special:
                missing.append(nth)
                continue
            try:
                output = plain(row)
                size = size_of(output)
                for name in further:
                    size += size_of(name(row))
                mark = signature(row.path) if row.path is not None else None
            except (OSError, UnicodeEncodeError, ItemError):
                missing.append(nth)
            else:
                there.append((row.source, output, size, recipe.digest_of(row), mark, row.meta or None, row.id))
        keys: list[int | None] = [*done_keys(there)]
        for nth in missing:  # in order: each is put where it belongs
            keys.insert(nth, None)
        return keys

    def _intact(self, picture: Rendition, state: ItemState) -> bool:
        try:
            return self.outputs.size(state.place(picture.output)) == picture.bytes
        except OSError:
            return False


def unchanged(todo: Todo, mark: str | None, seen: Validators = UNKNOWN) -> Unchanged:
    """The entry for an item that stays as it is: the source's signature, and the manifest's row as it is now."""
    return Unchanged(todo.item.id, mark, todo.item.source, dict(todo.item.meta) or None, seen.etag, seen.modified)
