"""The run: manifest → plan → queue → workers → ready → downloaders → ledger. The only module that starts its tasks.

    reader ──▶ todos (bounded) ──▶ worker ×N ──▶ ready (capacity 0) ──▶ downloader ×M ──▶ ledger
                                     └─ copies parked ──▶ lane ──▶ copier ×M ──┘

Closing the ends is the shutdown: once the reader is done and nothing is on its way, the lane ends, the copiers close
`todos`, and the last worker closes `ready`. Outputs expire, so a worker hands over only to a free downloader, and
back-pressure reaches the reader. Workers buy; a copy of what is being bought is parked, and holds none of them. A
closed gate stops buying; what is in flight has the grace period to come home, and what is not done by then, parked
copies too, stays pending for the next run.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import anyio
import anyio.to_thread
from anyio import CancelScope
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, Interrupted, ResubmitError, Stopping, Verdict
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.events import Failed, Unchanged
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Step
from batch_removebg.model import Item, UrlRow
from batch_removebg.stop import Gate

from .cache_key import Recipe
from .concurrency import Width
from .copy_queue import Lane
from .download import Downloader, Saved, described
from .planner import Plan, Planner, unchanged
from .predict import Predicted, Predictor, Way
from .prepare import Prepared, Todo
from .singleflight import Released


@dataclass(frozen=True, slots=True)
class Shape:
    """How wide the pipeline is, and how it ends."""

    workers: int = 32
    """Items in flight at most."""
    downloaders: int = 8
    """There are as many copiers, so that each finds one."""
    queue: int = 64
    """Items read ahead."""
    copies: int = 8192
    """Copies of what is being bought that are kept in memory; beyond them nothing more is read."""
    chunk: int = 32
    """Items read in one hop to a thread."""
    longest_chunk: int = 1024
    """The same where nothing has been to do for a while."""
    stream: bool = False
    """The manifest comes in as it is made (stdin): one item at a time, and the rest is not waited for at the end."""
    limit: int | None = None
    """Items to be done in this run at most."""
    grace: float = 30.0
    """Seconds for what is in flight to come home once the gate is closed."""
    snapshot: float = 60.0
    """Seconds between two writes of results.json."""
    steer: float = 0.25
    """Seconds between two looks at how many items should be in flight, while that changes."""


class Pipeline:
    """One run over one manifest."""

    def __init__(
        self,
        items: Callable[[], Iterator[Item | UrlRow]],
        planner: Planner,
        predictor: Predictor,
        downloader: Downloader,
        ledger: Ledger,
        *,
        recipe: Recipe,
        gate: Gate,
        shape: Shape,
        clock: Clock,
        listener: Listener,
        snapshot: Callable[[], Awaitable[None]],
        width: Width | None = None,
        rate: Callable[[], float | None] = lambda: None,
        stop_reading: Callable[[], None] = lambda: None,
        abandon: Callable[[], Awaitable[None]] | None = None,
        handle_signals: bool = False,
    ) -> None:
        """`stop_reading` ends a manifest that comes in as it is made; `abandon` breaks off what is asked of the API.

        `width` says how many workers may work at a time, by the `rate` at which creates are let through.
        `snapshot` writes results.json; `handle_signals` belongs to a process that is nothing but this run.
        """
        self._items = items
        self._planner = planner
        self._predictor = predictor
        self._downloader = downloader
        self._ledger = ledger
        self._recipe = recipe
        self._shape = shape
        self._clock = clock
        self._tell = listener
        self._snapshot = snapshot
        self._handle_signals = handle_signals
        self._stop_reading = stop_reading
        self._abandon = abandon
        self._rate = rate
        self.width = width or Width(fixed=shape.workers)
        self._slots = anyio.CapacityLimiter(self.width.target(clock.monotonic(), rate()))
        self._lane: Lane[Released[Prepared]] = Lane(shape.copies, lambda: predictor.parked)
        self.gate = gate
        self.skipped = 0
        """Items that were finished already."""
        self.limited = False
        """The reader stopped at the limit."""
        self.reused = 0
        """Items saved without a prediction."""

    async def run(self) -> None:
        """Do what is to be done; returns when every item is saved, failed or left pending."""
        async with anyio.create_task_group() as watchers:
            if self._handle_signals:
                await watchers.start(self._watch_signals, watchers.cancel_scope)
            watchers.start_soon(self._watch_gate, watchers.cancel_scope)
            watchers.start_soon(self._write_snapshots)
            watchers.start_soon(self._steer)
            watchers.start_soon(self._ledger.keep_index)
            async with anyio.create_task_group() as stages:
                self._start_stages(stages)
            watchers.cancel_scope.cancel()

    def _start_stages(self, stages: TaskGroup) -> None:
        todo_in, todo_out = anyio.create_memory_object_stream[Todo | Prepared](self._shape.queue)
        ready_in, ready_out = anyio.create_memory_object_stream[Predicted](0)
        stages.start_soon(self._reader, todo_in.clone())
        with todo_in, todo_out, ready_in, ready_out:
            for _ in range(self._shape.workers):
                stages.start_soon(self._worker, todo_out.clone(), ready_in.clone())
            for _ in range(self._shape.downloaders):
                stages.start_soon(self._copier, todo_in.clone(), ready_in.clone())
                stages.start_soon(self._download, ready_out.clone())

    # The end of the run, when it is not the end of the manifest

    async def _watch_signals(self, run: CancelScope, *, task_status: TaskStatus[None]) -> None:
        """The first signal stops buying, the second stops at once."""
        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                if self.gate.reason is not None:
                    run.cancel()
                    # A create that the server keeps back is shielded: only its connection can be made to give up.
                    with CancelScope(shield=True):
                        if self._abandon is not None:
                            await self._abandon()
                    return
                self.gate.close(Interrupted(number))

    async def _watch_gate(self, run: CancelScope) -> None:
        """Once the gate is closed, what is in flight has the grace period."""
        await self.gate.closed.wait()
        self._tell(Event(Kind.STOPPING, text=str(self.gate.reason)))
        self._stop_reading()
        await self._clock.sleep(self._shape.grace)
        run.cancel()

    async def _write_snapshots(self) -> None:
        took = 0.0
        while True:
            # Of a large catalogue a snapshot takes a while: a twentieth of the run, at most.
            await self._clock.sleep(max(self._shape.snapshot, 20 * took))
            begun = self._clock.monotonic()
            try:
                await self._snapshot()
            except BatchError as error:
                self.gate.close(error)
                return
            took = self._clock.monotonic() - begun

    async def _steer(self) -> None:
        """Let as many workers work as keep the limit busy."""
        wait = self._shape.steer
        while True:
            target = self.width.target(self._clock.monotonic(), self._rate())
            # A look that changes nothing makes the next one rarer.
            wait = self._shape.steer if target != self._slots.total_tokens else min(2 * wait, 16 * self._shape.steer)
            self._slots.total_tokens = target
            await self._clock.sleep(wait)

    # The reader

    async def _reader(self, todos: MemoryObjectSendStream[Todo | Prepared]) -> None:
        with todos:
            await self._read_all(todos)
        self._lane.close()

    async def _read_all(self, todos: MemoryObjectSendStream[Todo | Prepared]) -> None:
        items, begun, size = self._items(), 0, 1 if self._shape.stream else self._shape.chunk
        while True:
            room = None if self._shape.limit is None else self._shape.limit - begun
            plan, failure = await anyio.to_thread.run_sync(self._read, items, size, room)
            await self._pass_by(plan)
            for planned in plan.todos:
                self._tell(Event(Kind.FOUND, planned.todo.item.id))
                await self._dispatch(planned.todo, todos)
            begun += len(plan.todos)
            if room is not None and len(plan.todos) == room:
                self.limited = True
                return
            if failure is not None:
                self.gate.close(failure)
            if failure is not None or not plan.read:
                return
            if not self._shape.stream:
                # Whatever is to be done is handed on soon; what is not is got over with.
                size = self._shape.chunk if plan.todos else min(2 * size, self._shape.longest_chunk)

    def _read(self, items: Iterator[Item | UrlRow], size: int, room: int | None) -> tuple[Plan, BatchError | None]:
        """The next items with what is to be done; a manifest that fails further down hands over what came before."""
        some: list[Item | UrlRow] = []
        failure: BatchError | None = None
        try:
            some.extend(islice(items, size))
        except BatchError as error:
            failure = error
        return self._planner.plan_all(some, room), failure

    async def _pass_by(self, plan: Plan) -> None:
        """Take in the items that nothing is to be done about."""
        self.skipped += plan.done
        for step, count in ((Step.DONE, plan.done), (Step.LEAVE, plan.left)):
            if count:
                self._tell(Event(Kind.FOUND, count=count))
                self._tell(Event(Kind.SKIPPED, text=step.value, count=count))
        # Together, for the ledger to write them at once.
        async with anyio.create_task_group() as together:
            for entry in plan.told:
                together.start_soon(self._tell_anew, entry)

    async def _tell_anew(self, entry: Unchanged) -> None:
        try:
            await self._ledger.append(entry)
        except BatchError as error:
            self.gate.close(error)

    async def _dispatch(self, todo: Todo, todos: MemoryObjectSendStream[Todo | Prepared]) -> None:
        await self._lane.room()
        if self._stopping(todo):
            self._tell(Event(Kind.PENDING, todo.item.id))
        else:
            self._lane.began()
            await todos.send(todo)

    def _stopping(self, todo: Todo) -> Stopping | None:
        """Why the item can't be begun any more: it stays pending, unless it has a prediction in flight."""
        return Stopping("the run is stopping") if self.gate.reason is not None and not todo.state.in_flight else None

    # The stages

    async def _worker(
        self, todos: MemoryObjectReceiveStream[Todo | Prepared], ready: MemoryObjectSendStream[Predicted]
    ) -> None:
        with todos, ready:
            while True:
                async with self._slots:
                    # A slot is kept until there are fewer of them.
                    while self._slots.borrowed_tokens <= self._slots.total_tokens:
                        try:
                            todo = await todos.receive()
                        except anyio.EndOfStream:
                            return
                        await self._work(todo, ready)

    async def _work(self, given: Todo | Prepared, ready: MemoryObjectSendStream[Predicted]) -> None:
        """Buy for an item just read, or for a copy that there is nothing to copy for."""
        todo, prepared = (given, None) if isinstance(given, Todo) else (given.todo, given)
        number, bought, started = self.width.began(self._clock.monotonic()), False, False
        try:
            if (stopping := self._stopping(todo)) is not None:
                raise stopping
            data = None
            if prepared is None:
                prepared, data = await self._predictor.prepare(todo)
                if todo.finished_if_same and prepared.sha256 and prepared.sha256 == todo.state.source_sha256:
                    return await self._unchanged(todo)
            in_vain = given is prepared and not self._predictor.leads(prepared)
            way = self._predictor.place(prepared, data, in_vain=in_vain)
            if way is Way.COPY and prepared.sha256 is None and not self._predictor.leads(prepared):
                return self._lane.put([Released(prepared)])
            if way is Way.PARK:
                return None
            started = True
            self._tell(Event(Kind.STARTED, todo.item.id))
            predicted = await self._predicted(prepared, data, way)
            bought = predicted is not None and not predicted.reused
            if predicted is not None:
                await ready.send(predicted)
        except BatchError as error:
            bought = error.attempts > 0
            await self._settle(todo, error, prepared, started=started)
        finally:
            # What bought nothing says nothing about how long an item is in flight.
            (self.width.ended if bought else self.width.dropped)(number, self._clock.monotonic())

    async def _copier(
        self, todos: MemoryObjectSendStream[Todo | Prepared], ready: MemoryObjectSendStream[Predicted]
    ) -> None:
        with todos, ready:
            while (released := await self._lane.take()) is not None:
                prepared, todo = released.copy, released.copy.todo
                error = released.error or self._stopping(todo)
                if error is not None:
                    await self._settle(todo, error, prepared, started=False)
                elif self._predictor.leads(prepared) or (copied := await self._predictor.copy(prepared)) is None:
                    await todos.send(prepared)
                else:
                    self._tell(Event(Kind.STARTED, todo.item.id))
                    await ready.send(copied)

    async def _download(self, ready: MemoryObjectReceiveStream[Predicted]) -> None:
        with ready:
            async for predicted in ready:
                todo = predicted.prepared.todo
                try:
                    saved = await self._save(predicted)
                except BatchError as error:
                    await self._settle(todo, error, predicted.prepared)
                else:
                    self._lane.put(self._predictor.settled(predicted.prepared))
                    for note in saved.notes:
                        self._tell(Event(Kind.WARNING, todo.item.id, text=note))
                    self.reused += saved.reused
                    self._over(Event(Kind.SAVED, todo.item.id, text=saved.output, started=True))

    async def _save(self, predicted: Predicted) -> Saved:
        while True:
            try:
                return await self._downloader.save(predicted)
            except ResubmitError as error:
                # The prediction ended well and its output is of no use: within the content's budget, another one.
                if not self._predictor.leads(predicted.prepared) or not self._predictor.may_buy(predicted.attempts):
                    raise
                item = predicted.prepared.todo.item.id
                self._tell(Event(Kind.WARNING, item, text=f"{error}; another prediction is bought"))
                predicted = await self._predictor.buy(predicted.prepared, again=True)

    async def _predicted(self, prepared: Prepared, data: bytes | None, way: Way) -> Predicted | None:
        """The item with its alpha in reach; None where it was parked after all."""
        if way is Way.COPY:
            copied = await self._predictor.copy(prepared)
            if copied is not None:
                return copied
            way = self._predictor.place(prepared, data, in_vain=True)
        return await self._predictor.buy(prepared, data=data) if way is Way.BUY else None

    async def _unchanged(self, todo: Todo) -> None:
        await self._ledger.append(unchanged(todo, todo.signature))
        self.skipped += 1
        self._over(Event(Kind.SKIPPED, todo.item.id, text=Step.DONE.value))

    async def _settle(
        self, todo: Todo, error: BatchError, prepared: Prepared | None = None, *, started: bool = True
    ) -> None:
        """Put an item that was not saved where it belongs: failed, or pending because the run ends."""
        if prepared is not None:
            self._lane.put(self._predictor.settled(prepared, error))
        if error.verdict is not Verdict.ABORT:
            try:
                await self._ledger.append(
                    Failed(
                        **described(todo, self._recipe.tried),
                        kind=error.kind,
                        message=str(error),
                        retryable=error.verdict is not Verdict.FAIL,
                        attempts=error.attempts,
                    )
                )
            except BatchError as unwritten:
                error = unwritten
            else:
                self._over(Event(Kind.FAILED, todo.item.id, text=str(error), error_kind=error.kind, started=started))
                return
        if not isinstance(error, Stopping):
            self.gate.close(error)
        self._over(Event(Kind.PENDING, todo.item.id, started=started))

    def _over(self, event: Event) -> None:
        """Tell of the end of an item that was on its way."""
        self._tell(event)
        self._lane.ended()
