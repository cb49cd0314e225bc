"""The server's predictions: a bounded queue, workers, results kept for an hour. No HTTP here.

A job goes starting → processing → succeeded | failed, or from the first two to canceled; only by methods of `Jobs`, in
one step each.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Self

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from batch_removebg.clock import Clock
from batch_removebg.engine.cutout import Render
from batch_removebg.errors import BatchError, Busy
from batch_removebg.model import Status
from batch_removebg.storage.spool import loaded

from .blob_store import BlobStore

log = logging.getLogger(__name__)

PAGE = 100  # jobs on a page of the list
_SWEEP_EVERY = 1.0  # seconds
_HISTORY = 10_000  # jobs listed after their data has been removed; beyond twice as many, none waits for that
_BUSY_FOR = 5.0  # seconds a client is asked to wait when the queue is full
# What a hostile picture can still raise in a decoder: it fails its own prediction, not the server.
_UNFORESEEN = (OSError, MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError, SyntaxError)

Source = Callable[[], Awaitable[bytes]]  # reads the input when the job runs; a BatchError fails the job


@dataclass(slots=True, eq=False)
class Job:
    """The state of a prediction, and what is needed to run it; times in seconds since 1970."""

    source: Source
    model: str
    version: str
    input: dict[str, str]
    logs: str = ""
    cancel_after: float = math.inf  # seconds from its creation, unless it has ended by then
    once: str | None = None  # the id of an input that is removed once the job has ended
    id: str = field(default_factory=partial(token_hex, 13))
    number: int = 0  # counts the jobs from 1; the list is ordered by it
    created: float = 0.0
    status: Status = Status.STARTING
    started: float | None = None
    completed: float | None = None
    output: str | None = None  # the result's id in the store of outputs
    error: str | None = None
    removed: bool = False  # the hour is over: input, output and logs have been removed
    scope: CancelScope | None = None  # of the work on it, once that has begun
    done: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursors of the neighbouring pages: `o150` is of jobs older than 150, `n150` newer."""

    jobs: tuple[Job, ...]
    older: str | None
    newer: str | None


class Jobs:
    """All predictions, oldest first; `async with` runs the workers."""

    def __init__(
        self, render: Render, inputs: BlobStore, outputs: BlobStore, *, workers: int, clock: Clock, room: int = 100
    ) -> None:
        """At most `workers` renders at a time, and `room` jobs queued or running."""
        self.inputs = inputs
        self.outputs = outputs
        self._render = render
        self._workers = workers
        self._clock = clock
        self._room = room
        self._jobs: dict[str, Job] = {}  # oldest first
        self._open: dict[str, Job] = {}  # those that have not ended
        self.count = 0  # jobs created so far
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._queue, taking = anyio.create_memory_object_stream[Job](math.inf)  # bounded by `room`
        self._tasks = await anyio.create_task_group().__aenter__()
        for number in range(self._workers):
            self._tasks.start_soon(self._work, taking.clone(), name=f"prediction worker {number}")
        taking.close()
        self._tasks.start_soon(self._keep_sweeping, name="sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        for job in list(self._open.values()):
            self._end(job, Status.CANCELED)
        self._queue.close()
        self._tasks.cancel_scope.cancel()
        # An error of the block isn't the workers': it passes through as it is, not in an exception group.
        await self._tasks.__aexit__(None, None, None)

    @property
    def waiting(self) -> int:
        """Jobs queued or running."""
        return len(self._open)

    def require_room(self) -> None:
        """Raise Busy if the queue is full."""
        if len(self._open) >= self._room:
            raise Busy(f"{self._room} predictions are waiting or running; try again later", retry_after=_BUSY_FOR)

    def create(self, job: Job) -> None:
        """Queue a job; raises Busy if the queue is full. Either way its input `once` is removed in the end."""
        try:
            self.require_room()
        except Busy:
            self.inputs.drop(job.once or "")
            raise
        self.count += 1
        job.number, job.created = self.count, self._clock.wall()
        self._jobs[job.id] = self._open[job.id] = job
        self._queue.send_nowait(job)

    def get(self, job_id: str) -> Job | None:
        """The job of that id, or None."""
        return self._jobs.get(job_id)

    def page(self, cursor: str = "", *, after: float = -math.inf, before: float = math.inf) -> Page:
        """Up to 100 of the jobs created in `after` ≤ t < `before`, from the cursor on."""
        jobs = [job for job in reversed(self._jobs.values()) if after <= job.created < before]
        start, end = 0, PAGE
        if cursor.startswith("n"):
            end = sum(job.number > int(cursor[1:]) for job in jobs)
            start = max(0, end - PAGE)
        elif cursor:
            start = sum(job.number >= int(cursor[1:]) for job in jobs)
            end = start + PAGE
        chosen = jobs[start:end]
        return Page(
            tuple(chosen),
            older=f"o{chosen[-1].number}" if chosen and end < len(jobs) else None,
            newer=f"n{chosen[0].number}" if chosen and start > 0 else None,
        )

    def cancel(self, job_id: str) -> Job | None:
        """Stop a job, unless it has ended, and its work."""
        if job := self._open.get(job_id):
            # Not `aborted`, even before it has started: official clients don't know that status and poll for ever.
            self._end(job, Status.CANCELED)
            if job.scope is not None:
                job.scope.cancel()
        return self.get(job_id)

    def sweep(self) -> None:
        """Cancel the jobs whose Cancel-After is over, and remove the data of those whose hour is over."""
        now = self._clock.wall()
        self.inputs.sweep()
        self.outputs.sweep()
        for job in list(self._open.values()):
            if job.created + job.cancel_after <= now:
                self.cancel(job.id)
        for job in self._jobs.values():
            removed_early = job.output is not None and self.outputs.get(job.output) is None
            over = job.completed is not None and (removed_early or job.completed + self.outputs.keep_for <= now)
            if over and not job.removed:
                job.input, job.output, job.logs, job.removed = {}, None, "", True
        for job in list(self._jobs.values())[: max(0, len(self._jobs) - _HISTORY)]:
            if job.removed or (len(self._jobs) > 2 * _HISTORY and job.status.terminal):
                self.outputs.drop(job.output or "")
                del self._jobs[job.id]

    async def _keep_sweeping(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_EVERY)
            self.sweep()

    async def _work(self, queue: MemoryObjectReceiveStream[Job]) -> None:
        with queue:
            async for job in queue:
                if job.status.terminal:  # canceled while it waited
                    continue
                job.status, job.started = Status.PROCESSING, self._clock.wall()
                with CancelScope() as job.scope:
                    await self._process(job)

    async def _process(self, job: Job) -> None:
        try:
            data = await job.source()
            rendered = await self._render(data)
            blob = await self.outputs.put(loaded(rendered.data))
        except BatchError as error:
            self._end(job, Status.FAILED, error=str(error))
        except _UNFORESEEN as error:
            log.exception("prediction %s failed", job.id)
            self._end(job, Status.FAILED, error=f"{type(error).__name__}: {error}")
        else:
            logs = "".join(f"{note}\n" for note in rendered.notes)
            if not self._end(job, Status.SUCCEEDED, output=blob.id, logs=logs):
                self.outputs.drop(blob.id)

    def _end(
        self, job: Job, status: Status, output: str | None = None, error: str | None = None, logs: str = ""
    ) -> bool:
        """End the job; False, and nothing changes, if it had ended before."""
        if self._open.pop(job.id, None) is None:
            return False
        self.inputs.drop(job.once or "")
        job.status, job.completed, job.output, job.error = status, self._clock.wall(), output, error
        job.logs += logs
        job.done.set()
        return True
