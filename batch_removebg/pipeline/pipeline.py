"""The run: manifest → plan → queue → workers → ready → downloaders → ledger. The only module that starts its tasks.

    reader ──▶ todos (bounded) ──▶ worker ×N ──▶ ready (capacity 0) ──▶ downloader ×M ──▶ ledger
                   ▲                 ├─ copies parked ──▶ copies ──▶ copier ×M ──┘          │
                   │                 └─ creates without an answer ──▶ looked for            │
                   └─────────────────────────── copies ◀────────────────────────────────────┘ output of no use

An item goes forward only: what has to be bought after all goes back to the queue. Closing the ends is the shutdown:
once the reader is done and nothing is on its way, the copies end, the copiers close `todos`, and the last worker closes
`ready`. Outputs expire, so a worker hands over only to a free downloader, and back-pressure reaches the reader. Workers
buy; a copy of what is being bought is parked, and so is an item whose create has to be looked for: neither holds a
worker. A closed gate stops buying; what is in flight has the grace period, and what isn't done by then stays pending
for the next run.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batch_removebg.errors import BatchError, CreateLost, ResubmitError, Stopping, Verdict
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.events import Failed
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Step
from batch_removebg.providers.recovery import LostCreates

from .copy_queue import CopyQueue
from .dedup import Deduplicator, Way
from .download import Downloader, described
from .planner import unchanged
from .prepare import Preparer
from .purchase import Purchaser
from .reader import Reader
from .shape import Shape
from .singleflight import Released
from .steering import Steering
from .tools import Tools
from .watchers import Watchers
from .work import Predicted, Prepared, Todo

Todos = MemoryObjectSendStream[Todo | Prepared]
Ready = MemoryObjectSendStream[Predicted]


@dataclass(frozen=True, slots=True)
class Stages:
    """What each stage does with an item."""

    reader: Reader
    preparer: Preparer
    dedup: Deduplicator
    purchaser: Purchaser
    downloader: Downloader
    lost: LostCreates


class Pipeline:
    """One run over one manifest."""

    def __init__(
        self,
        stages: Stages,
        tools: Tools,
        ledger: Ledger,
        watchers: Watchers,
        steering: Steering,
        shape: Shape,
        listener: Listener,
    ) -> None:
        self.gate = tools.gate
        self.reader = stages.reader
        self.dedup = stages.dedup
        self.reused = 0
        """Items saved without a prediction."""
        self._stages = stages
        self._recipe = tools.recipe
        self._clock = tools.clock
        self._ledger = ledger
        self._watchers = watchers
        self._steering = steering
        self._shape = shape
        self._tell = listener
        self._begun: set[str] = set()
        """Items that were reported as started, and have not ended."""
        self._copies: CopyQueue[Released[Prepared]] = CopyQueue(shape.copies, lambda: stages.dedup.parked)

    async def run(self) -> None:
        """Do what is to be done; returns when every item is saved, failed or left pending."""
        async with anyio.create_task_group() as beside:
            if self._watchers.signals:
                await beside.start(self._watchers.watch_signals, beside.cancel_scope)
            beside.start_soon(self._watchers.watch_gate, beside.cancel_scope, self._shape, self.reader.stop)
            beside.start_soon(self._watchers.write_snapshots, self._shape)
            beside.start_soon(self._steering.steer, self._shape.steer)
            beside.start_soon(self._stages.lost.watch)
            beside.start_soon(self._ledger.keep_index)
            async with anyio.create_task_group() as stages:
                self._start(stages)
            beside.cancel_scope.cancel()
        for item in self._begun:  # broken off
            self._tell(Event(Kind.PENDING, item, started=True))

    def _start(self, stages: TaskGroup) -> None:
        todo_in, todo_out = anyio.create_memory_object_stream[Todo | Prepared](self._shape.queue)
        ready_in, ready_out = anyio.create_memory_object_stream[Predicted](0)
        stages.start_soon(self._read, todo_in.clone())
        with todo_in, todo_out, ready_in, ready_out:
            for _ in range(self._shape.workers):
                stages.start_soon(self._worker, stages, todo_out.clone(), ready_in.clone())
            for _ in range(self._shape.downloaders):
                stages.start_soon(self._copier, todo_in.clone(), ready_in.clone())
                stages.start_soon(self._download, ready_out.clone())

    async def _read(self, todos: Todos) -> None:
        async def hand_on(todo: Todo) -> None:
            await self._copies.room()
            if self._stopping(todo):
                self._tell(Event(Kind.PENDING, todo.item.id))
            else:
                self._copies.began()
                await todos.send(todo)

        with todos:
            await self.reader.todos(self._shape, hand_on)
        self._copies.close()

    def _stopping(self, todo: Todo, prepared: Prepared | None = None) -> Stopping | None:
        """Why the item can't be begun any more: it stays pending, unless it has a prediction in flight."""
        if self.gate.reason is None or todo.state.in_flight:
            return None
        paid = prepared is not None and self.dedup.leads(prepared) and self.dedup.turn(prepared).open is not None
        return None if paid else Stopping("the run is stopping")

    # Workers

    async def _worker(self, stages: TaskGroup, todos: MemoryObjectReceiveStream[Todo | Prepared], ready: Ready) -> None:
        with todos, ready:
            while True:
                async with self._steering.slot() as kept:
                    while kept():
                        try:
                            todo = await todos.receive()
                        except anyio.EndOfStream:
                            return
                        await self._work(todo, stages, ready)

    async def _work(self, given: Todo | Prepared, stages: TaskGroup, ready: Ready) -> None:
        """Buy for an item just read, or for one that came back to the queue."""
        todo, prepared = (given, None) if isinstance(given, Todo) else (given.todo, given)
        with self._steering.in_flight() as flight:
            try:
                if (stopping := self._stopping(todo, prepared)) is not None:
                    raise stopping
                data = None
                if prepared is None:
                    prepared, data = await self._stages.preparer.prepare(todo)
                    if todo.finished_if_same and prepared.sha256 and prepared.sha256 == todo.state.source_sha256:
                        return await self._unchanged(todo)
                way = self.dedup.place(prepared, data, in_vain=given is prepared and not self.dedup.leads(prepared))
                if way is Way.COPY and prepared.sha256 is None and not self.dedup.leads(prepared):
                    return self._copies.put([Released(prepared)])
                if way is Way.PARK:
                    return None
                self._begin(todo)
                predicted = await self._predicted(prepared, data, way)
                if predicted is not None:
                    flight.bought = not predicted.reused
                    await ready.send(predicted)
                elif self.dedup.leads(prepared):
                    stages.start_soon(self._look_for, prepared)
            except BatchError as error:
                flight.bought = error.attempts > 0
                await self._settle(todo, error, prepared)

    async def _predicted(self, prepared: Prepared, data: bytes | None, way: Way) -> Predicted | None:
        """The item with its alpha in reach; None where it was parked, or its create has to be looked for."""
        if way is Way.COPY:
            copied = await self.dedup.copy(prepared)
            if copied is not None:
                return copied
            way = self.dedup.place(prepared, data, in_vain=True)
        if way is not Way.BUY:
            return None
        try:
            return await self._stages.purchaser.buy(prepared, self.dedup.turn(prepared), data)
        except CreateLost:
            return None

    async def _look_for(self, prepared: Prepared) -> None:
        """Find out what became of a create without an answer; then the item goes back to the queue."""
        try:
            await self._stages.purchaser.recover(prepared, self.dedup.turn(prepared))
        except BatchError as error:
            await self._settle(prepared.todo, error, prepared)
        else:
            self._copies.put([Released(prepared)])

    async def _unchanged(self, todo: Todo) -> None:
        await self._ledger.append(unchanged(todo, todo.signature))
        self.reader.skipped += 1
        self._over(Kind.SKIPPED, todo, Step.DONE.value)

    # Copies, and what comes back

    async def _copier(self, todos: Todos, ready: Ready) -> None:
        with todos, ready:
            while (released := await self._copies.take()) is not None:
                prepared, todo = released.copy, released.copy.todo
                error = released.error or self._stopping(todo, prepared)
                if error is not None:
                    await self._settle(todo, error, prepared)
                elif self.dedup.leads(prepared) or (copied := await self.dedup.copy(prepared)) is None:
                    await todos.send(prepared)
                else:
                    self._begin(todo)
                    await ready.send(copied)

    # Downloaders

    async def _download(self, ready: MemoryObjectReceiveStream[Predicted]) -> None:
        with ready:
            async for predicted in ready:
                prepared, item = predicted.prepared, predicted.prepared.todo.item.id
                try:
                    saved = await self._stages.downloader.save(predicted)
                except BatchError as error:
                    if not self._again(prepared, error):
                        await self._settle(prepared.todo, error, prepared)
                else:
                    self._copies.put(self.dedup.settled(prepared))
                    for note in saved.notes:
                        self._tell(Event(Kind.WARNING, item, text=note))
                    self.reused += saved.reused
                    self._over(Kind.SAVED, prepared.todo, saved.output)

    def _again(self, prepared: Prepared, error: BatchError) -> bool:
        """Send an item whose output is of no use back to the queue, where the policy allows another prediction."""
        if not (isinstance(error, ResubmitError) and self.dedup.leads(prepared)):
            return False
        turn = self.dedup.turn(prepared)
        turn.open, error.attempts = None, turn.bought
        if not self._stages.purchaser.may_buy(turn):
            return False
        if self.gate.reason is None:
            self._tell(Event(Kind.WARNING, prepared.todo.item.id, text=f"{error}; another prediction is bought"))
        self._copies.put([Released(prepared)])
        return True

    # The beginning and the end of an item

    def _begin(self, todo: Todo) -> None:
        """Report that an item is being worked on; one that comes back to the queue was reported before."""
        if todo.item.id not in self._begun:
            self._begun.add(todo.item.id)
            self._tell(Event(Kind.STARTED, todo.item.id))

    async def _settle(self, todo: Todo, error: BatchError, prepared: Prepared | None = None) -> None:
        """Put an item that was not saved where it belongs: failed, or pending because the run ends."""
        if prepared is not None:
            self._copies.put(self.dedup.settled(prepared, error))
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
                return self._over(Kind.FAILED, todo, str(error), error.kind)
        if not isinstance(error, Stopping):
            self.gate.close(error)
        return self._over(Kind.PENDING, todo)

    def _over(self, kind: Kind, todo: Todo, text: str = "", error_kind: str = "") -> None:
        """Report the end of an item that was on its way."""
        begun = todo.item.id in self._begun
        self._begun.discard(todo.item.id)
        self._tell(Event(kind, todo.item.id, text=text, error_kind=error_kind, started=begun))
        self._copies.ended()
