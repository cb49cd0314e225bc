"""What is left to do for each item, in the reader's thread: a look at the ledger's fold and at the disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from batch_removebg.files import signature
from batch_removebg.fold import Fold, ItemState, Step, plan
from batch_removebg.model import Item
from batch_removebg.names import Claims
from batch_removebg.predict import Todo
from batch_removebg.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Planned:
    """An item and what is to be done with it."""

    step: Step
    todo: Todo


class Planner:
    """Claims names and decides, one item after the other; it blocks, and belongs in one thread at a time."""

    def __init__(self, fold: Fold, claims: Claims, *, out: Path, recipe: Recipe, retry_failed: bool) -> None:
        self._fold = fold
        self._claims = claims
        self._out = out
        self._recipe = recipe
        self._retry_failed = retry_failed

    def plan(self, item: Item) -> Planned:
        """What to do with the item; raises ManifestError or SourceError where no name can be had for it."""
        state = self._fold.items.get(item.id)
        output = self._claims.claim(item, exists=self._taken)
        state = replace(state) if state is not None else ItemState()
        mark = _signature(item)
        intact = state.outcome == "saved" and self._intact(state)
        step = self._step(state, output, same_source=_same_source(item, state, mark), intact=intact)
        same = step is Step.DO and self._step(state, output, same_source=True, intact=intact) is Step.DONE
        return Planned(step, Todo(item, output, state, mark, finished_if_same=same))

    def _step(self, state: ItemState, output: str, *, same_source: bool, intact: bool) -> Step:
        return plan(
            state,
            recipe=self._recipe.tried if state.outcome == "failed" else self._recipe.digest,
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
