"""One batch from settings to summary: holds the lock, runs the pipeline, and records its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from uuid import uuid4

import anyio
import anyio.to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, SettingsError, WindowClosed
from batch_removebg.events import Event, Kind, Listener, ignore
from batch_removebg.ledger.events import EngineLoaded, RunFinished, RunStarted
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import FAILED, FLAGGED
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.results import write_snapshot
from batch_removebg.manifest import reader
from batch_removebg.model import Item, Provider, UrlRow
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.pipeline.watchers import Handled
from batch_removebg.resources import Cpu
from batch_removebg.storage import layout, naming
from batch_removebg.storage.atomic import make_folder, sweep
from batch_removebg.storage.lock import locked

from . import assemble, feeds
from .passes import in_passes
from .place import InBucket, opened
from .prune import prune
from .release import release
from .settings import Settings
from .summary import Summary, failures, flagged
from .tracing import traced
from .window import Window, usual, window

CHECKED_ROWS = 10_000  # of the manifest, before the first create
_READ_ON = 5.0  # seconds for the rest of the manifest, about a million rows
Progress = Callable[[int, int | None], None]


async def run(
    inputs: Sequence[str],
    settings: Settings,
    *,
    listener: Listener = ignore,
    weights_progress: Progress = lambda done, total: None,
    handle_signals: Handled = False,
    clock: Clock | None = None,
    run_id: str = "",
) -> Summary:
    """Run one batch; see `run_batch`. `listener` gets all events, `weights_progress` the bytes downloaded so far."""
    clock, run_id, out = clock or Clock(), run_id or str(uuid4()), settings.out
    settings = assemble.shared(settings)
    listener(Event(Kind.BEGUN, text=run_id))
    if (ends := window(settings.until, settings.max_runtime, clock)) is not None:
        listener(Event(Kind.NOTE, text=ends.told(clock)))
    once = partial(_run, inputs, weights_progress=weights_progress, handle_signals=handle_signals, clock=clock)
    async with opened(settings, clock, listener) as (settings, bucket):
        once = partial(once, ends=ends, run_id=run_id, bucket=bucket)
        summary = await in_passes(once, settings, listener, stream="-" in inputs)
        return replace(summary, out=out)  # as it was typed


async def _run(
    inputs: Sequence[str],
    settings: Settings,
    *,
    listener: Listener,
    weights_progress: Progress,
    handle_signals: Handled,
    clock: Clock,
    ends: Window | None,
    run_id: str,
    bucket: InBucket | None,
) -> Summary:
    out, pruned = settings.out, 0
    begun = clock.monotonic()
    async with AsyncExitStack() as stack:
        inputs = await stack.enter_async_context(feeds.downloaded(inputs, settings, clock))
        count = await anyio.to_thread.run_sync(check, inputs, settings, listener)
        if count is not None:
            listener(Event(Kind.TOTAL, count=count))
        if settings.local:
            await anyio.to_thread.run_sync(_download_weights, settings, weights_progress, listener)
        await anyio.to_thread.run_sync(make_folder, out / layout.STATE)
        killed = stack.enter_context(locked(out / layout.STATE, clock=clock))
        await anyio.to_thread.run_sync(make_folder, out / layout.ALPHAS)
        ledger = await stack.enter_async_context(
            Ledger(out / layout.LEDGER, index=out / layout.INDEX, clock=clock, start_over=settings.start_over)
        )
        cpu = Cpu(budget=settings.pixels())
        provider, workers = await stack.enter_async_context(
            assemble.provider(settings, clock, cpu, lambda used: ledger.append(EngineLoaded(used)))
        )
        provider, listener = stack.enter_context(traced(provider, listener, run_id))
        if ledger.aside:
            kept = ", ".join(map(str, ledger.aside))
            listener(Event(Kind.WARNING, text=f"a new ledger is begun; kept of the old one: {kept}"))
        if killed or ledger.fold.run.state is None:
            # A finished run leaves no temp files, and looking for them takes seconds in a large OUT.
            await anyio.to_thread.run_sync(sweep, out)
        before = ledger.fold.possible_duplicates
        if given_up := settings.part.given_up:
            await anyio.to_thread.run_sync(ledger.decisions.append, given_up, clock.stamp())
        await ledger.append(_started(settings, provider, count, run_id))
        await release(out, ledger, lambda text: listener(Event(Kind.WARNING, text=text)))
        context = assemble.context_of(
            settings, provider, ledger, workers, cpu=cpu, clock=clock, listener=listener, stream="-" in inputs
        )
        if bucket is not None:
            await bucket.begin(context.gate)
        may_send = bucket.may_send if bucket is not None and provider.capabilities.billed else None
        pipeline = assemble.pipeline(
            inputs, settings, context, may_send=may_send, handle_signals=handle_signals, window=ends
        )
        await pipeline.run()
        async with ledger.still() as fold:
            still, seconds = ledger.run_items.frozen(fold), clock.monotonic() - begun
            if settings.prune and pipeline.reader.whole and not pipeline.reader.hidden:
                pruned = await anyio.to_thread.run_sync(prune, out, fold, clock.stamp())
            summary = await anyio.to_thread.run_sync(_summarise, pipeline, still, before, settings, seconds, run_id)
        if not context.shape.stream:  # so that results.csv has the rows that come after a limit or an interrupt, too
            await anyio.to_thread.run_sync(pipeline.reader.read_on, clock.monotonic() + _READ_ON)
        return await _close(ledger, replace(summary, pruned=pruned), pipeline, clock)


def _started(settings: Settings, provider: Provider, count: int | None, run_id: str) -> RunStarted:
    """The entry for the run's beginning: OUT goes on with what it says, whatever a part of the run is made with."""
    whole = settings.part.whole or settings
    version = whole.network.version if whole.local else provider.version
    return RunStarted(provider.name, version, whole.shown(), os.getpid(), count, settings.part.redo, run_id)


