"""A run in passes: one for each set of options that redone pictures have for their own, then one for all the others.

What a redo has asked for is on record with the picture (`redo`), and stays in force. Each pass reads the manifest and
is a run in the ledger; the last one has the last word about all of it. Where groups have one scale, each is made twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import anyio.to_thread

from batch_removebg.engine import weights
from batch_removebg.errors import SettingsError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.hashing import hash64
from batch_removebg.ledger.decisions import Decided, Decisions, Edited
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.schema import FLAGGED, REDONE
from batch_removebg.ledger.state import ItemState
from batch_removebg.pipeline.download import ANEW, SAME

from . import assemble
from .declare import declared
from .options import Options
from .settings import Part, Settings
from .summary import Summary

Once = Callable[..., Awaitable[Summary]]  # one pass, of settings and `listener`
Asked = Mapping[str, Any]  # options as decisions and the ledger name them
_FINISH = ("refine", "edges")  # what an alpha is finished with, whoever made it
_FIELDS = {"class": "model_class"} | {name: name for name in ("model", "zoom", "precision", *_FINISH)}
"""What a redo may ask for, and the settings that these are."""
_NAMED = ("class", "model", "zoom", *_FINISH)  # on the command line: for what is redone alone


async def in_passes(once: Once, settings: Settings, listener: Listener, *, stream: bool) -> Summary:
    """The outcome of all passes; `stream`: the manifest is stdin, which can be read once only."""
    passes = await anyio.to_thread.run_sync(partial(passes_of, settings, listener, stream=stream))
    summary, begun, heard, said = None, 0, set[tuple[Kind, str]](), set[tuple[Kind, str]]()

    def hear(event: Event) -> None:
        nonlocal begun
        begun += event.kind is Kind.FOUND and bool(event.item)
        if event.kind is Kind.TOTAL or (event.kind in (Kind.NOTE, Kind.WARNING) and not event.item):
            said.add((event.kind, event.text))
            if (event.kind, event.text) in heard:  # of an earlier pass
                return
        listener(event)

    for each in passes:
        if summary is not None and each.limit is not None:
            if begun >= each.limit:
                return replace(summary, limited=True)
            each = replace(each, limit=each.limit - begun)
        each = each if summary is None else replace(_unspent(each, summary.predictions), start_over=False)
        found = await _scaled(once, each, listener if len(passes) == 1 else hear, stream=stream)
        summary, heard = _joined(summary, found), heard | said
        if found.stopped is not None:
            break
    assert summary is not None  # noqa: S101  # there is one pass at least
    return summary


def passes_of(settings: Settings, listener: Listener, *, stream: bool = False) -> list[Settings]:
    """The settings of each pass, the last being for all items that no other is for; blocks.

    Raises SettingsError, and LedgerError where OUT's ledger or decisions can't be read.
    """
    if settings.redo and stream:
        raise SettingsError("--redo reads the manifest twice, which stdin can't be: write it to a file first")
    with closing(assemble.looked(settings)) as fold:
        in_force = dict(fold.each(REDONE))
        if not (settings.redo or in_force):
            return [settings]
        main, asked = _parted(settings, fold)
        main = assemble.going_on(main, listener)
        passes = _Passes(main, listener)
        if settings.redo:
            passes.redo(asked, fold, Decisions.read(settings.out))
        for item, state in in_force.items():
            passes.keep(item, state)
    return passes.settings(stream=stream)


def _parted(settings: Settings, fold: IndexedFold) -> tuple[Settings, Asked]:
    """The run's own settings, and the options that were named for what is redone alone."""
    options = declared(Options)
    given = {name: getattr(settings, _FIELDS[name]) for name in _NAMED}
    asked = {
        name: value
        for name, value in given.items()
        if value != options[_FIELDS[name]].default or _FIELDS[name] in settings.given
    }
    if not (settings.redo and asked and fold.provider):
        return settings, asked if settings.redo else {}
    both = {"class", "model"} if {"class", "model"} & asked.keys() else set()
    own = {_FIELDS[name]: fold.settings.get(_FIELDS[name], options[_FIELDS[name]].default) for name in {*asked, *both}}
    return replace(settings, **own), asked


