"""The prediction store of the server: a bounded queue, workers, results kept an hour. No HTTP in it.

A job goes starting → processing → succeeded | failed, or to canceled from either of the first two. Only the methods of
`Jobs` change it, each in one step without an await in between, so every reader sees a whole state.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from batch_removebg.clock import Clock
from batch_removebg.engine.cutout import Render
from batch_removebg.errors import BatchError, Busy
from batch_removebg.model import Status

from .blob_store import Shelf

log = logging.getLogger(__name__)

PAGE = 100  # jobs on a page of the list
_SWEEP_EVERY = 1.0  # seconds
_HISTORY = 10_000  # jobs remembered after their data is gone
_BUSY_FOR = 5.0  # seconds a client is asked to wait when the queue is full
# What a hostile picture may still provoke in a decoder: it costs its own prediction, not the server.
_UNFORESEEN = (OSError, MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError, SyntaxError)

Source = Callable[[], Awaitable[bytes]]
"""Brings the input's bytes when the job's turn comes; may raise a BatchError, which fails the job."""


@dataclass(frozen=True, slots=True)
class Job:
    """A prediction as it stands; times in seconds since 1970."""

    id: str
    number: int
    """Counts the jobs of this store from 1; the list is ordered by it."""
    model: str
    version: str
    input: Mapping[str, Any]
    created: float
    cancel_at: float | None = None
    status: Status = Status.STARTING
    started: float | None = None
    completed: float | None = None
    output: str | None = None
    """The result's name on the shelf of outputs."""
    error: str | None = None
    logs: str = ""
    removed: bool = False
    """An hour has passed: input, output and logs are gone."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of the list begins: beside this job, towards the older or the newer ones."""

    number: int
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursors of the pages around them."""

    jobs: tuple[Job, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(slots=True, eq=False)
class _Run:
    """A job with what it takes to run it."""

    job: Job
    source: Source
    scope: CancelScope = field(default_factory=CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)


class Jobs:
    """Predictions in the order they came; `async with` runs the workers."""

    def __init__(
        self, render: Render, *, inputs: Shelf, outputs: Shelf, workers: int, clock: Clock, room: int = 100, keep: float
    ) -> None:
        """`workers` renders at a time, `room` jobs queued or running at most, data kept for `keep` seconds."""
        self.inputs = inputs
        self.outputs = outputs
        self._render = render
        self._workers = workers
        self._clock = clock
        self._room = room
        self._keep = keep
        self._runs: dict[str, _Run] = {}  # in the order they were created
        self._open: dict[str, _Run] = {}  # those that have not ended
        self._count = 0
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in list(self._open.values()):
            self._end(run, Status.CANCELED)
        self._queue.close()
        self._tasks.cancel_scope.cancel()
        # An error of the block is not the workers', and passes by as it is instead of in a group.
        await self._tasks.__aexit__(None, None, None)

    @property
    def count(self) -> int:
        """How many jobs there have been."""
        return self._count

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
        """Queue a job; `cancel_after` seconds it is stopped wherever it stands. Raises Busy where the queue is full."""
        if len(self._open) >= self._room:
            raise Busy(f"{self._room} predictions are waiting or running; try again later", retry_after=_BUSY_FOR)
        now = self._clock.wall()
        self._count += 1
        cancel_at = None if cancel_after is None else now + cancel_after
        run = _Run(Job(token_hex(13), self._count, model, version, input, now, cancel_at, logs=logs), source)
        self._runs[run.job.id] = self._open[run.job.id] = run
        self._queue.send_nowait(run)
        return run.job

    def get(self, job_id: str) -> Job | None:
        """The job as it stands; None where there is none of that id."""
        run = self._runs.get(job_id)
        return run.job if run else None

    async def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job once it has ended, or as it stands after so many seconds."""
        if run := self._runs.get(job_id):
            with anyio.move_on_after(seconds):
                await run.done.wait()
        return self.get(job_id)

    def page(self, cursor: Cursor | None = None, *, after: float = -math.inf, before: float = math.inf) -> Page:
        """Up to 100 of the jobs created in after ≤ t < before, newest first, from the cursor on."""
        jobs = [run.job for run in reversed(self._runs.values()) if after <= run.job.created < before]
        if cursor is None:
            chosen = jobs[:PAGE]
        elif cursor.newer:
            chosen = [job for job in jobs if job.number > cursor.number][-PAGE:]
        else:
            chosen = [job for job in jobs if job.number < cursor.number][:PAGE]
        if not chosen:
            return Page((), None, None)
        newest, oldest = chosen[0].number, chosen[-1].number
        return Page(
            tuple(chosen),
            older=Cursor(oldest) if jobs[-1].number < oldest else None,
            newer=Cursor(newest, newer=True) if jobs[0].number > newest else None,
        )

    def cancel(self, job_id: str) -> Job | None:
        """Stop a job; one that has ended stays as it is. A render under way runs out, and its result is thrown away."""
        if run := self._open.get(job_id):
            # `aborted` would be the word for one that never started, but official clients don't know it and hang on it.
            self._end(run, Status.CANCELED)
            run.scope.cancel()
        return self.get(job_id)

    def sweep(self) -> None:
        """Stop what has outlived its Cancel-After, and wipe what is older than its hour."""
        now = self._clock.wall()
        self.inputs.sweep()
        self.outputs.sweep()
        for run in list(self._open.values()):
            if run.job.cancel_at is not None and run.job.cancel_at <= now:
                self.cancel(run.job.id)
        for run in self._runs.values():
            if not run.job.removed and self._expired(run.job, now):
                run.job = replace(run.job, input={}, output=None, logs="", removed=True)
        for run in list(self._runs.values())[: max(0, len(self._runs) - _HISTORY)]:
            if run.job.removed:
                del self._runs[run.job.id]

    def _expired(self, job: Job, now: float) -> bool:
        crowded_out = job.output is not None and self.outputs.path(job.output) is None
        return job.completed is not None and (crowded_out or job.completed + self._keep <= now)

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
            name = await self.outputs.put(rendered.data)
        except BatchError as error:
            self._end(run, Status.FAILED, error=str(error))
        except _UNFORESEEN as error:
            log.exception("prediction %s failed", run.job.id)
            self._end(run, Status.FAILED, error=f"{type(error).__name__}: {error}")
        else:
            logs = "".join(f"{note}\n" for note in rendered.notes)
            if not self._end(run, Status.SUCCEEDED, output=name, logs=run.job.logs + logs):
                self.outputs.drop(name)

    def _end(self, run: _Run, status: Status, **changes: Any) -> bool:
        """Whether the job ended now; False where it had ended before, and nothing changes."""
        if self._open.pop(run.job.id, None) is None:
            return False
        run.job = replace(run.job, status=status, completed=self._clock.wall(), **changes)
        run.done.set()
        return True
