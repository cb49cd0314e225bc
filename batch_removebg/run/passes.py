"""A run in passes: one for each set of options that pictures have for themselves since a redo, and one for the others.

What a redo has asked for is on record with the picture (`redo`), and stays in force. Each pass reads the manifest, and
the last one has the last word about all of it. Where groups have one scale, each is two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import anyio.to_thread
from msgspec.structs import replace as changed

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
_NETWORK = ("class", "model")
_FIELDS = {name: name for name in ("model", "zoom", "precision", *_FINISH)} | {"class": "model_class"}
"""What a redo may ask for, and the settings that these are."""


async def in_passes(once: Once, settings: Settings, listener: Listener, *, stream: bool) -> Summary:
    """The outcome of all passes; `stream`: the manifest is stdin, which can be read once only."""
    summary, begun = None, Counter[bool]()

    def hear(event: Event) -> None:
        begun[event.kind is Kind.FOUND and bool(event.item)] += 1
        listener(event)

    for each in await anyio.to_thread.run_sync(partial(passes_of, settings, listener, stream=stream)):
        if summary is not None:
            each = replace(unspent(each, summary.predictions), start_over=False)
            if each.limit is not None and each.limit <= begun[True]:
                return replace(summary, limited=True)
            each = replace(each, limit=each.limit and each.limit - begun[True])
        found = await _scaled(once, each, hear, stream=stream)
        summary = found if summary is None else _joined(summary, found)
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
        main, asked = _parted(settings, fold)
        main, in_force = replace(assemble.going_on(main, fold, listener), redo=()), dict(fold.each(REDONE))
        passes, items, aside = dict[tuple[Any, ...], Settings](), dict[tuple[Any, ...], set[str]](), set[str]()

        def place(item: str, options: Asked, anew: bool | None = None) -> Part:
            """Into the pass for that; `anew`: whether by another prediction, None where it isn't made anew now."""
            key = anew, *sorted(options.items())
            only = items.setdefault(key, set())
            passes[key] = found = passes.get(key) or _with(main, options, only, anew)
            only.add(item)
            aside.add(item)
            return found.part

        own = 0
        for item, state, verdict, edit in _chosen(settings, fold) if settings.redo else ():
            own += bool(asked and verdict is not None and verdict.redo)
            try:
                part = place(item, *_wanted(main, asked, state, verdict, edit))
            except SettingsError as error:
                listener(Event(Kind.WARNING, item, text=f"is not redone: {error}"))
            else:
                part.given_up.extend([changed(edit, alpha=None)] if edit is not None else [])
        for item in in_force.keys() - aside:
            try:
                if options := _usable(main, in_force[item].redo):
                    place(item, options)
            except SettingsError as error:
                aside.add(item)
                listener(Event(Kind.WARNING, item, text=f"stays as it is: {error}"))
    if own:
        text = f"pictures for which the options that their verdict asks for go before this command's: {own}"
        listener(Event(Kind.NOTE, text=text))
    for (now, *asked_for), only in items.items():
        if now is not None and only:
            told = "".join(f", {name}" if value is True else f", {name} {value}" for name, value in asked_for)
            listener(Event(Kind.NOTE, text=f"pictures that are made anew{told}: {len(only)}"))
    return [*(() if stream else passes.values()), replace(main, part=Part(aside=aside))]


def _parted(settings: Settings, fold: IndexedFold) -> tuple[Settings, Asked]:
    """The run's own settings, and the options that were named for what is redone alone."""
    default = {name: declared(Options)[field].default for name, field in _FIELDS.items()}
    given = {name: value for name, field in _FIELDS.items() if (value := getattr(settings, field)) != default[name]}
    given.pop("precision", None)  # it is the machine's matter
    if not settings.redo or not given or not fold.provider:
        return settings, given if settings.redo else {}
    own = {_FIELDS[name]: fold.settings.get(_FIELDS[name], default[name]) for name in {*given, *_NETWORK}}
    return replace(settings, **own), given


