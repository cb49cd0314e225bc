"""What decisions change in OUT, once no run holds its lock: edits become pictures, held ones are released."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import anyio
import anyio.to_thread

from batch_removebg.clock import Clock
from batch_removebg.engine import weights
from batch_removebg.errors import (
    BatchError,
    LedgerError,
    LockedError,
    OutputBroken,
    SettingsError,
    SourceError,
    UsageError,
)
from batch_removebg.events import ignore
from batch_removebg.hashing import sha256_hex
from batch_removebg.imaging.probe import measure
from batch_removebg.ledger.decisions import Decisions, Edited
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.journal import Ledger, look
from batch_removebg.ledger.results import render, write
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Capabilities, Item, Provider
from batch_removebg.net import fetch
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.context import Context
from batch_removebg.pipeline.download import Downloader
from batch_removebg.pipeline.edits import Edits
from batch_removebg.pipeline.hosts import NotNow
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.prepare import prepare
from batch_removebg.pipeline.work import Cutout, Todo
from batch_removebg.resources import Cpu, patience
from batch_removebg.run import assemble
from batch_removebg.run.passes import made_with
from batch_removebg.run.release import due, release
from batch_removebg.run.settings import Settings
from batch_removebg.storage import layout
from batch_removebg.storage.atomic import signature
from batch_removebg.storage.lock import held, locked
from batch_removebg.storage.naming import is_url
from batch_removebg.storage.spool import loaded

from .touch_up import Operation, touched_up

_PAUSE = 2.0  # seconds between two looks whether the lock is free
_SMALL = 5_000  # items up to which results.json is written anew for each edit; else the next run does that
_LONGEST = 5.0  # seconds after which the lock is let go, for runs that wait for it
_SILENT = "the host of its source doesn't answer now"
_NEXT, _SOON = "the next run makes its picture", "others come first: its picture is made soon"


class OtherPicture(UsageError, kind="other-picture"):
    """The picture, or its source, isn't the one any more that was looked at."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a touch-up."""

    alpha: str | None  # its sha256; None where it was given up
    state: Literal["made", "waits"]
    why: str = ""  # it waits