@dataclass
class _Pass:
    settings: Settings
    options: Asked
    now: bool
    items: set[str] = field(default_factory=set)
    given_up: list[Edited] = field(default_factory=list)


@dataclass
class _Passes:
    """The passes of a run for items with options of their own, as they are found."""

    main: Settings
    listener: Listener
    by: dict[tuple[Any, ...], _Pass] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)  # whose options are no use here: nothing is done about them

    def redo(self, asked: Asked, fold: IndexedFold, decisions: Decisions) -> None:
        """Place what is to be made anew now."""
        for item, state, verdict in _chosen(self.main, fold, decisions):
            content = state.source_sha256 or state.fingerprint or ""
            edit = decisions.edited.get(content)
            try:
                if edited := edit is not None and edit.alpha is not None and not (verdict and verdict.t > edit.t):
                    raise SettingsError("somebody has touched it up since")
                options = _wanted(self.main, asked, state, verdict)
                found = self._place(item, options, now=True)
            except SettingsError as error:
                self.listener(Event(Kind.WARNING, item, text=f"is not redone: {error}"))
            else:
                if edit is not None and edit.alpha is not None and not edited:
                    found.given_up.append(Edited(item=item, content=content, alpha=None, output_sha256=state.sha256))

    def keep(self, item: str, state: ItemState) -> None:
        """Place an item that stays as a redo has made it."""
        options = _usable(self.main, state.redo)
        if item in self.items or not options:
            return
        try:
            self._place(item, options, now=False)
        except SettingsError as error:
            self.left.add(item)
            self.listener(Event(Kind.WARNING, item, text=f"stays as a redo has made it: {error}"))

    def _place(self, item: str, options: Asked, *, now: bool) -> _Pass:
        key = now, *sorted(options.items())
        if key not in self.by:
            self.by[key] = _Pass(_with(self.main, options), options, now)
        self.items.add(item)
        self.by[key].items.add(item)
        return self.by[key]

    def settings(self, *, stream: bool) -> list[Settings]:
        """Of each pass; the main one leaves alone what the others are for."""
        settings, passes = [], [] if stream else self.by.values()
        for each in passes:
            part = Part(only=each.items, redo=each.options, whole=self.main, given_up=tuple(each.given_up))
            if each.now:
                told = ", ".join(name if value is True else f"{name} {value}" for name, value in each.options.items())
                text = f"pictures that are made anew{f', with {told}' if told else ''}: {len(each.items)}"
                self.listener(Event(Kind.NOTE, text=text))
                again = not self.main.local or "precision" in each.options
                forced = each.items if self.main.local or not each.options else ()
                part = replace(part, redone=forced, anew=again)
            settings.append(replace(each.settings, part=part))
        return [*settings, replace(self.main, redo=(), part=Part(aside=self.items | self.left))]


def _chosen(
    settings: Settings, fold: IndexedFold, decisions: Decisions
) -> Iterator[tuple[str, ItemState, Decided | None]]:
    """The items to be made anew, and the verdict about each."""
    if "rejected" in settings.redo:
        for item, verdict in decisions.decided.items():
            state = fold.items.get(item) if verdict.verdict in ("rejected", "redo") else None
            if state is not None and state.sha256 and not state.gone and decisions.of(item, state) is not None:
                yield item, state, verdict
    if "undecided-flagged" in settings.redo:
        for item, state in fold.each(FLAGGED):
            if decisions.of(item, state) is None:
                yield item, state, None


def _wanted(main: Settings, asked: Asked, state: ItemState, verdict: Decided | None) -> Asked:
    """The options that a picture is made anew with, those in force included; raises SettingsError where none would do.

    Without any that were asked for it is the next better class, or a closer look; of an API, another prediction.
    """
    before, given = _usable(main, state.redo), dict(asked or (verdict.redo if verdict is not None else {}))
    for name, value in given.items():
        if name not in _FIELDS or not isinstance(value, bool if name == "zoom" else str):
            raise SettingsError(f"{name}={value!r} is nothing that can be asked for")
        if not main.local and name not in _FINISH:
            raise SettingsError(f"{name} belongs to --provider local")
    if not given and not main.local:
        if SAME in state.notes or (verdict is None and ANEW in state.notes):
            raise SettingsError("another prediction was bought for it already")
        return before
    if not given:
        by, at, _ = (state.engine or "").rpartition(" ")[2].partition("@")  # where a better network made it
        network = weights.MODELS[by] if at and by in weights.MODELS else _with(main, before).network
        if (better := weights.better(network)) is None and network.zoom:
            raise SettingsError("there is no better class, and it was looked at closely already")
        given = {"class": better} if better is not None else {"zoom": True}
    if not {"class", "model"}.isdisjoint(given):
        before = {name: value for name, value in before.items() if name not in ("class", "model")}
    options = {name: value for name, value in {**before, **given}.items() if value is not False}
    if options == state.redo:
        raise SettingsError("it was made so already")
    return options


