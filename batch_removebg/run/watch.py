"""`watch`: pictures are processed as they arrive. An event is a hint, and a look at all files is the truth."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import anyio
import anyio.to_thread

from batch_removebg import systemd
from batch_removebg.clock import Clock
from batch_removebg.engine.process import Kept
from batch_removebg.errors import (
    AbortError,
    BatchError,
    BudgetReached,
    Interrupted,
    LockedError,
    ManifestError,
    RetryError,
    SettingsError,
    WindowClosed,
    kinds,
)
from batch_removebg.events import Event, Kind, Listener, ignore
from batch_removebg.manifest.folder import is_out
from batch_removebg.manifest.inputs import files, is_manifest, place
from batch_removebg.manifest.text import printable
from batch_removebg.pipeline.arrivals import Arrivals
from batch_removebg.storage import layout
from batch_removebg.storage.atomic import make_folder
from batch_removebg.storage.lock import locked
from batch_removebg.storage.naming import is_url

from . import batch
from .hints import Hints, system
from .passes import unspent
from .put_away import STAY, Shelves
from .repeat import Signals, repeated
from .settings import Lasting, Settings
from .summary import Summary
from .window import fixed, window

_RESCAN = 300.0  # seconds between two looks without a hint: the system may lose some
_POLL = 10.0  # the same where it gives none
_MISSING = 5.0  # and while an INPUT isn't there, or is empty
_BREATH = 0.25  # seconds between two looks at least, or four times as long as one takes
_SHORTEST, _LONGEST = 5.0, 300.0  # seconds until a run that left something is followed by another
_BEAT, _DAY = 60.0, 86400.0
_KEPT = 1000  # remarks that are said once
_PASSING = kinds(RetryError)
_WAITS = (AbortError, LockedError, ManifestError)
_REMOTE = re.compile(r"nfs\d?|cifs|smb\w*|fuse(\..*)?|9p|virtiofs|vboxsf|prl_fs|ceph|glusterfs|afs|davfs\d?|drvfs")


async def watch(
    inputs: Sequence[str],
    settings: Settings,
    *,
    say: Callable[[str], None],
    listener: Listener,
    poll: float | None = None,
    shelves: Shelves = STAY,
    run: Callable[..., Awaitable[Summary]] = batch.run,
    beat: Callable[[Listener], Awaitable[None]] | None = None,
    hints: Hints | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Do what is there and what comes, until a signal or the end of the budget; returns the last run's outcome.

    `poll`: seconds between two looks; None: by the system's hints, where there are any. `beat` is called after looks
    that found nothing to do, once a minute at most. Raises SettingsError, LockedError where another one watches for
    OUT, and what a run can't be begun for.
    """
    clock, state = clock or Clock(), settings.out / layout.STATE
    for value in inputs:
        if value == "-" or is_url(value):
            raise SettingsError(
                f"{value} can't be watched: watch takes folders, pictures, globs and manifests on a disk"
            )
    for value in filter(os.path.isdir, inputs):
        if is_out(value, settings.out):
            raise SettingsError(f"{value} is the output folder itself; choose another --out")
    if settings.every is not None:
        raise SettingsError("--every: watch runs whenever something has come; leave it out")
    shelves.check(inputs)
    if poll is None and (share := next((value for value in inputs if _REMOTE.fullmatch(_kind_of(place(value)))), None)):
        poll = _POLL
        say(f"{share} is on a share, which doesn't tell of changes: looked at each {poll:g} s (--poll)")
    if poll is None and hints is None:
        hints = system()
    await anyio.to_thread.run_sync(make_folder, state)
    with locked(state, clock=clock, by="watch"), closing(Kept()) as engines:
        watcher = _Watcher(inputs, settings, shelves, say, listener, run, clock, poll, engines, beat)
        async with anyio.create_task_group() as beside:
            systemd.tell(READY=1, STATUS=f"watches for {settings.out}")
            beside.start_soon(systemd.alive)
            if poll is None and hints is not None:
                beside.start_soon(watcher.hear, hints)
            try:
                return await repeated(watcher.once, watcher.wait, clock=clock, tell=ignore)
            except BatchError as error:
                failure = error  # raised where no group wraps it
            finally:
                systemd.stopping(0)
                watcher.moved.set()
                beside.cancel_scope.cancel()
        raise failure


