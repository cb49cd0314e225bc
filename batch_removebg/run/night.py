"""A run, and what is told of it afterwards: to machines and to people. None of that fails it, or delays its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError
from batch_removebg.events import Event, Kind, Listener, ignore

from . import batch
from .figures import beat, check, write_metrics, write_summary
from .notify.notifier import NOBODY, Notifier
from .settings import Settings
from .summary import Summary
from .window import check as ahead

_LONGEST = 10.0  # seconds for a file of the summary
Writer = Callable[[Summary], None]
"""Writes something about a run, in a thread; may block for a while, and raise BatchError or OSError."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What is told of a run; those of a loop have one for all their passes, so that each cause is told once."""

    summary: Writer | None = None  # the summary as a document
    metrics: Writer | None = None
    beat: Callable[[], None] | None = None  # writes that there was nothing to do, as a Writer does
    notifier: Notifier = NOBODY


def extras(settings: Settings, notifier: Notifier = NOBODY) -> Extras:
    """What is told of runs with these settings, as they were given; a summary on stdout is the caller's to write.

    Raises SettingsError where a file that is to be written can't be, or is another kind's, and where `until` is past.
    """
    check(settings)
    if settings.until is not None:
        ahead(settings.until, Clock().wall())
    document = partial(write_summary, Path(settings.summary)) if settings.summary not in (None, "-") else None
    if settings.metrics is None:
        return Extras(document, notifier=notifier)
    figures, alive = (partial(write, Path(settings.metrics), settings=settings) for write in (write_metrics, beat))
    return Extras(document, figures, alive, notifier)


async def told(
    inputs: Sequence[str],
    settings: Settings,
    extras: Extras,
    *,
    listener: Listener = ignore,
    clock: Clock | None = None,
    **given: Any,
) -> Summary:
    """Run one batch, and tell how it went; see `batch.run`, also for what is `given`.

    What doesn't come to a run, refused or for a bug, is told as one without items, and then raised.
    """
    clock = clock or Clock()
    async with extras.notifier.during(settings, listener, clock) as telling:
        run_id = telling.run
        once = partial(batch.run, inputs, settings, listener=telling.hear, clock=clock, run_id=run_id, **given)
        summary, error = await _ended(once, settings, run_id)
        for write in filter(None, (extras.summary, extras.metrics)):
            await written(partial(write, summary), listener)
        await telling.end(summary)
    if error is not None:
        raise error
    return summary


async def _ended(
    once: Callable[[], Awaitable[Summary]], settings: Settings, run_id: str
) -> tuple[Summary, Exception | None]:
    """The outcome of a run, and the exception it ended with."""
    try:
        return await once(), None
    except BatchError as error:
        return _refused(settings, error, run_id), error
    except Exception as error:  # noqa: BLE001  # told, and raised again
        return _refused(settings, BatchError(f"a bug in batch-removebg: {type(error).__name__}"), run_id), error


def _refused(settings: Settings, error: BatchError, run_id: str) -> Summary:
    nothing = Summary(settings.out, 0, 0, 0, 0, 0, 0, 0, seconds=0.0, failures=(), stopped=error)
    return replace(nothing, run_id=run_id, cost=settings.cost(0), job=settings.job)


async def written(write: Callable[[], None], listener: Listener) -> None:
    """Write it, in a thread and for a while only; what goes wrong is a warning."""
    problem = f"it takes longer than {_LONGEST:g} s"
    try:
        with anyio.move_on_after(_LONGEST):
            await anyio.to_thread.run_sync(write, abandon_on_cancel=True)
            return
    except Exception as error:  # noqa: BLE001  # a run that went well must not end as a bug
        problem = str(error) if isinstance(error, (BatchError, OSError)) else f"{type(error).__name__}, a bug"
    listener(Event(Kind.WARNING, text=f"not written: {problem}"))
