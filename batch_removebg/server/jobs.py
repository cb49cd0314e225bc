"""The server's predictions: a bounded queue, workers, results kept for an hour. No HTTP here.

A job goes starting → processing → succeeded | failed, or to canceled from either of the first two. Only methods of
`Jobs` change it, each in one step without an await in between, so every reader sees a consistent state.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any, Self

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from batch_removebg.clock import Clock
from batch_removebg.engine.cutout import Render
from batch_removebg.errors import BatchError, Busy
from batch_removebg.model import Status

from .blob_store import KEEP, BlobStore

log = logging.getLogger(__name__)

PAGE = 100  # jobs on a page of the list
_SWEEP_EVERY = 1.0  # seconds
_HISTORY = 10_000  # jobs listed after their data has been removed
_BUSY_FOR = 5.0  # seconds a client is asked to wait when the queue is full
# What a hostile picture can still raise in a decoder: it fails its own prediction, not the server.
_UNFORESEEN = (OSError, MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError, SyntaxError)

Source = Callable[[], Awaitable[bytes]]
"""Reads the input when the job runs; may raise a BatchError, which fails the job."""


@dataclass(frozen=True, slots=True)
class Job:
    """The state of a prediction; times in seconds since 1970."""

    id: str
    number: int
    """Counts the jobs from 1; the list is ordered by it."""
    model: str
    version: str
    input: Mapping[str, Any]
    created: float
    cancel_at: float | None = None
    status: Status = Status.STARTING
    started: float | None = None
    completed: float | None = None
    output: str | None = None
    """The result's id in the store of outputs."""
    error: str | None = None
    logs: str = ""
    removed: bool = False
    """The hour is over: input, output and logs have been removed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of the list begins: next to this job, towards the older or the newer ones."""

    number: int
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursors of the neighbouring pages."""

    jobs: tuple[Job, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(slots=True, eq=False)
class _Run:
    """A job with what is needed to run it."""

    job: Job
    source: Source
    scope: CancelScope = field(default_factory=CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)


class Jobs:
    """All predictions, oldest first; `async with` runs the workers."""

    def __init__(
        self, render: Render, *, inputs: BlobStore, outputs: BlobStore, workers: int, clock: Clock, room: int = 100
    ) -> None:
        """At most `workers` renders at a time, and `room` jobs queued or running."""
        self.inputs = inputs
        self.outputs = outputs
        self._render = render
        self._workers = workers
        self._clock = clock
        self._room = room
        self._runs: dict[str, _Run] = {}  # oldest first
        self._open: dict[str, _Run] = {}  # those that have not ended
        self.count = 0  # jobs created so far
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._queue, taking = anyio.create_memory_object_stream[_Run](math.inf)  # bounded by `room`
        self._limiter = CapacityLimiter(self._workers)
        self._tasks = await anyio.create_task_group().__aenter__()
        for number in range(self._workers):
            self._tasks.start_soon(self._work, taking.clone(), name=f"prediction worker {number}")
        taking.close()
        self._tasks.start_soon(self._keep_sweeping, name="sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        for run in list(self._open.values()):
            self._end(run, Status.CANCELED)
        self._queue.close()
        self._tasks.cancel_scope.cancel()
        # An error of the block isn't the workers': it passes through as it is, not in an exception group.
        await self._tasks.__aexit__(None, None, None)

    def create(
        self,
        source: Source,
        *,
        model: str,
        version: str,
        input: Mapping[str, Any],  # noqa: A002  # the API's own word
        logs: str = "",
        cancel_after: float | None = None,
    ) -> Job:
        """Queue a job, canceled unless it ends within `cancel_after` seconds; raises Busy if the queue is full."""
        if len(self._open) >= self._room:
            raise Busy(f"{self._room} predictions are waiting or running; try again later", retry_after=_BUSY_FOR)
        now = self._clock.wall()
        self.count += 1
        cancel_at = None if cancel_after is None else now + cancel_after
        run = _Run(Job(token_hex(13), self.count, model, version, input, now, cancel_at, logs=logs), source)
        self._runs[run.job.id] = self._open[run.job.id] = run
        self._queue.send_nowait(run)
        return run.job

    def get(self, job_id: str) -> Job | None:
        """The job of that id, or None."""
        run = self._runs.get(job_id)
        return run.job if run else None

    async def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job once it has ended, or as it is after `seconds`."""
        if run := self._runs.get(job_id):
            with anyio.move_on_after(seconds):
                await run.done.wait()
        return self.get(job_id)

    def page(self, cursor: Cursor | None = None, *, after: float = -math.inf, before: float = math.inf) -> Page:
        """Up to 100 of the jobs created in `after` ≤ t < `before`, from the cursor on."""
        jobs = [run.job for run in reversed(self._runs.values()) if after <= run.job.created < before]
        start, end = 0, PAGE
        if cursor is not None and cursor.newer:
            end = sum(job.number > cursor.number for job in jobs)
            start = max(0, end - PAGE)
        elif cursor is not None:
            start = sum(job.number >= cursor.number for job in jobs)
            end = start + PAGE
        chosen = jobs[start:end]
        return Page(
            tuple(chosen),
            older=Cursor(chosen[-1].number) if chosen and end < len(jobs) else None,
            newer=Cursor(chosen[0].number, newer=True) if chosen and start > 0 else None,
        )

    def cancel(self, job_id: str) -> Job | None:
        """Stop a job, unless it has ended; a render in progress runs on, and its result is discarded."""
        if run := self._open.get(job_id):
            # Not `aborted`, even before it has started: official clients don't know that status and poll for ever.
            self._end(run, Status.CANCELED)
            run.scope.cancel()
        return self.get(job_id)

    def sweep(self) -> None:
        """Cancel the jobs whose Cancel-After is over, and remove the data of those whose hour is over."""
        now = self._clock.wall()
        self.inputs.sweep()
        self.outputs.sweep()
        for run in list(self._open.values()):
            if run.job.cancel_at is not None and run.job.cancel_at <= now:
                self.cancel(run.job.id)
        for run in self._runs.values():
            job = run.job
            removed_early = job.output is not None and self.outputs.get(job.output) is None
            if job.completed is not None and not job.removed and (removed_early or job.completed + KEEP <= now):
                run.job = replace(job, input={}, output=None, logs="", removed=True)
        for run in list(self._runs.values())[: max(0, len(self._runs) - _HISTORY)]:
            if run.job.removed:
                del self._runs[run.job.id]

    async def _keep_sweeping(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_EVERY)
            self.sweep()

    async def _work(self, queue: MemoryObjectReceiveStream[_Run]) -> None:
        with queue:
            async for run in queue:
                if run.job.status.terminal:  # canceled while it waited
                    continue
                run.job = replace(run.job, status=Status.PROCESSING, started=self._clock.wall())
                with run.scope:
                    await self._process(run)

    async def _process(self, run: _Run) -> None:
        try:
            data = await run.source()
            rendered = await to_thread.run_sync(self._render, data, limiter=self._limiter)
            blob = await self.outputs.put(rendered.data)
        except BatchError as error:
            self._end(run, Status.FAILED, error=str(error))
        except _UNFORESEEN as error:
            log.exception("prediction %s failed", run.job.id)
            self._end(run, Status.FAILED, error=f"{type(error).__name__}: {error}")
        else:
            logs = "".join(f"{note}\n" for note in rendered.notes)
            if not self._end(run, Status.SUCCEEDED, output=blob.id, logs=run.job.logs + logs):
                self.outputs.drop(blob.id)

    def _end(self, run: _Run, status: Status, **changes: Any) -> bool:
        """End the job; False, and nothing changes, if it had ended before."""
        if self._open.pop(run.job.id, None) is None:
            return False
        run.job = replace(run.job, status=status, completed=self._clock.wall(), **changes)
        run.done.set()
        return True