class Applier:
    """Makes the pictures of new edits, those of earlier reviews too, whenever no run holds the lock of OUT."""

    def __init__(self, out: Path, cpu: Cpu, clock: Clock) -> None:
        self._out, self._cpu, self._clock = out, cpu, clock
        self._decisions = Decisions(out / layout.DECISIONS)
        self._turn = anyio.Lock()
        self._due = True  # something may be to do that isn't left to the next run

    async def run(self) -> None:
        """Do what is to do as soon as that is possible, until this is cancelled."""
        while True:
            async with self._turn:
                with suppress(LedgerError):  # the page tells of it
                    self._due |= await anyio.to_thread.run_sync(self._decisions.refresh)
                if self._due and not held(self._out / layout.STATE):
                    await self._apply()
            await self._clock.sleep(_PAUSE)

    async def touch_up(self, item_id: str, state: ItemState, operations: Sequence[Operation], base: str) -> Result:
        """Put an edit on record, durably, and make its pictures if no run is going on; no operations give it up.

        Raises OtherPicture where `base` isn't the picture's sha256, SettingsError, SourceError or SpentPicture where
        there is nothing to paint on, DiskError.
        """
        if base != state.sha256 or not state.is_made:
            raise OtherPicture("the picture was made anew meanwhile: look at it again")
        if state.content is None:
            raise SettingsError("it isn't on record what its picture was made of; `run --force` with its id mends that")
        async with self._turn:
            await anyio.to_thread.run_sync(self._decisions.refresh)
            alpha = await self._painted(item_id, state, operations) if operations else None
            entry = Edited(
                item=item_id, content=state.content, alpha=alpha, output_sha256=base, operations=len(operations)
            )
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._decisions.append, [entry], self._clock.stamp())
            self._due = True
            waits = await self._apply(item_id)
        why = waits.get(item_id, waits.get("", ""))
        return Result(alpha, "waits" if why else "made", why)

    async def _painted(self, item_id: str, state: ItemState, operations: Sequence[Operation]) -> str:
        """The sha256 of the alpha in force after the operations, which is durable."""
        edits, kept, data, matte = Edits.of(self._decisions), None, b"", None
        with closing(await anyio.to_thread.run_sync(self._look)) as fold:
            settings = await anyio.to_thread.run_sync(_settings, self._out, fold)
            recipe = _recipe(settings, item := _item(item_id, state), state)
            on_hand = OnHand(self._out, fold.made, "", edits=edits)
            if (earlier := edits.alphas.get(state.content or "")) is not None:
                kept = await anyio.to_thread.run_sync(edits.load, earlier)
            elif state.source_sha256 is None:
                found, _ = await anyio.to_thread.run_sync(on_hand.passed, state.content or "")
                if not isinstance(found, Cutout) or found.lossy:
                    raise SourceError("has no cutout on this disk that could be touched up")
                data = found.data
            else:
                data = await self._source(settings, item, state.source_sha256)
                matte = await anyio.to_thread.run_sync(on_hand.matte, recipe.fingerprint(state.source_sha256))
                if matte is None:
                    raise SourceError("has no alpha on this disk that could be touched up")
        limits = settings.limits()
        paint = partial(touched_up, limits=limits, refine=recipe.finish.refine, operations=operations)
        measured = await self._cpu.isolated(patience(0), measure, kept or data, limits)
        async with self._cpu.memory(measured.cost):
            try:
                seconds = patience(measured.width * measured.height)
                made = await self._cpu.isolated(seconds, paint, kept, data, matte)
            except OutputBroken as error:
                raise SourceError(str(error)) from error
        return await anyio.to_thread.run_sync(edits.keep, made)

    async def _source(self, settings: Settings, item: Item, sha256: str) -> bytes:
        """The bytes of an item's source; raises OtherPicture, or SourceError where they can't be had now."""
        async with fetch.lazy_session(public_only=settings.public_only, reuse=False) as session:
            workers = assemble.workers_here(session, settings, self._cpu)
            sources = assemble.sources(workers, self._clock, self._clock.sleep)
            try:
                data = loaded((await sources.read(item)).body)
            except NotNow as later:
                raise SourceError(_SILENT) from later
        if await self._cpu.run(sha256_hex, data) != sha256:
            raise OtherPicture("its source is another one by now: run again first")
        return data

    async def _apply(self, first: str = "") -> dict[str, str]:
        """Make what is to do; returns why something waits, by item, or by nothing for all."""
        out, waits = self._out, dict[str, str]()
        try:
            await anyio.to_thread.run_sync(self._decisions.refresh)
            edits = Edits.of(self._decisions)
            if await anyio.to_thread.run_sync(self._any, edits):
                async with AsyncExitStack() as stack:
                    lock = locked(out / layout.STATE, clock=self._clock, brief=True)
                    await anyio.to_thread.run_sync(stack.enter_context, lock)
                    ledger = Ledger(out / layout.LEDGER, index=out / layout.INDEX, clock=self._clock)
                    waits = await self._make_all(await stack.enter_async_context(ledger), edits, first)
            self._due = _SOON in waits.values()
        except LockedError:
            waits[""] = "a run is going on: the picture is made once that has ended"
        except BatchError as error:
            self._due, waits[""] = False, f"{_NEXT}: {error}"
        return waits

    def _look(self) -> IndexedFold:
        return look(self._out / layout.LEDGER, self._out / layout.INDEX)

    def _any(self, edits: Edits) -> bool:
        """Whether an edit isn't a picture yet, or a held one was accepted."""
        holds = any(path.is_file() for path in (self._out / layout.HELD).rglob("*"))
        if not (edits.alphas or holds):
            return False
        with closing(self._look()) as fold:
            return next(edits.late(fold), None) is not None or bool(holds and due(fold, self._decisions))

    async def _make_all(self, ledger: Ledger, edits: Edits, first: str) -> dict[str, str]:
        waits, begun = dict[str, str](), self._clock.monotonic()
        await release(self._out, ledger, lambda _: None)  # of what isn't moved the next run tells
        settings = await anyio.to_thread.run_sync(_settings, self._out, ledger.fold)
        nobody = cast("Provider", SimpleNamespace(capabilities=Capabilities(billed=False)))  # nothing is bought here
        async with fetch.lazy_session(public_only=settings.public_only, reuse=False) as session:
            workers = assemble.workers_here(session, settings, self._cpu)
            context = assemble.context_of(
                settings, nobody, ledger, workers, cpu=self._cpu, clock=self._clock, listener=ignore
            )
            for key, state in sorted(edits.late(ledger.fold), key=lambda late: late[0] != first):
                if self._clock.monotonic() - begun > _LONGEST:
                    waits[key] = _SOON
                    continue
                try:
                    await self._make(context, settings, edits, key, copy(state))
                except BatchError as error:
                    waits[key] = f"{_NEXT}: {error}"
        async with ledger.still() as fold:
            if fold.items.last <= _SMALL and fold.run.state == "finished" and not fold.counts()["pending"]:
                parts = render(ledger.run_items.frozen(fold), ledger.decisions)
                await anyio.to_thread.run_sync(write, self._out / layout.RESULTS, parts)
        return waits

    async def _make(self, context: Context, settings: Settings, edits: Edits, key: str, state: ItemState) -> None:
        """Make the item's pictures again; raises BatchError where the next run has to."""
        recipe = _recipe(settings, item := _item(key, state), state)
        names = {one.preset: one.output for one in state.renditions}
        name, *others = (names[finish.preset] for finish in recipe.finishes)
        mark = None
        with suppress(OSError):
            mark = signature(item.path) if item.path is not None else None
        todo = Todo(item, name, state, mark, others=tuple(others), recipe=recipe)
        context = replace(context, recipe=recipe)
        try:
            prepared = await prepare(context, todo)
        except NotNow as later:
            raise SourceError(_SILENT) from later
        if prepared.content != state.content:
            raise SourceError("its source is another one now")
        on_hand = assemble.on_hand(settings, context.ledger.fold, recipe, edits)
        predicted = await self._cpu.run(on_hand.copy, prepared)
        if predicted is None:
            raise SourceError("what was bought for it isn't on this disk")
        await Downloader(context, on_hand, self._out).save(predicted)


