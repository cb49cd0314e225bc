"""A run, and what is told of it afterwards: to machines and to people. None of that fails it, or delays its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError
from batch_removebg.events import Event, Kind, Listener, ignore

from . import batch
from .figures import check, write_metrics, write_summary
from .notify.notifier import NOBODY, Notifier
from .settings import Settings
from .summary import Summary

_LONGEST = 10.0  # seconds for a file of the summary
Writer = Callable[[Summary], None]
"""Writes something about a run, in a thread; may block for a while, and raise BatchError or OSError."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What is told of a run; those of a loop have one for all their passes, so that each cause is told once."""

    summary: Writer | None = None  # the summary as a document
    metrics: Writer | None = None
    notifier: Notifier = NOBODY


def extras(settings: Settings, notifier: Notifier = NOBODY, *, job: str = "") -> Extras:
    """What is told of the runs of a job with these settings; where the summary goes to stdout, that is the caller's.

    Raises SettingsError where a file of another kind has the name of one that is to be written.
    """
    check(settings)
    document = partial(write_summary, Path(settings.summary)) if settings.summary not in (None, "-") else None
    figures = partial(write_metrics, Path(settings.metrics), settings=settings, job=job) if settings.metrics else None
    return Extras(document, figures, notifier)


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
        summary, error = await _ended(once, settings.out, run_id)
        for write in filter(None, (extras.summary, extras.metrics)):
            await _written(write, summary, listener)
        await telling.end(summary)
    if error is not None:
        raise error
    return summary


async def _ended(once: Callable[[], Awaitable[Summary]], out: Path, run_id: str) -> tuple[Summary, Exception | None]:
    """The outcome of a run, and the exception it ended with."""
    try:
        return await once(), None
    except BatchError as error:
        return _refused(out, error, run_id), error
    except Exception as error:  # noqa: BLE001  # told, and raised again
        return _refused(out, BatchError(f"a bug in batch-removebg: {type(error).__name__}"), run_id), error


def _refused(out: Path, error: BatchError, run_id: str) -> Summary:
    return Summary(out, 0, 0, 0, 0, 0, 0, 0, seconds=0.0, failures=(), stopped=error, run_id=run_id)


async def _written(write: Writer, summary: Summary, listener: Listener) -> None:
    problem = f"it takes longer than {_LONGEST:g} s"
    try:
        with anyio.move_on_after(_LONGEST):
            await anyio.to_thread.run_sync(write, summary, abandon_on_cancel=True)
            return
    except Exception as error:  # noqa: BLE001  # a run that went well must not end as a bug
        problem = str(error) if isinstance(error, (BatchError, OSError)) else f"{type(error).__name__}, a bug"
    listener(Event(Kind.WARNING, text=f"not written: {problem}"))
