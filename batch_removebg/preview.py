"""`--dry-run`: what a run would do, and how many predictions it would buy; nothing is written or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_removebg import assemble
from batch_removebg.alphas import Alphas
from batch_removebg.errors import ItemError
from batch_removebg.events import Listener
from batch_removebg.files import digest
from batch_removebg.fold import Step
from batch_removebg.ledger import NAME as LEDGER
from batch_removebg.ledger import replay
from batch_removebg.model import Item
from batch_removebg.planner import Planned, Planner
from batch_removebg.recipe import Recipe
from batch_removebg.settings import Settings


@dataclass(slots=True)
class Preview:
    """How many items a run would find, and what it would do with them."""

    total: int = 0
    done: int = 0
    """Saved and unchanged: nothing to do."""
    left: int = 0
    """Failed before, and left alone without --retry-failed."""
    kept: int = 0
    """Made from alphas that were kept: no prediction."""
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


def preview(inputs: Sequence[str], settings: Settings, listener: Listener) -> Preview:
    """Go through the manifest without doing anything; reads every file that is not known to be done. Blocks."""
    fold, _ = replay(settings.out / LEDGER)
    recipe = assemble.recipe_of(settings)
    planner, alphas = assemble.planner(settings, fold, recipe), Alphas(settings.out / assemble.STATE / assemble.ALPHAS)
    found = Preview(billed=settings.provider != "local")
    begun = 0
    for item in assemble.read(inputs, settings, listener):
        found.total += 1
        begun += _count(found, planner, item, recipe, alphas)
        if begun == settings.limit:
            break
    allowed, _ = settings.budget()
    if allowed is not None:
        found.beyond = max(0, found.bought - allowed)
        found.bought -= found.beyond
    return found


def _count(found: Preview, planner: Planner, item: Item, recipe: Recipe, alphas: Alphas) -> int:
    """Put the item under its heading; 1 if a worker would take it up."""
    try:
        planned = planner.plan(item)
    except ItemError:
        found.bad += 1
        return 1
    if planned.step is Step.DONE:
        found.done += 1
    elif planned.step is Step.LEAVE:
        found.left += 1
    elif item.problem is not None:
        found.bad += 1
    else:
        _count_work(found, planned, recipe, alphas)
    return planned.step is Step.DO


def _count_work(found: Preview, planned: Planned, recipe: Recipe, alphas: Alphas) -> None:
    todo, sha256 = planned.todo, _sha256(planned.todo.item)
    passed_on = todo.item.path is None and recipe.passes_urls
    if todo.item.path is not None and sha256 is None:
        found.bad += 1
    elif todo.finished_if_same and sha256 is not None and sha256 == todo.state.source_sha256:
        found.done += 1
    elif sha256 is not None and alphas.has(recipe.fingerprint(sha256)):
        found.kept += 1
    elif (
        found.billed
        and todo.state.in_flight
        and todo.state.fingerprint == recipe.fingerprint(todo.item.source if passed_on else sha256 or "")
    ):
        found.taken_up += 1
    else:
        found.bought += 1


def _sha256(item: Item) -> str | None:
    path: Path | None = item.path
    try:
        return digest(path) if path is not None else None
    except (OSError, ItemError):
        return None
