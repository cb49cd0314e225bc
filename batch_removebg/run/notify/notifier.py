"""Tells of runs: the beginning, what aborts one as soon as that is known, and the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from batch_removebg.clock import Clock
from batch_removebg.errors import AbortError, BatchError, LockedError, kinds
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from batch_removebg.storage.atomic import write_atomic
from batch_removebg.storage.layout import NOTIFIED, STATE

from .rules import FINE, Notify, wanted
from .targets import PACE, Acts, Message, Pace, Targets

_ABORTS = kinds(AbortError)
_FIRST = {"exit_code": 0, "failed": 0, "pending": 0, "flags": {}}  # what a first run is compared with


@dataclass(eq=False)
class Notifier:
    """Tells of the runs of one job, of each cause of failures once as long as it lasts."""

    notify: Notify
    closing: Callable[[Summary, Settings], str]  # the lines for people under a run
    detail: Callable[[str], None] | None = None  # hears what commands write
    pace: Pace = PACE
    cause: str = ""  # of the failure that was told last, until a run goes well

    @asynccontextmanager
    async def during(self, settings: Settings, listener: Listener, clock: Clock) -> AsyncIterator[Telling]:
        """Tell that a run begins, and what aborts it; the block tells its end."""
        targets = Targets(self.notify, settings.out, not settings.allow_private, clock, self.pace, self.detail)
        async with anyio.create_task_group() as beside:
            telling = Telling(self, settings, listener, targets, beside)
            beside.start_soon(telling.begin)
            yield telling
            beside.cancel_scope.cancel()


@dataclass(eq=False)
class Telling:
    """One run's. What goes wrong is a warning, one for each that isn't told, and nothing else."""

    by: Notifier
    settings: Settings
    listener: Listener
    targets: Targets
    beside: TaskGroup
    run: str = field(default_factory=lambda: str(uuid4()))
    flagged: bool = False  # a picture of this run is
    beginning: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    aborted: anyio.Event | None = None  # set once that is told

    async def begin(self) -> None:
        """Tell that the run begins, and deliver what earlier ones have left."""
        with self.beginning:
            await self._each(self.targets.pings("/start", self.run, "") | self.targets.webhook())

    def hear(self, event: Event) -> None:
        """Pass an event on, and tell at once what aborts the run."""
        self.listener(event)
        self.flagged |= event.kind is Kind.SAVED and bool(event.flags)
        if event.kind is Kind.STOPPING and event.error_kind in _ABORTS and self.aborted is None:
            stopped = {"kind": event.error_kind, "message": event.text}
            data = {"v": 1, "run_id": self.run, "job": self.settings.job, "out": str(self.settings.out)}
            data |= {"state": "stopping", "stopped": stopped, "exit_code": 4}
            acts = self.targets.pings("/fail", self.run, event.text)
            acts |= self._people(data, "run.aborted", event.text, changed=self._last()["exit_code"] != 4)
            self.aborted = anyio.Event()
            self.beside.start_soon(self._each, acts, self.aborted)

    async def end(self, summary: Summary) -> None:
        """Tell how the run went, and say so where that takes a while; at most `Pace.each`."""
        if self.by is NOBODY:
            return
        self.beginning.cancel()
        data, text = summary.as_json(), self.by.closing(summary, self.settings)
        now = {name: data[name] for name in _FIRST} | {"flags": {one.kind: one.count for one in summary.flags}}
        acts = self.targets.pings("" if data["exit_code"] in FINE else f"/{data['exit_code']}", self.run, text)
        changed = self.aborted is None and now != self._last()
        acts |= self._people(data, "run.finished", text, changed=changed) or self.targets.webhook()
        if not isinstance(summary.stopped, LockedError):
            await run_sync(self._remember, now)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._wait, acts)
            await self._each(acts)
            if self.aborted is not None:
                await self.aborted.wait()
            waiting.cancel_scope.cancel()

    def _people(self, data: dict[str, Any], kind: str, text: str, *, changed: bool) -> Acts:
        """Those who want to be told, if so."""
        code, stopped = data["exit_code"], data["stopped"]
        cause = "" if code in FINE else f"{code} {stopped['kind'] if stopped else data['failed']}"
        new, self.by.cause = bool(cause) and cause != self.by.cause, cause
        if not wanted(self.by.notify.on, failed=new, flagged=self.flagged, changed=changed):
            return {}
        head = " ".join((stopped["message"] if stopped else text.partition("\n")[0]).split())
        return self.targets.people(Message(kind, f"batch-removebg {data['out']}: {head}"[:250], text, data))

    async def _wait(self, acts: Acts) -> None:
        await anyio.sleep(self.by.pace.quiet)
        whom, most = ", ".join(acts), self.by.pace.each
        self.listener(Event(Kind.NOTE, text=f"telling how it went ({whom}), for {most:g} s at most"))

    async def _each(self, acts: Acts, done: anyio.Event | None = None) -> None:
        async with anyio.create_task_group() as group:
            for name, act in acts.items():
                group.start_soon(self._one, name, act)
        if done is not None:
            done.set()

    async def _one(self, name: str, act: Callable[[], Awaitable[str]]) -> None:
        problem = "no success in time"
        try:
            with anyio.move_on_after(self.by.pace.each):
                problem = await act()
        except BatchError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # its text may hold a secret
            problem = f"{type(error).__name__}, a bug"
        if problem:
            problem += await run_sync(self.targets.waits, name)
            self.listener(Event(Kind.WARNING, text=f"not told: {name}: {problem}"))

    def _last(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, TypeError):
            return {**_FIRST, **json.loads((self.settings.out / NOTIFIED).read_bytes())}
        return _FIRST

    def _remember(self, now: dict[str, Any]) -> None:
        with suppress(BatchError):
            if (self.settings.out / STATE).is_dir():
                write_atomic(self.settings.out / NOTIFIED, json.dumps(now).encode())


NOBODY = Notifier(Notify(), lambda *_: "")
