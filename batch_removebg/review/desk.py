"""What the page asks for and does, free of HTTP: views, items, decisions. All that blocks is done in threads."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import anyio
import numpy as np
from anyio import to_thread

from batch_removebg import __version__
from batch_removebg.clock import Clock
from batch_removebg.engine.devices import Precision
from batch_removebg.engine.weights import MODELS, Class
from batch_removebg.errors import BatchError, ItemError, SettingsError
from batch_removebg.finish.options import Edges, Refine
from batch_removebg.finish.presets import known
from batch_removebg.imaging.format import parse_colour
from batch_removebg.ledger.decisions import Decided
from batch_removebg.ledger.index.database import Found
from batch_removebg.ledger.state import ItemState
from batch_removebg.resources import Cpu
from batch_removebg.storage.layout import DECISIONS

from .apply import Applier, OtherPicture
from .items import Items
from .pictures import Pictures, rows
from .protocol import Decide, Query, TouchUp, details, refused
from .touch_up import operations_of
from .views import Numbers, Views, following

_AGE = 2.0  # seconds for which what is known of OUT is new enough
_PATIENCE = 1.0  # seconds that an answer waits for the items to be read, before it says how far that is
_A_MOMENT = 0.2  # the same where there is an answer anyway
_AT_ONCE = 20_000  # decisions that are written together
_UNDOS, _MOST_FORMER = 50, 100_000  # that are kept, and verdicts in one
_MOST_CHANGED = 500  # items that are named one by one as changed
_REDO = {"class": Class, "precision": Precision, "refine": Refine, "edges": Edges}


@dataclass(frozen=True, slots=True)
class Former:
    """Items that were decided on, how and when, and what had been decided before about some of them."""

    numbers: Numbers
    verdict: str
    stamps: set[str]  # of its entries, and of those that brought them back
    verdicts: Mapping[str, Decided]

    def is_followed_by(self, now: Decided | None) -> bool:
        """Whether somebody has decided otherwise since."""
        return self.verdict != "undecided" if now is None else now.verdict != self.verdict or now.t not in self.stamps


class Desk:
    """One OUT under review. Its methods raise Refusal, LedgerError, DiskError."""

    def __init__(self, items: Items, clock: Clock) -> None:
        cpu = Cpu()
        self.items, self.pictures = items, Pictures(items, cpu)
        self._applier = Applier(items.out, cpu, clock)
        self._opened = anyio.Event()
        self._failed: BatchError | None = None
        self._clock, self._tasks = clock, set[asyncio.Task[None]]()
        self._views, self._undos = Views(f"{items.revision:x}"), OrderedDict[str, Former]()
        self._refreshing, self._fresh_until = anyio.Lock(), 0.0
        self._reading: anyio.Event | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on behind the answers, until `close`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End what goes on, and close the index."""
        for task in self._tasks:
            task.cancel()
        self.items.close()

    async def open(self) -> None:
        """Open the index and read the decisions; until then, whoever asks waits."""
        try:
            await to_thread.run_sync(self.items.open, abandon_on_cancel=True)
        except BatchError as error:
            self._failed = error
        self._opened.set()

    def apply(self) -> None:
        """From now on make pictures of what people change, whenever no run is going on."""
        if not self.read_only:
            self.begin(self._applier.run())

    async def ready(self) -> None:
        """Wait until OUT is open; raises LedgerError where it can't be opened."""
        await self._opened.wait()
        if self._failed is not None:
            raise self._failed

    async def _fresh(self, *, now: bool = False) -> None:
        await self.ready()
        async with self._refreshing:
            if now or self._clock.monotonic() >= self._fresh_until:
                await to_thread.run_sync(self.items.refresh)
                self._fresh_until = self._clock.monotonic() + _AGE

    @property
    def read_only(self) -> bool:
        """Whether nothing can be decided, since OUT can't be written."""
        file = self.items.out / DECISIONS
        return not os.access(file if file.exists() else self.items.out, os.W_OK)

    async def about(self) -> dict[str, Any]:
        """What is told of OUT as a whole."""
        await self._fresh()
        told, settings = await to_thread.run_sync(lambda: (self.items.told(), self.items.settings()))
        options = {name: get_args(words) for name, words in _REDO.items()} | {"model": [*MODELS]}
        return {
            "out": self.items.out.resolve().name,
            "read_only": self.read_only,
            "report": False,
            "version": __version__,
            **{name: told[name] for name in ("provider", "engine", "run", "counts")},
            "total": told["counts"]["total"],
            "presets": [Path(name).stem for name in settings.get("preset") or ()],
            "columns": sorted(self.items.columns),
            "redo": options if told["provider"] == "local" else {},
            "price": settings.get("price"),
            "revision": self.items.revision,
        }

    async def changes(self, since: int) -> dict[str, Any]:
        """What has changed since a revision."""
        await self._fresh()
        told, changed = await to_thread.run_sync(self.items.told), self.items.changed(since)
        return {
            **{name: told[name] for name in ("run", "counts")},
            "revision": self.items.revision,
            "decisions": self.items.decisions.lines,
            "changed": None if changed is None or len(changed) > _MOST_CHANGED else sorted(changed),
        }

    async def view(self, query: Query) -> dict[str, Any]:
        """A view, or how far the items are read that it is chosen from."""
        await self._fresh()
        read = await self._read(_A_MOMENT if query.plain else _PATIENCE)
        if query.plain and not read:
            numbers = await to_thread.run_sync(self.items.all)
            counts = (await to_thread.run_sync(self.items.told))["counts"]
            facets = {"status": {name: counts[name] for name in ("saved", "failed", "pending", "gone") if counts[name]}}
        elif not read:
            return {"wait": 1, "done": round(self.items.progress, 3)}
        else:
            numbers, facets = await to_thread.run_sync(self.items.choose, query)
        found = {"view": self._views.keep(numbers), "total": len(numbers), "revision": self.items.revision}
        return found | {"facets": facets} | ({} if read else {"reading": round(self.items.progress, 3)})

    async def _read(self, patience: float) -> bool:
        """Whether all items are read by which is filtered; it is begun, and waited for so many seconds."""
        if self.items.facts is None:
            if self._reading is None:
                self._reading = anyio.Event()
                self.begin(self._read_all(self._reading))
            with anyio.move_on_after(patience):
                await self._reading.wait()
        return self.items.facts is not None

    async def _read_all(self, done: anyio.Event) -> None:
        try:
            await to_thread.run_sync(self.items.read_facts, abandon_on_cancel=True)
        finally:  # where that failed, who asks next begins it again
            self._reading = None
            done.set()

    async def rows(self, view: str, first: int, count: int) -> dict[str, Any]:
        """Some of a view's items."""
        await self.ready()
        numbers = self._views.get(view)[first : first + count]
        found = await to_thread.run_sync(rows, self.items, [int(n) for n in numbers], first)
        return {"items": found, "decisions": self.items.decisions.lines}

    async def next(self, view: str, after: int, what: str, *, back: bool) -> dict[str, Any]:
        """The place of the next item in a view that is `undecided`, `flagged` or `failed`."""
        await self.ready()
        numbers = self._views.get(view)
        while not await self._read(_PATIENCE):
            pass
        facts = await to_thread.run_sync(self.items.read_facts)
        return {"at": following(await to_thread.run_sync(facts.those, numbers, what), after, back=back)}

    async def find(self, n: int) -> Found:
        """An item by its number."""
        await self.ready()
        for found in await to_thread.run_sync(self.items.several, [n]):
            return found
        raise refused(f"there is no item {n}", 404)

    async def item(self, n: int) -> dict[str, Any]:
        """All that is told of an item."""
        _, key, state = await self.find(n)
        [told] = await to_thread.run_sync(self.told, [n])
        versions = await to_thread.run_sync(self.pictures.versions, state)
        history, size = await to_thread.run_sync(self.items.history, key), await self.pictures.size(state)
        return told | {"versions": versions, "history": history, "source_size": size}

    def told(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """What is told of items but for what takes longer. Blocks."""
        settings = self.items.settings()
        run = {"price": settings.get("price"), "backdrop": backdrop(settings)}
        states = self.items.several(numbers)
        return [row | details(state) | run for row, (*_, state) in zip(rows(self.items, numbers), states, strict=True)]

    def flagged_first(self) -> list[int]:
        """The numbers of all items, of those with flags first. Blocks."""
        numbers = np.asarray(self.items.all(), np.uint32)
        flagged = self.items.read_facts().those(numbers, "flagged")
        return [*numbers[flagged].tolist(), *numbers[~flagged].tolist()]

    async def decide(self, asked: Decide) -> dict[str, Any]:
        """Decide on items, durably; answers with what takes it back."""
        await self.ready()
        if asked.redo and asked.verdict != "redo":
            raise refused("`redo` goes with the verdict redo only")
        numbers = self._views.get(asked.view) if asked.view is not None else sorted(set(asked.items or ()))
        former = dict[str, Decided]()

        def entry(key: str, state: ItemState) -> Decided:
            before = self.items.decisions.last(key, state)
            if before is not None and len(former) <= _MOST_FORMER:
                former[key] = before
            sha256 = state.sha256
            note = asked.note if asked.note is not None else before.note if before is not None else ""
            return Decided(item=key, verdict=asked.verdict, note=note, redo=asked.redo, output_sha256=sha256)

        written, stamps = await self._write(numbers, entry)
        if len(former) > _MOST_FORMER:
            return {"written": written, "undo": None}
        self._undos[key := secrets.token_hex(8)] = Former(numbers, asked.verdict, stamps, former)
        if len(self._undos) > _UNDOS:
            self._undos.popitem(last=False)
        return {"written": written, "undo": key}

    async def undo(self, key: str) -> dict[str, Any]:
        """Write again what had been decided before, but for what somebody has decided otherwise since."""
        former, restored = self._undos.get(key), set[str]()
        if former is None:
            raise refused("that can't be undone any more", 410)

        def entry(item: str, state: ItemState) -> Decided | None:
            if former.is_followed_by(self.items.decisions.last(item, state)):
                return None
            before = former.verdicts.get(item)
            restored.update([before.t] if before is not None else [])
            return before or Decided(item=item, verdict="undecided", output_sha256=state.sha256)

        await self._fresh(now=True)
        written, stamps = await self._write(former.numbers, entry)
        self._undos.pop(key, None)
        for earlier in self._undos.values():
            earlier.stamps.update([] if earlier.stamps.isdisjoint(restored) else stamps)
        return {"written": written, "left": len(former.numbers) - written}

    async def touch_up(self, n: int, asked: TouchUp) -> dict[str, Any]:
        """Change an item's alpha, durably, and make its pictures if no run is going on."""
        if self.read_only:
            raise refused(f"{self.items.out} can't be written, so nothing can be touched up", 403)
        _, key, state = await self.find(n)
        try:
            made = await self._applier.touch_up(key, state, operations_of(asked.operations), asked.base)
        except OtherPicture as error:
            raise refused(str(error), 409) from error
        except (SettingsError, ItemError) as error:
            raise refused(str(error), 422) from error
        await self._fresh(now=True)
        return asdict(made)

    async def _write(self, numbers: Numbers, entry: Callable[[str, ItemState], Decided | None]) -> tuple[int, set[str]]:
        """Put the entries of items on disk; returns how many there are, and the stamps that they have."""
        if self.read_only:
            raise refused(f"{self.items.out} can't be written, so nothing can be decided", 403)

        def write(some: Sequence[int]) -> int:
            entries = [made for _, key, state in self.items.several(some) if (made := entry(key, state))]
            stamps.add(self.items.append(entries))
            return len(entries)

        written, stamps = 0, set[str]()
        for start in range(0, len(numbers), _AT_ONCE):
            written += await to_thread.run_sync(write, [int(n) for n in numbers[start : start + _AT_ONCE]])
        await self._fresh(now=True)
        return written, stamps


def backdrop(settings: Mapping[str, Any]) -> str | None:
    """The colour behind the pictures of a run, as `#rrggbb`; None where there is none, or a picture is."""
    with suppress(SettingsError):
        grounds = [known(name).background for name in settings.get("preset") or ()]
        if text := next(filter(None, grounds), settings.get("background")):
            return "#{:02x}{:02x}{:02x}".format(*parse_colour(text))
    return "#ffffff" if settings.get("format") == "jpeg" else None