def _item(key: str, state: ItemState) -> Item:
    """The item as its manifest had it, as far as that is on record."""
    path = None if is_url(state.source) else Path(state.source)
    return Item(key, state.source, "the ledger", path=path, meta=state.meta or {})


def _settings(out: Path, fold: IndexedFold) -> Settings:
    """Those of the last run; raises SettingsError where they aren't on record. Blocks."""
    settings = Settings.recorded(out, fold.settings)
    if fold.provider != settings.provider:
        raise SettingsError("the last run had a provider of its own")
    return assemble.going_on(settings, fold, ignore)


def _recipe(settings: Settings, item: Item, state: ItemState) -> Recipe:
    """The one that the item's pictures were made with; raises SettingsError where the last run's settings differ."""
    made = {one.preset: one.recipe for one in state.renditions}
    for recipe in map(assemble.recipe_of, _each_network(made_with(settings, state.redo))):
        wanted = zip(recipe.finishes, recipe.digests_of(item), strict=True)
        if all(made.get(finish.preset, "") in (None, digest) for finish, digest in wanted):
            return recipe
    raise SettingsError("it was made with other settings than those of the last run")


def _each_network(settings: Settings) -> Iterator[Settings]:
    yield settings
    if settings.local:
        yield from (replace(settings, model_class=None, model=name) for name in weights.MODELS)
