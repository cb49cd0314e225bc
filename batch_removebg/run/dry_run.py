"""`--dry-run`: what a run would do, and how many predictions it would buy; nothing is written or sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from contextlib import closing
from itertools import islice

from batch_removebg.clock import Clock
from batch_removebg.engine import weights
from batch_removebg.errors import ItemError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.decisions import Decisions
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.manifest.folder import left_out_text
from batch_removebg.manifest.reader import read_rows
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.edits import Edits
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Cutout, Todo
from batch_removebg.storage.atomic import digest
from batch_removebg.workers import remote

from . import assemble
from .passes import passes_of
from .settings import Settings

CHUNK = 500  # items planned together


ENDINGS = {
    "done": "are saved and unchanged",
    "left": "failed before and aren't tried again (--retry-failed does that)",
    "kept": "would be made from the results of earlier predictions, without a new one",
    "copies": "have the same content as one before them, and would be made from its prediction",
    "taken_up": "have a prediction in flight that would be collected",
    "bad": "would fail: the source can't be read",
    "spent": "would fail: what was bought is left in a format that can't give this one (--buy-again buys)",
    "bought": "would need a new prediction",
    "beyond": "would have to wait for another run: the budget is reached",
}
"""How items would end: by the name in `--progress json`, and for people."""


def _ending(todo: Todo, recipe: Recipe, on_hand: OnHand, in_flight: Set[str], predicted: set[int]) -> str:
    """Which of `ENDINGS` an item has.

    `in_flight`: fingerprints of billed predictions that earlier runs have begun; `predicted`: hashes of those that an
    item before needs, to which this one's is added.
    """
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
    elif recipe.passes(item):
        source = item.source
    else:
        return "bought"  # the content of a URL isn't known before it is fetched
    fingerprint = recipe.fingerprint(source)
    key = int(fingerprint[:16], 16)
    if key in predicted:
        return "copies"
    if todo.anew:
        predicted.add(key)
        return "bought"
    if item.path is None and (found := on_hand.passed(fingerprint)[0]) is not None:
        return "spent" if isinstance(found, Cutout) and found.lossy else "kept"
    if item.path is not None and (on_hand.edits.alphas.get(source) or on_hand.serves(fingerprint)):
        return "kept"
    predicted.add(key)
    return "taken_up" if fingerprint in in_flight else "bought"


def require(settings: Settings) -> None:
    """Raise SettingsError where what works on pixels isn't there, as the run would. Blocks."""
    if settings.away:
        remote.require(settings.workers)
    if settings.local and settings.workers in ("here", "ray"):
        from batch_removebg.engine.runtimes import opening

        opening.require(settings.device, settings.precision)


def preview(inputs: Sequence[str], settings: Settings, listener: Listener) -> Counter[str]:
    """How many items a run would find (`total`), and how many with each of `ENDINGS`.

    Reads the manifest, and every file that isn't known to be done. Blocks.
    """
    counts = Counter[str](begun=0)
    for each in passes_of(settings, listener, stream="-" in inputs):
        counts += _of_pass(inputs, each, counts["begun"], listener)
    with closing(assemble.looked(settings)) as fold:
        allowed, _ = settings.budget(fold.billed)
    del counts["begun"]
    if allowed is not None and counts["bought"] > allowed:
        counts["beyond"], counts["bought"] = counts["bought"] - allowed, allowed
    return counts


def _of_pass(inputs: Sequence[str], settings: Settings, before: int, listener: Listener) -> Counter[str]:
    """The same of one pass, and the items to do as `begun`, of which passes before it had some."""
    if settings.local and (text := weights.notice(settings.network, "would be")):
        listener(Event(Kind.NOTE, text=text))
    recipe = assemble.recipe_of(settings)
    counts, begun, limit, how = Counter[str](), before, settings.limit, assemble.reading_of(settings, listener)
    items, edits = read_rows(inputs, how), Edits.of(Decisions.read(settings.out))
    fold = assemble.looked(settings)
    with closing(fold), closing(RunItems(fold)) as reading:
        planner = assemble.planner(settings, reading, recipe, Clock(), edits)
        unsettled = {state.fingerprint for state in fold.unsettled() if state.in_flight and state.fingerprint}
        on_hand = assemble.on_hand(settings, fold, recipe, edits)
        in_flight, predicted = set() if settings.local else unsettled, set[int]()
        while limit is None or begun < limit:
            plan = planner.plan_all(list(islice(items, CHUNK)), None if limit is None else limit - begun)
            if not plan.read:
                break
            counts.update(total=plan.read - plan.elsewhere, done=plan.done, left=plan.left)
            counts.update(_ending(todo, recipe, on_hand, in_flight, predicted) for todo in plan.todos)
            begun += len(plan.todos)
    if how.folders.left_out and settings.part.only is None:
        listener(Event(Kind.WARNING, text=left_out_text(how.folders.left_out)))
    return counts + Counter(begun=begun - before)