@dataclass(eq=False)
class _Watcher:
    """Knows when a run is due, and does it."""

    inputs: Sequence[str]
    settings: Settings  # of the next run
    shelves: Shelves
    say: Callable[[str], None]
    listener: Listener
    run: Callable[..., Awaitable[Summary]]
    clock: Clock
    poll: float | None
    engines: Kept
    beat: Callable[[Listener], Awaitable[None]] | None = None
    begun: bool = False
    last: BatchError | None = None  # what the last run ended with
    again: float = math.inf  # when what was left is taken up
    gap: float = 0.0  # seconds before that
    seen: int = 0  # files at the last look that saw any
    looked: float = -math.inf
    beaten: float = -math.inf
    took: float = 0.0  # by the last look
    heard: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        now, gap = self.clock.monotonic, max(1.0, self.poll or 0.0)
        apart, manifests = tuple(folder for _, folder in self.shelves), all(map(is_manifest, self.inputs))
        self.arrivals = Arrivals(now, gap=gap, apart=apart, folders=not manifests)
        until, lasting = self.settings.until, Lasting(self.arrivals, self.engines)
        self.settings = replace(self.settings, lasting=lasting, until=until and fixed(until, self.clock.wall()))
        self.window = window(self.settings.until, self.settings.max_runtime, self.clock)
        self.told, self.hint, self.moved, self.disks = now(), anyio.Event(), anyio.Event(), self._disks()
        self.trouble, self.missing = _Once(self.say), _Once(self.say)

    async def once(self, signals: Signals) -> Summary:
        """A run; the first one as soon as there is something to do."""
        settings, left, soon = self.settings, True, False
        if not self.begun:
            later = replace(settings, lasting=replace(settings.lasting, checked=True), retry_failed=False)
            self.settings = replace(later, force=None, redo=(), start_over=False)  # what is asked for once
            with anyio.CancelScope() as signals.waiting:
                if not await self.wait(0.0):
                    raise WindowClosed("the time is over, and nothing has come")
            if signals.heard:
                raise Interrupted(signals.heard)
        self.begun = True
        counts = dict.fromkeys(Kind, 0)
        if self.window is not None and settings.max_runtime is not None:
            settings = replace(settings, max_runtime=f"{max(1, math.floor(self._left()))}")
        self.arrivals.turn()
        try:
            how = {"listener": partial(self._hear, counts), "handle_signals": signals, "clock": self.clock}
            summary = await self.run(self.inputs, settings, **how)
            self.last = summary.stopped
            left = self.last is not None or counts[Kind.PENDING] > self.arrivals.postponed
            soon = summary.limited
            self.settings = unspent(self.settings, summary.predictions)
            with suppress(ManifestError):  # nothing is there any more
                await anyio.to_thread.run_sync(self.shelves.fill, self.inputs, self.settings, self.clock, self.listener)
        except BatchError as error:
            self.last = error
            raise
        finally:
            waits = isinstance(self.last, _WAITS) and not isinstance(self.last, BudgetReached)
            self.trouble(str(self.last) if waits else "")
            self.gap = min(_LONGEST, max(_SHORTEST, 2 * self.gap)) if left else 0.0
            self.again = self.clock.monotonic() + self.gap if left or soon else math.inf
        if (saved := counts[Kind.SAVED]) + (failed := counts[Kind.FAILED]):
            self.told, now = self.clock.monotonic(), f"{saved} saved, {failed} failed in {summary.seconds:.1f} s"
            self.say(f"{now}; {summary.saved} saved and {summary.failed} failed in all")
        return summary

    def _hear(self, counts: dict[Kind, int], event: Event) -> None:
        passes = event.kind is Kind.FAILED and event.error_kind in _PASSING
        counts[Kind.PENDING if passes else event.kind] += event.count
        if event.kind in (Kind.NOTE, Kind.WARNING) and not event.item:  # which each run would say again
            if event.text in self.heard:
                return
            self.heard = {*(self.heard if len(self.heard) < _KEPT else ()), event.text}
        self.listener(event)

    def _left(self) -> float:
        return self.window.left()[0] if self.window is not None else math.inf

    async def wait(self, begun: float) -> bool:
        """Return True as soon as a run has something to do; False where it may buy no more, or its time is over."""
        now = self.clock.monotonic
        while self._left() > 0 and not isinstance(self.last, BudgetReached | WindowClosed):
            self.hint = anyio.Event()
            fresh, there = await self._look()
            if there and (fresh or min(self.again, self.arrivals.next()) <= now()):
                return True
            if self.beat is not None and now() - self.beaten >= _BEAT:
                self.beaten = now()
                await self.beat(partial(self._hear, dict.fromkeys(Kind, 0)))
            if now() - self.told >= _DAY:
                self.told = now()
                self.say(f"nothing new for a day; {self.arrivals.count} files are watched")
            usual = (self.poll or _RESCAN) if there else _MISSING
            await self._pause(
                min(self.looked + min(usual, self._left()), self.arrivals.next(), self.again if there else math.inf)
            )
        return False

    async def _look(self) -> tuple[bool, bool]:
        """Whether files have become whole, and whether there are any."""
        begun, trouble, fresh = self.clock.monotonic(), "", False
        seen = (_status(path) for path in files(self.inputs, self.settings.reading().folders))
        try:
            fresh = await anyio.to_thread.run_sync(self.arrivals.look, filter(None, seen))
        except ManifestError as error:
            trouble = str(error)
        else:
            if not (self.arrivals.count or (self.begun and [*self.shelves])):  # else that is how it should be
                were = f", where there were {self.seen}" if self.seen else ""
                trouble = f"no picture is in {', '.join(map(printable, self.inputs))}{were}"
        self.seen = self.arrivals.count or self.seen
        self.missing(trouble)
        self.looked = self.clock.monotonic()
        self.took = self.looked - begun
        if (disks := self._disks()) != self.disks:  # unmounted, or back: watched anew
            self.disks = disks
            self.moved.set()
        return fresh, not trouble and self.arrivals.count > 0

    def _disks(self) -> list[tuple[int, int] | None]:
        found = (_status(str(place(value))) for value in self.inputs)
        return [each and (each[1].st_dev, 0 if is_manifest(each[0]) else each[1].st_ino) for each in found]

    async def _pause(self, until: float) -> None:
        """Wait until then, or for a hint; a while in any case, however many there are."""
        breath = self.looked + max(_BREATH, 4 * self.took)
        await self.clock.sleep(max(0.0, min(breath, until) - self.clock.monotonic()))
        async with anyio.create_task_group() as race:

            async def hear() -> None:
                await self.hint.wait()
                race.cancel_scope.cancel()

            race.start_soon(hear)
            await self.clock.sleep(max(0.0, until - self.clock.monotonic()))
            race.cancel_scope.cancel()

    async def hear(self, hints: Hints) -> None:
        """Take hints as long as the system gives any."""
        out = Path(os.path.abspath(self.settings.out))  # noqa: PTH100  # links keep their names
        try:
            while True:
                self.moved = anyio.Event()
                places = [there for value in self.inputs if (there := place(value)).exists()]
                await hints(places, out, self.wake, self.moved)
        except* (OSError, RuntimeError) as errors:
            self.poll = _POLL
            self.hint.set()
            self.say(f"the system tells of no more changes ({errors.exceptions[0]}): looked at each {_POLL:g} s")

    def wake(self, closed: str | None) -> None:
        if closed is not None:
            self.arrivals.close(closed)
        self.hint.set()


class _Once:
    """Says what is waited for, once, and that it is over."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._trouble = say, ""

    def __call__(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._say(f"{trouble.rstrip('.')}; waits, and goes on by itself" if trouble else "goes on")
        self._trouble = trouble


def _status(path: str) -> tuple[str, os.stat_result] | None:
    with suppress(OSError):
        if not os.path.basename(path).startswith("~"):  # noqa: PTH119  # what editors and copiers write first
            return path, os.stat(path)  # noqa: PTH116  # quicker than a Path for each
    return None


def _kind_of(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of file system that a place is on, as `nfs4`; empty where the system doesn't say."""
    path, found = os.path.realpath(folder), (0, "")
    with suppress(OSError):
        for line in mounts.read_text(errors="surrogateescape").splitlines():
            _, on, kind, *_ = line.split(" ")
            on = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), on)
            if path == on or path.startswith(f"{on.rstrip('/')}/"):
                found = max(found, (len(on), kind), key=itemgetter(0))
    return found[1]
