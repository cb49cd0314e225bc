"""`--dry-run`: what a run would do, and how many predictions it would buy; nothing is written or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from batch_removebg import assemble
from batch_removebg.alphas import Alphas
from batch_removebg.errors import ItemError
from batch_removebg.events import Listener
from batch_removebg.files import digest
from batch_removebg.index import Reading
from batch_removebg.ledger import NAME as LEDGER
from batch_removebg.ledger import look
from batch_removebg.model import Item
from batch_removebg.planner import Planned
from batch_removebg.recipe import Recipe
from batch_removebg.settings import Settings

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
    fold = look(settings.out / LEDGER, settings.out / assemble.STATE / assemble.INDEX)
    with closing(fold.store), closing(Reading(fold)) as reading:
        return _preview(inputs, settings, listener, reading)


def _preview(inputs: Sequence[str], settings: Settings, listener: Listener, reading: Reading) -> Preview:
    recipe = assemble.recipe_of(settings)
    planner = assemble.planner(settings, reading, recipe)
    alphas = Alphas(settings.out / assemble.STATE / assemble.ALPHAS)
    found = Preview(billed=settings.provider != "local")
    begun, items = 0, assemble.read(inputs, settings, listener)
    while settings.limit is None or begun < settings.limit:
        plan = planner.plan_all(list(islice(items, CHUNK)), None if settings.limit is None else settings.limit - begun)
        if not plan.read:
            break
        found.total += plan.read
        found.done += plan.done
        found.left += plan.left
        begun += len(plan.todos)
        for planned in plan.todos:
            _count(found, planned, recipe, alphas)
    allowed, _ = settings.budget()
    if allowed is not None:
        found.beyond = max(0, found.bought - allowed)
        found.bought -= found.beyond
    return found


def _count(found: Preview, planned: Planned, recipe: Recipe, alphas: Alphas) -> None:
    """Put an item that is to be done under its heading."""
    if planned.todo.item.problem is not None:
        found.bad += 1
    else:
        _count_work(found, planned, recipe, alphas)


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
