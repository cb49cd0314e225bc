"""One batch from settings to summary: holds the lock, runs the pipeline, and records its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import anyio
import anyio.to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError
from batch_removebg.events import Event, Kind, Listener, ignore
from batch_removebg.ledger.events import EngineLoaded, RunFinished, RunStarted
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import FAILED, FLAGGED
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.results import write_snapshot
from batch_removebg.manifest import reader
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.storage import layout, naming
from batch_removebg.storage.atomic import make_folder, sweep
from batch_removebg.storage.lock import locked

from . import assemble
from .options import Options
from .settings import Settings
from .summary import Summary, failures, flagged

CHECKED_ROWS = 10_000  # of the manifest, before the first create
Progress = Callable[[int, int | None], None]
Inputs = str | Path | Iterable[str | Path]
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments(Options):
    """Keyword arguments of `run_batch`, for type checkers."""

    out: str | Path


class _Takes(Protocol[P, R_co]):
    def __call__(self, inputs: Inputs, *args: P.args, **settings: P.kwargs) -> R_co: ...


def _typed(_arguments: Callable[P, _Arguments]) -> Callable[[Callable[..., R_co]], _Takes[P, R_co]]:
    """Let type checkers read a function's keyword arguments from a class; the function itself stays as it is."""
    return lambda function: function


@_typed(_Arguments)
async def run_batch(inputs: Inputs, *, out: str | Path, **settings: Any) -> Summary:
    """Make cutouts of everything in `inputs` and write them to `out`, beside a ledger that a later call continues.

    `inputs`: folders, pictures, globs, manifests (.csv .tsv .jsonl .ndjson .txt, also .gz) or http(s) URLs. `settings`:
    the fields of Settings. The pictures have the size of their upright sources (H×W); they are RGBA unless the format
    or a background requires otherwise, of 8 bits a channel, or 16 where source and format have them; colours under
    opaque alpha are the source's own.

    Items that fail are counted, not raised, and neither is an abort (key, credit, budget, disk): see
    `Summary.stopped`. Raises SettingsError, ManifestError and LockedError before anything is bought, and LedgerError
    where an existing ledger can't be read, is damaged, or held more once.
    """
    listed = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    return await run([str(one) for one in listed], Settings(out=Path(out), **settings))


@_typed(_Arguments)
def run_batch_sync(inputs: Inputs, *, out: str | Path, **settings: Any) -> Summary:
    """Do what `run_batch` does, from code that isn't async; must not be called in a running event loop."""
    return anyio.run(partial(run_batch, inputs, out=out, **settings))


async def run(
    inputs: Sequence[str],
    settings: Settings,
    *,
    listener: Listener = ignore,
    weights_progress: Progress = lambda done, total: None,
    handle_signals: bool = False,
    clock: Clock | None = None,
) -> Summary:
    """Run one batch; see `run_batch`. `listener` gets all events, `weights_progress` the bytes downloaded so far."""
    clock, out = clock or Clock(), settings.out
    begun = clock.monotonic()
    count = await anyio.to_thread.run_sync(check, inputs, settings)
    if count is not None:
        listener(Event(Kind.TOTAL, count=count))
    if settings.provider == "local":
        await anyio.to_thread.run_sync(_download_weights, settings, weights_progress)
    await anyio.to_thread.run_sync(make_folder, out / layout.STATE)
    with locked(out / layout.STATE, clock=clock):
        await anyio.to_thread.run_sync(make_folder, out / layout.ALPHAS)
        async with (
            Ledger(
                out / layout.LEDGER, index=out / layout.INDEX, clock=clock, start_over=settings.start_over
            ) as ledger,
            assemble.provider(settings, clock, lambda used: ledger.append(EngineLoaded(used))) as (provider, session),
        ):
            if ledger.aside:
                kept = ", ".join(map(str, ledger.aside))
                listener(Event(Kind.WARNING, text=f"a new ledger is begun; kept of the old one: {kept}"))
            if not ledger.fold.finished:
                # A finished run leaves no temp files, and looking for them takes seconds in a large OUT.
                await anyio.to_thread.run_sync(sweep, out)
            before = ledger.fold.possible_duplicates
            await ledger.append(RunStarted(provider.name, provider.version, settings.shown()))
            context = assemble.context_of(
                settings, provider, ledger, session, clock=clock, listener=listener, stream="-" in inputs
            )
            pipeline = assemble.pipeline(inputs, settings, context, handle_signals=handle_signals)
            await pipeline.run()
            async with ledger.still() as fold:
                still, seconds = ledger.run_items.frozen(fold), clock.monotonic() - begun
                summary = await anyio.to_thread.run_sync(_summarise, pipeline, still, before, out, seconds)
            return await _close(ledger, summary)


def check(inputs: Sequence[str], settings: Settings) -> int | None:
    """The number of items, None where not all are checked; raises ManifestError and SettingsError for their faults."""
    if settings.provider != "local":
        settings.key()
    return reader.check(
        inputs,
        out=settings.out,
        rows=CHECKED_ROWS,
        look=partial(naming.render, settings.name),
        identity=assemble.identity(settings),
        root=settings.root,
        strict=settings.strict,
    )


def _summarise(pipeline: Pipeline, reading: RunItems, before: int, out: Path, seconds: float) -> Summary:
    """The outcome of this run; `before`: possible duplicates of earlier runs. Blocks."""
    fold, counts = reading.fold, reading.counts()
    predictions = pipeline.purchaser.budget.bought
    return Summary(
        out=out,
        **{name: counts[name] for name in ("saved", "failed", "pending")},
        skipped=pipeline.reader.skipped,
        reused=pipeline.reused,
        predictions=predictions,
        possible_duplicates=fold.possible_duplicates - before,
        seconds=seconds,
        failures=failures(fold.each(FAILED, reading.numbers)),
        stopped=pipeline.context.gate.reason,
        limited=pipeline.reader.limited,
        flags=flagged(fold.each(FLAGGED, reading.numbers)),
        engine=fold.engine if predictions else None,
    )


async def _close(ledger: Ledger, summary: Summary) -> Summary:
    """Record the end of the run; on a full disk the returned summary is the only place left to report it."""
    try:
        await write_snapshot(summary.results, ledger)
        names = ("saved", "failed", "pending", "predictions", "possible_duplicates")
        counts = {name: getattr(summary, name) for name in names}
        await ledger.append(RunFinished(**counts, seconds=round(summary.seconds, 3)))
    except BatchError as error:
        if summary.stopped is None:
            raise
        summary.stopped.add_note(str(error))
    return summary


def _download_weights(settings: Settings, progress: Progress) -> None:
    from batch_removebg.engine import network

    network.ensure_weights(settings.model, progress=progress, device=settings.device, precision=settings.precision)
