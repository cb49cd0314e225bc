"""`--dry-run`: what a run would do, and how many predictions it would buy; nothing is written or sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from batch_removebg.clock import Clock
from batch_removebg.errors import ItemError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.journal import look
from batch_removebg.manifest.folder import left_out_text
from batch_removebg.manifest.reader import read_rows
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Cutout, Todo
from batch_removebg.storage import layout
from batch_removebg.storage.atomic import digest

from . import assemble
from .settings import Settings

CHUNK = 500  # items planned together


@dataclass(slots=True)
class Preview:
    """How many items a run would find and how they would end, see `report.preview`; named as in `--progress json`."""

    total: int = 0
    done: int = 0
    left: int = 0
    kept: int = 0
    copies: int = 0
    taken_up: int = 0
    bought: int = 0
    beyond: int = 0
    bad: int = 0
    spent: int = 0
    billed: bool = False  # whether a prediction costs money


@dataclass(slots=True)
class _Sorter:
    """Finds for each item the count of `Preview` that it belongs to."""

    recipe: Recipe
    on_hand: OnHand
    in_flight: set[str]  # fingerprints of billed predictions that earlier runs have begun
    predicted: set[int] = field(default_factory=set)  # hashes of those that a prediction was counted for

    def count_of(self, todo: Todo) -> str:
        item = todo.item
        if item.problem is not None:
            return "bad"
        if todo.known is not None:  # what its host will say isn't known, and mostly is that nothing has changed
            return "done"
        if item.path is not None:
            try:
                source = digest(item.path)
            except (OSError, ItemError):
                return "bad"
            if todo.finished_if_same and source == todo.state.source_sha256:
                return "done"
        elif self.recipe.passes_urls:
            source = item.source
        else:
            return "bought"  # the content of a URL isn't known before it is fetched
        fingerprint = self.recipe.fingerprint(source)
        key = int(fingerprint[:16], 16)
        if key in self.predicted:
            return "copies"
        if item.path is None and (found := self.on_hand.passed(fingerprint)[0]) is not None:
            return "spent" if isinstance(found, Cutout) and found.lossy else "kept"
        if item.path is not None and self.on_hand.alphas.has(fingerprint):
            return "kept"
        self.predicted.add(key)
        return "taken_up" if fingerprint in self.in_flight else "bought"


def preview(inputs: Sequence[str], settings: Settings, listener: Listener) -> Preview:
    """Go through the manifest without doing anything; reads every file that isn't known to be done. Blocks."""
    settings = assemble.going_on(settings, listener)
    recipe, billed = assemble.recipe_of(settings), not settings.local
    counts, begun, limit, how = Counter[str](), 0, settings.limit, assemble.reading_of(settings, listener)
    items = read_rows(inputs, how)
    fold = look(settings.out / layout.LEDGER, settings.out / layout.INDEX, start_over=settings.start_over)
    with closing(fold), closing(RunItems(fold)) as reading:
        planner = assemble.planner(settings, reading, recipe, Clock())
        unsettled = {state.fingerprint for state in fold.unsettled() if state.in_flight and state.fingerprint}
        on_hand = OnHand(settings.out, fold.made, recipe.passed, buy_again=settings.buy_again)
        sorter = _Sorter(recipe, on_hand, unsettled if billed else set())
        while limit is None or begun < limit:
            plan = planner.plan_all(list(islice(items, CHUNK)), None if limit is None else limit - begun)
            if not plan.read:
                break
            counts.update(total=plan.read, done=plan.done, left=plan.left)
            counts.update(map(sorter.count_of, plan.todos))
            begun += len(plan.todos)
        earlier = fold.billed
    if how.folders.left_out:
        listener(Event(Kind.WARNING, text=left_out_text(how.folders.left_out)))
    allowed, _ = settings.budget(earlier)
    if allowed is not None and counts["bought"] > allowed:
        counts["beyond"], counts["bought"] = counts["bought"] - allowed, allowed
    return Preview(**counts, billed=billed)