def _usable(main: Settings, options: Asked) -> Asked:
    """Those of the options on record that mean something to the run's provider."""
    return {name: value for name, value in options.items() if name in (_FIELDS if main.local else _FINISH)}


def _with(main: Settings, options: Asked) -> Settings:
    """The settings of a pass with these options; raises SettingsError."""
    fields: dict[str, Any] = {_FIELDS[name]: value for name, value in options.items()}
    if not {"class", "model"}.isdisjoint(options):
        fields = {"model_class": None, "model": None} | fields
    if not {"class", "model", "zoom"}.isdisjoint(options):
        fields["escalate"] = False
    made = replace(main, **fields, redo=(), prune=False)
    if made.local:
        made.network  # noqa: B018  # raises where it isn't known
    return made


async def _scaled(once: Once, settings: Settings, listener: Listener, *, stream: bool) -> Summary:
    """A pass, or two where groups have one scale: in the second those pictures are made again that don't have it."""
    if settings.scale_group is None:
        return await once(settings, listener=listener)
    if stream:
        raise SettingsError("--scale-group reads the manifest twice, which stdin can't be: write it to a file first")

    held = dict[str, list[Event]]()  # what the first run says of pictures that the second may make again
    made, twice = set[int](), 0

    def hear(event: Event, *, again: bool) -> None:
        nonlocal twice
        if event.kind is Kind.SAVED:
            twice += hash64(event.item) in made
            made.add(hash64(event.item))
        if event.kind is Kind.TOTAL:
            event = replace(event, count=2 * event.count)
        elif event.kind is Kind.STARTED:
            held.pop(event.item, None)
        remark = event.kind in (Kind.NOTE, Kind.WARNING)
        if remark and event.item and not again:
            held.setdefault(event.item, []).append(event)
        elif not (remark and again and not event.item):  # which has been heard already
            listener(event)

    listener(Event(Kind.NOTE, text=f"pictures are made twice where one scale in each {settings.scale_group} needs it"))
    first = await once(replace(settings, prune=False), listener=partial(hear, again=False))
    summary = first
    if first.stopped is None:
        second = await once(_after(settings, first.predictions), listener=partial(hear, again=True))
        reused = max(0, first.reused + second.reused - twice)
        summary = replace(_joined(first, second), skipped=max(0, second.saved - len(made)), reused=reused)
    for event in chain(*held.values()):
        listener(event)
    return summary


def _after(settings: Settings, bought: int) -> Settings:
    """The settings of the second, which begins nothing anew."""
    left: dict[str, Any] = {"retry_failed": False, "start_over": False, "force": None, "buy_again": False}
    return replace(_unspent(settings, bought), **left, part=replace(settings.part, redone=(), given_up=()))


def _joined(first: Summary | None, second: Summary) -> Summary:
    """Of both, which have made different items."""
    if first is None:
        return second
    added = ("seconds", "predictions", "reused", "escalated", "possible_duplicates")
    sums = {name: getattr(first, name) + getattr(second, name) for name in added}
    return replace(second, **sums, skipped=max(0, second.skipped - (first.saved - first.skipped)))


def _unspent(settings: Settings, bought: int) -> Settings:
    """The same for a further pass, in which as much less may be spent."""
    left: dict[str, Any] = {}
    if settings.max_predictions is not None:
        left["max_predictions"] = max(0, settings.max_predictions - bought)
    if settings.max_cost is not None and settings.price is not None:
        left["max_cost"] = max(0.0, settings.max_cost - bought * settings.price)
    return replace(settings, **left)
