"""What is left to do for each item, in the reader's thread: a look at the ledger's fold and at the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_removebg.errors import ItemError
from batch_removebg.ledger.events import Unchanged
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import Done, done_keys
from batch_removebg.ledger.state import ItemState, Step, plan
from batch_removebg.manifest import as_item
from batch_removebg.model import Item, UrlRow
from batch_removebg.storage.atomic import signature
from batch_removebg.storage.naming import Claims

from .cache_key import Recipe
from .work import Todo

_FEW = 64
"""Items for which the index is locked once instead of for each question."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An item and what is to be done with it."""

    step: Step
    todo: Todo


@dataclass(slots=True)
class Plan:
    """What is to be done with a few items."""

    todos: list[Planned] = field(default_factory=list)
    """Those that something is to be done about."""
    done: int = 0
    left: int = 0
    """Failed before, and left alone."""
    told: list[Unchanged] = field(default_factory=list)
    """Entries for those of which the manifest says something new, and nothing is to be done."""

    @property
    def read(self) -> int:
        """All items."""
        return len(self.todos) + self.done + self.left


class Planner:
    """Claims names and decides, one item after the other; it blocks, and belongs in one thread at a time."""

    def __init__(
        self,
        fold: IndexedFold,
        claims: Claims,
        *,
        out: Path,
        recipe: Recipe,
        retry_failed: bool,
        reading: RunItems | None = None,
    ) -> None:
        """`reading` is told of every item."""
        self._fold = fold
        self._claims = claims
        self._out = out
        self._prefix = f"{out}{os.sep}"
        self._retry_failed = retry_failed
        self._reading = reading
        self._digest, self._tried = recipe.digest, recipe.tried
        self._digest_of_urls = recipe.passed if recipe.passes_urls else recipe.digest

    def plan_all(self, rows: Sequence[Item | UrlRow], most: int | None = None) -> Plan:
        """What to do with each; stops after the one that is the `most`-th to be done.

        An item for which no name can be had is to be done, with that as its problem.
        """
        if self._reading is None or len(rows) > _FEW:  # of many, most are done, and asked for together
            return self._plan_all(rows, most)
        with self._reading.steady():
            return self._plan_all(rows, most)

    def _plan_all(self, rows: Sequence[Item | UrlRow], most: int | None) -> Plan:
        found = Plan()
        numbers = self._fold.done(self._keys(rows), [row.id for row in rows])
        looked = len(rows)
        for nth in (nth for nth, number in enumerate(numbers) if number is None):
            self._add(found, as_item(rows[nth]))
            if len(found.todos) == most:
                looked = nth + 1
                break
        done = [number for number in numbers[:looked] if number is not None]
        found.done += len(done)
        if self._reading is not None:
            self._reading.done(done)
        return found

    def _add(self, found: Plan, item: Item) -> None:
        try:
            planned = self.plan(item)
        except ItemError as error:
            item = item if item.problem is not None else replace(item, problem=str(error))
            planned = Planned(Step.DO, Todo(item, "", ItemState()))
        if self._reading is not None:
            self._reading.begin(item)
        if planned.step is Step.DO:
            found.todos.append(planned)
            return
        found.done += planned.step is Step.DONE
        found.left += planned.step is Step.LEAVE
        state = planned.todo.state
        if state.source != item.source or (state.meta or {}) != item.meta:
            found.told.append(unchanged(planned.todo, state.signature))

    def plan(self, item: Item) -> Planned:
        """What to do with the item; raises ManifestError or SourceError where no name can be had for it."""
        state = self._fold.items.get(item.id)
        output = self._claims.claim(item, exists=self._taken)
        state = copy(state) if state is not None else ItemState()
        mark = _signature(item)
        intact = state.outcome == "saved" and self._intact(state)
        digest = self._digest_of_urls if item.path is None else self._digest
        step = self._step(state, output, digest, same_source=_same_source(item, state, mark), intact=intact)
        same = step is Step.DO and self._step(state, output, digest, same_source=True, intact=intact) is Step.DONE
        return Planned(step, Todo(item, output, state, mark, finished_if_same=same))

    def _keys(self, rows: Sequence[Item | UrlRow]) -> Sequence[int | None]:
        """What each is done with on record if `plan` would find nothing to do, and nothing new to tell.

        All that would be compared, in one hash; None where something is missing.
        """
        there: list[Done] = []
        missing: list[int] = []
        plain, prefix, stat = self._claims.plain, self._prefix, os.stat
        of_files, of_urls = self._digest, self._digest_of_urls
        for nth, row in enumerate(rows):
            try:
                output = plain(row)
                size = stat(prefix + output).st_size  # quicker than a path for each of a million
                mark = signature(row.path) if row.path is not None else None
            except (OSError, ItemError):
                missing.append(nth)
            else:
                digest = of_urls if row.path is None else of_files
                there.append((row.source, output, size, digest, mark, row.meta or None, row.id))
        keys: list[int | None] = [*done_keys(there)]
        for nth in missing:  # in order: each is put where it belongs
            keys.insert(nth, None)
        return keys

    def _step(self, state: ItemState, output: str, digest: str, *, same_source: bool, intact: bool) -> Step:
        return plan(
            state,
            recipe=self._tried if state.outcome == "failed" else digest,
            output=output,
            retry_failed=self._retry_failed,
            same_source=same_source,
            output_intact=intact,
        )

    def _taken(self, name: str) -> bool:
        """Whether a file that is not this run's work lies under the name."""
        path = self._out / name
        return path.is_symlink() or path.exists()

    def _intact(self, state: ItemState) -> bool:
        try:
            return state.output is not None and (self._out / state.output).stat().st_size == state.bytes
        except OSError:
            return False


def unchanged(todo: Todo, mark: str | None) -> Unchanged:
    """The entry for an item that stays as it is: the source's signature, and what the manifest says now."""
    return Unchanged(todo.item.id, mark, todo.item.source, dict(todo.item.meta) or None)


def _signature(item: Item) -> str | None:
    try:
        return signature(item.path) if item.path is not None else None
    except OSError:
        return None


def _same_source(item: Item, state: ItemState, mark: str | None) -> bool:
    """Whether the source is surely what it was; a file whose times have changed has its content looked at later."""
    if item.path is None:
        return state.source == item.source
    return mark is not None and mark == state.signature
