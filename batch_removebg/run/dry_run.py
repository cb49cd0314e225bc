"""`--dry-run`: what a run would do, and how many predictions it would buy; nothing is written or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batch_removebg.errors import ItemError
from batch_removebg.events import Listener
from batch_removebg.ledger.index import Reading
from batch_removebg.ledger.journal import look
from batch_removebg.model import Item
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.dedup import Way, way_of
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Todo
from batch_removebg.storage import layout
from batch_removebg.storage.atomic import digest

from . import assemble
from .settings import Settings

CHUNK = 500
"""Items looked at together."""


@dataclass(slots=True)
class Preview:
    """How many items a run would find, and what it would do with them."""

    total: int = 0
    done: int = 0
    """Saved and unchanged: nothing to do."""
    left: int = 0
    """Failed before, and left alone without --retry-failed."""
    kept: int = 0
    """Made from what earlier predictions gave: no prediction."""
    copies: int = 0
    """The same content as an item before it: no prediction of its own."""
    taken_up: int = 0
    """Predictions of an earlier run, still to be brought home."""
    bought: int = 0
    """Predictions to be bought."""
    beyond: int = 0
    """Would need a prediction that the budget does not allow."""
    bad: int = 0
    """Would fail: unreadable, or nothing that can be fetched."""
    billed: bool = False
    """Whether a prediction costs money."""


@dataclass(slots=True)
class _Look:
    """What is looked at, and what has come by."""

    recipe: Recipe
    on_hand: OnHand
    underway: set[str]
    """Fingerprints that earlier runs have begun to buy."""
    found: Preview
    bought: set[int] = field(default_factory=set)
    """Hashes of the fingerprints that a prediction is counted for."""

    def way(self, fingerprint: str, *, passed: bool) -> Way:
        """What the run would do with the item."""
        key = int(fingerprint[:16], 16)
        way = way_of(on_hand=self.on_hand.whole(fingerprint, passed=passed), busy=key in self.bought)
        if way is Way.BUY:
            self.bought.add(key)
        return way


def preview(inputs: Sequence[str], settings: Settings, listener: Listener) -> Preview:
    """Go through the manifest without doing anything; reads every file that is not known to be done. Blocks."""
    fold = look(settings.out / layout.LEDGER, settings.out / layout.INDEX)
    with closing(fold.store), closing(Reading(fold)) as reading:
        return _preview(inputs, settings, listener, reading)


def _preview(inputs: Sequence[str], settings: Settings, listener: Listener, reading: Reading) -> Preview:
    recipe = assemble.recipe_of(settings)
    planner, fold = assemble.planner(settings, reading, recipe), reading.fold
    look = _Look(
        recipe,
        OnHand(settings.out, fold.made, recipe.passed),
        {state.fingerprint for state in fold.unsettled() if state.in_flight and state.fingerprint is not None},
        found := Preview(billed=settings.provider != "local"),
    )
    begun, items = 0, assemble.read(inputs, settings, listener)
    while settings.limit is None or begun < settings.limit:
        plan = planner.plan_all(list(islice(items, CHUNK)), None if settings.limit is None else settings.limit - begun)
        if not plan.read:
            break
        found.total += plan.read
        found.done += plan.done
        found.left += plan.left
        begun += len(plan.todos)
        for todo in plan.todos:
            _count(look, todo)
    allowed, _ = settings.budget()
    if allowed is not None:
        found.beyond = max(0, found.bought - allowed)
        found.bought -= found.beyond
    return found


def _count(look: _Look, todo: Todo) -> None:
    """Put an item that is to be done under its heading."""
    if todo.item.problem is not None:
        look.found.bad += 1
    else:
        _count_work(look, todo)


def _count_work(look: _Look, todo: Todo) -> None:
    found, sha256 = look.found, _sha256(todo.item)
    passed = todo.item.path is None and look.recipe.passes_urls
    if sha256 is None and not passed:
        found.bad += todo.item.path is not None
        found.bought += todo.item.path is None  # a URL whose content is not known before it is fetched
    elif todo.finished_if_same and sha256 is not None and sha256 == todo.state.source_sha256:
        found.done += 1
    else:
        fingerprint = look.recipe.fingerprint(todo.item.source if passed else sha256 or "")
        match look.way(fingerprint, passed=passed):
            case Way.COPY:
                found.kept += 1
            case Way.PARK:
                found.copies += 1
            case _ if found.billed and fingerprint in look.underway:
                found.taken_up += 1
            case _:
                found.bought += 1


def _sha256(item: Item) -> str | None:
    path: Path | None = item.path
    try:
        return digest(path) if path is not None else None
    except (OSError, ItemError):
        return None