def check(inputs: Sequence[str], settings: Settings, listener: Listener = ignore) -> int | None:
    """The number of items, None where not all are checked; raises ManifestError and SettingsError for their faults."""
    if not settings.local:
        settings.key()
    columns = set[str]()
    rows = 1 if settings.lasting.checked else CHECKED_ROWS
    count = reader.check(inputs, settings.reading(), rows=rows, look=partial(_look, settings, columns))
    for preset in () if "-" in inputs else settings.presets():
        if lacks := [each for each in naming.columns_of(preset.name or "") if each.lower() not in columns]:
            text = f"--preset {preset.preset}: there is no column {lacks[0]}, so its pictures are named by --name"
            listener(Event(Kind.WARNING, text=text))
    return count


def _look(settings: Settings, columns: set[str], item: Item | UrlRow) -> str:
    """The item's name; raises SettingsError where it lacks a column that was asked for. Its own are added to some."""
    columns.update(map(str.lower, item.meta))
    if (column := settings.scale_group) is not None and column not in item.meta:
        there = ", ".join(item.meta) or "none"
        raise SettingsError(f"--scale-group {column}: {item.id} has no such column; there are: {there}")
    return naming.render(settings.name, item)


def _summarise(
    pipeline: Pipeline, reading: RunItems, before: int, settings: Settings, seconds: float, run_id: str
) -> Summary:
    """The outcome of this run; `before`: possible duplicates of earlier runs. Blocks."""
    fold, counts = reading.fold, reading.counts()
    predictions = pipeline.purchaser.budget.bought
    return Summary(
        out=settings.out,
        **{name: counts[name] for name in ("saved", "failed", "pending", "gone")},
        skipped=counts["saved"] - pipeline.saved,
        reused=pipeline.reused,
        escalated=pipeline.escalated,
        predictions=predictions,
        possible_duplicates=fold.possible_duplicates - before,
        seconds=seconds,
        failures=failures(fold.each(FAILED)),
        stopped=_stopped(pipeline),
        limited=pipeline.reader.limited,
        unread=not pipeline.reader.whole,
        left=pipeline.reader.left,
        held=sum(state.held for _, state in fold.each(FLAGGED)),
        flags=flagged(fold.each(FLAGGED), {each.preset for each in pipeline.context.recipe.finishes}),
        engine=fold.engine if predictions else None,
        left_out=pipeline.reader.left_out,
        run_id=run_id,
        tried=pipeline.failed,
        cost=settings.cost(predictions),
        job=settings.job,
    )


def _stopped(pipeline: Pipeline) -> BatchError | None:
    """Why the run ended before its manifest did; not that its time was over, where all was done by then."""
    reason, reader = pipeline.context.gate.reason, pipeline.reader
    done = pipeline.ended and not pipeline.left and (reader.whole or reader.limited)
    return None if done and isinstance(reason, WindowClosed) else reason


async def _close(ledger: Ledger, summary: Summary, pipeline: Pipeline, clock: Clock) -> Summary:
    """Record the end of the run; on a full disk the returned summary is the only place left to report it."""
    names = ("saved", "failed", "pending", "predictions", "possible_duplicates", "state", "exit_code", "unread")
    told = {name: getattr(summary, name) for name in names}
    reason = summary.stopped or ("--limit is reached" if summary.limited else None)
    told |= {"t": clock.stamp(), "seconds": round(summary.seconds, 3), "reason": reason and str(reason)}
    rows = pipeline.reader
    told |= {"manifest": rows.manifest.told()} if rows.manifest is not None and rows.whole else {}
    end = RunFinished(**told, flight=usual(pipeline.flights))
    try:
        await write_snapshot(summary.results, ledger, end)
        await ledger.append(end)
    except BatchError as error:
        if summary.stopped is None:
            raise
        summary.stopped.add_note(str(error))
    return summary


def _download_weights(settings: Settings, progress: Progress, listener: Listener) -> None:
    from batch_removebg.engine import weights
    from batch_removebg.engine.runtimes import opening

    if text := weights.notice(settings.network):
        listener(Event(Kind.NOTE, text=text))
    if settings.away:  # whose devices aren't this machine's
        weights.ensure(settings.network, progress=progress)
        return
    opening.ensure_weights(settings.network, progress=progress, device=settings.device, precision=settings.precision)
