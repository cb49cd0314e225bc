"""Runs one after the other: when the next one begins is for `wait` to say, and a signal ends it all in good order."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectSendStream

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, Interrupted, ManifestError, UsageError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.pipeline.watchers import SIGNALS

from .settings import Settings
from .summary import Summary
from .window import UNKNOWN, fixed, seconds, spoken, window

_LOOK = 60.0  # seconds between two looks at the clock on the wall


class Signals:
    """Signals of a process that does several runs; each hears of them by what a call of it gives."""

    def __init__(self) -> None:
        self.heard = 0  # the last one
        self.waiting = anyio.CancelScope()  # ended by a signal
        self._run: MemoryObjectSendStream[int] | None = None

    @contextmanager
    def __call__(self) -> Iterator[AsyncIterator[int]]:
        """Those from now on, for one run; one that came before it, too."""
        send, receive = anyio.create_memory_object_stream[int](math.inf)
        with send, receive:
            self._run = send
            if self.heard:
                send.send_nowait(self.heard)
            try:
                yield receive
            finally:
                self._run = None

    async def listen(self, everything: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        """Hear them; the second one where no run does ends everything, and a third one the process."""
        with anyio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async for number in received:
                before, self.heard = self.heard, number
                self.waiting.cancel()
                if self._run is not None:
                    self._run.send_nowait(number)
                elif before:
                    everything.cancel()
                    return


Once = Callable[[Signals], Awaitable[Summary]]  # one run, which hears of signals by its argument
Wait = Callable[[float], Awaitable[bool]]
"""Waits until the run after that which began at this moment of the monotonic clock; False: there is none."""


async def repeated(once: Once, wait: Wait, *, clock: Clock, tell: Listener) -> Summary:
    """The outcome of the last run; raises what that raised, and Interrupted where a signal came before it was one.

    After a run that was aborted (credit, disk, server) or found OUT locked comes the next one; what it raised is told.
    The last is the one after which `wait` says so, or a signal came, or that can't be carried out as given.
    """
    signals, last, more, worked = Signals(), None, True, False
    async with anyio.create_task_group() as beside:
        await beside.start(signals.listen, beside.cancel_scope)
        while more:
            begun = clock.monotonic()
            last = await _ended(once(signals))
            more, worked = not (signals.heard or _final(last, worked=worked)), worked or isinstance(last, Summary)
            if more and isinstance(last, BatchError):
                tell(Event(Kind.WARNING, text=str(last)))
            with anyio.CancelScope() as signals.waiting:
                more = more and await wait(begun)
            more = more and not signals.heard
        beside.cancel_scope.cancel()
    if isinstance(last, Summary):
        return last
    raise last or Interrupted(signals.heard)


async def _ended(run: Awaitable[Summary]) -> Summary | BatchError:
    try:
        return await run
    except BatchError as error:
        return error


def _final(last: Summary | BatchError, *, worked: bool) -> bool:
    """Whether the next run would end as this one; a manifest that was read before is only being written, or is out."""
    reason = last.stopped if isinstance(last, Summary) else last
    return isinstance(reason, UsageError | Interrupted) and not (worked and isinstance(reason, ManifestError))


async def every(
    once: Callable[[Settings, Signals], Awaitable[Summary]], settings: Settings, *, clock: Clock, tell: Listener
) -> Summary:
    """See `repeated`: a run each time that `every` of the settings has passed since the last began, up to `until`."""
    assert settings.every is not None  # noqa: S101  # else there is one run
    gap = seconds(settings.every)
    settings = replace(settings, until=settings.until and fixed(settings.until, clock.wall()))
    end, later = window(settings.until, None, clock), replace(settings, force=None, start_over=False)

    async def one(signals: Signals) -> Summary:
        nonlocal settings
        given, settings = settings, later  # what is asked for once is done once
        return await once(given, signals)

    left = (lambda: end.left()[0] - UNKNOWN) if end is not None else lambda: math.inf
    return await repeated(one, timer(gap, left, clock, tell), clock=clock, tell=tell)


def timer(gap: float, left: Callable[[], float], clock: Clock, tell: Listener) -> Wait:
    """A wait for so many seconds since the last run began, unless that is beyond those that are left."""

    async def wait(begun: float) -> bool:
        said = False
        while (rest := begun + gap - clock.monotonic()) > 0.001:
            if rest >= left():
                return False
            if not said:
                tell(Event(Kind.NOTE, text=f"the next run begins in {spoken(rest)}"))
            said = True
            await clock.sleep(min(rest, _LOOK))
        return left() > 0

    return wait