def _chosen(settings: Settings, fold: IndexedFold) -> Iterator[tuple[str, ItemState, Decided | None, Edited | None]]:
    """The items to be made anew, the verdict about each, and somebody's edit of it."""
    decisions = Decisions.read(settings.out)
    if "rejected" in settings.redo:
        for item, state, verdict in fold.decided(decisions):
            if verdict.verdict in ("rejected", "redo") and state.sha256 is not None:
                yield item, state, verdict, decisions.edit(state)
    if "undecided-flagged" in settings.redo:
        for item, state in fold.each(FLAGGED):
            if decisions.of(item, state) is None:
                yield item, state, None, decisions.edit(state)


def _wanted(
    main: Settings, asked: Asked, state: ItemState, verdict: Decided | None, edit: Edited | None
) -> tuple[Asked, bool]:
    """The options that a picture is made anew with, those in force included, and whether by another prediction.

    Without any that were asked for it is the next better class, or a closer look; of an API, another prediction.
    Raises SettingsError where nothing of that would do.
    """
    before, given = _usable(main, state.redo), (verdict.redo if verdict is not None else {}) or asked
    if edit is not None and not (verdict is not None and verdict.t > edit.t):
        raise SettingsError("somebody has touched it up since")
    for name, value in given.items():
        if name not in _FIELDS or not isinstance(value, bool if name == "zoom" else str):
            raise SettingsError(f"{name}={value!r} is nothing that can be asked for")
        if not main.local and name not in _FINISH:
            raise SettingsError(f"{name} belongs to --provider local")
    if not given and not main.local:
        if SAME in state.notes or (verdict is None and ANEW in state.notes):
            raise SettingsError("another prediction was bought for it already")
        return before, True
    if not given:
        network = _with(main, before).network
        if (better := weights.better(network)) is None and network.zoom:
            raise SettingsError("there is no better class, and it was looked at closely already")
        given = {"class": better} if better is not None else {"zoom": True}
    if not given.keys().isdisjoint(_NETWORK):
        before = {name: value for name, value in before.items() if name not in _NETWORK}
    if (options := {**before, **given}) == state.redo:
        raise SettingsError("it was made so already")
    return options, "precision" in given


def made_with(main: Settings, options: Asked) -> Settings:
    """The settings of a picture that has options of its own, in a run with others; raises SettingsError."""
    return _with(main, _usable(main, options)) if options else main


def _usable(main: Settings, options: Asked) -> Asked:
    """Those of the options on record that mean something to the run's provider."""
    return {name: value for name, value in options.items() if name in (_FIELDS if main.local else _FINISH)}


def _with(main: Settings, options: Asked, only: set[str] | None = None, anew: bool | None = None) -> Settings:
    """The settings of a pass; raises SettingsError."""
    fields: dict[str, Any] = dict.fromkeys(("model_class", "model")) if set(_NETWORK) & options.keys() else {}
    fields |= {_FIELDS[name]: value for name, value in options.items()}
    if fields.keys() & {"model", "zoom"}:
        fields["escalate"] = False
    redone = anew is not None and (anew or main.local)
    made = replace(main, **fields, prune=False, part=Part(only, (), redone, bool(anew), options, main))
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
    left["part"] = replace(settings.part, redone=False, anew=False, given_up=[])
    return replace(unspent(settings, bought), **left)


def _joined(first: Summary, second: Summary) -> Summary:
    """Of both, which have made different items."""
    added = ("seconds", "predictions", "reused", "escalated", "possible_duplicates", "tried")
    told = {name: getattr(first, name) + getattr(second, name) for name in added}
    told |= {"skipped": max(0, second.skipped - (first.saved - first.skipped)), "engine": second.engine or first.engine}
    cost = None if second.cost is None else second.cost + (first.cost or 0)
    return replace(second, **told, cost=cost)


def unspent(settings: Settings, bought: int) -> Settings:
    """The same for a further pass, in which as much less may be spent."""
    lasting = replace(settings.lasting, spent=settings.lasting.spent + bought)
    return replace(settings, lasting=lasting) if bought else settings
