"""The run: manifest → plan → queue → workers → ready → downloaders → ledger. The only module that starts its tasks.

    reader ──▶ todos ──▶ worker ×N ──▶ ready ──▶ downloader ×M ──▶ ledger
                 ▲           │           ▲             │
                 │           └─▶ copies ─┼─────────────┘
                 │                 │     │
                 └──── buy ── copier ×M ─┴── copied

`todos` is bounded. `ready` has no room: output URLs expire, so a worker hands over only to a free downloader, and
back-pressure reaches the reader. `copies` takes what comes back without waiting: copies of a content that was saved or
has failed, outputs of no use, and lost creates once they were looked for. What has to be bought after all goes to
`todos` again. A copy of what is being bought is parked, and holds no worker; nor does what has to wait for another try,
or for the host of its source.

Closing the ends is the shutdown: once the reader is done and no item is on its way, the copiers end and close `todos`,
the workers end and close `ready`, and the downloaders end. A closed gate stops buying: paid results are still collected
during the grace period, and the rest stays pending for the next run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batch_removebg.errors import (
    BatchError,
    CreateLost,
    Postponed,
    ResubmitError,
    RetryError,
    SourceError,
    Stopping,
    Verdict,
)
from batch_removebg.events import Event, Kind
from batch_removebg.ledger.events import Claimed, Failed
from batch_removebg.ledger.state import Step
from batch_removebg.net.urls import scrubbed
from batch_removebg.providers.polling import RunTimes

from .concurrency import Slots
from .context import Context
from .copy_queue import CopyQueue
from .dedup import Deduplicator, Way
from .download import Downloader, described
from .hosts import NotNow
from .planner import unchanged
from .prepare import prepare
from .purchase import Purchaser
from .reader import Reader
from .watchers import Closing, Handled, watch_gate, watch_signals, write_snapshots
from .work import Predicted, Prepared, Todo

_COPIERS = 32  # each wakes at each item that ends; as many as downloaders, so that each finds a free one, up to this
Todos = MemoryObjectSendStream[Todo | Prepared]
Ready = MemoryObjectSendStream[Predicted]


@dataclass(eq=False)
class Pipeline:
    """One run over one manifest."""

    context: Context
    reader: Reader
    dedup: Deduplicator
    purchaser: Purchaser
    downloader: Downloader
    slots: Slots
    snapshot: Callable[[], Awaitable[None]]  # writes results.json
    handle_signals: Handled  # True only for a process that does nothing but this run
    warm: Callable[[], Awaitable[None]] | None = None  # makes the provider ready beside the first reads, if need be
    window: Closing | None = None
    flights: RunTimes = field(default_factory=RunTimes)  # from creates to pictures
    left: int = 0  # items that were told to be pending
    ended: bool = False  # by itself
    saved: int = 0
    failed: int = 0
    reused: int = 0  # of the saved: without a prediction
    escalated: int = 0  # of the saved: by a better network than the run's

    def __post_init__(self) -> None:
        most, parked = self.context.shape.copies, lambda: self.dedup.parked + self.context.sources.waiting
        self._copies: CopyQueue[tuple[Todo | Prepared, BatchError | None]] = CopyQueue(most, parked)
        self._started: set[str] = set()  # ids of the items in flight

    async def run(self) -> None:
        """Do all there is to do; returns when every item is saved, failed or left pending."""
        context = self.context
        async with anyio.create_task_group() as self._beside:
            beside = self._beside
            if self.handle_signals:
                await beside.start(watch_signals, context, beside.cancel_scope, self.handle_signals)
            beside.start_soon(watch_gate, context, beside.cancel_scope)
            beside.start_soon(write_snapshots, context, self.snapshot)
            if self.window is not None:
                beside.start_soon(self.window, context, beside.cancel_scope, self.flights)
            beside.start_soon(self.slots.adapt, context.shape.steer)
            beside.start_soon(self.purchaser.lost.watch)
            async with anyio.create_task_group() as self._stages:
                self._start()
            self.ended = True
            beside.cancel_scope.cancel()
        for item in self._started:  # broken off
            context.notify(Event(Kind.PENDING, item, started=True))

    def _start(self) -> None:
        shape, stages = self.context.shape, self._stages
        todo_in, todo_out = anyio.create_memory_object_stream[Todo | Prepared](shape.queue)
        ready_in, ready_out = anyio.create_memory_object_stream[Predicted](0)
        stages.start_soon(self._read, todo_in.clone())
        with todo_in, todo_out, ready_in, ready_out:
            for _ in range(shape.workers):
                stages.start_soon(self._worker, todo_out.clone(), ready_in.clone())
            for _ in range(shape.downloaders):
                stages.start_soon(self._download, ready_out.clone())
            for _ in range(min(shape.downloaders, _COPIERS)):
                stages.start_soon(self._copier, todo_in.clone(), ready_in.clone())

    async def _read(self, todos: Todos) -> None:
        async def hand_on(todo: Todo) -> None:
            await self._copies.room()
            if self._stopping(todo):
                self.left += 1
                self.context.notify(Event(Kind.PENDING, todo.item.id))
            else:
                if self.warm is not None and todo.state.source_sha256 is None:  # of others there may be an alpha
                    self._beside.start_soon(self._get_ready, self.warm)
                    self.warm = None
                self._copies.began()
                await todos.send(todo)

        with todos:
            await self.reader.todos(hand_on)
        if self.reader.renamed[0]:
            text = "{} × another name than was asked for (first: {}); each is noted in results.json"
            self.context.notify(Event(Kind.WARNING, text=text.format(*self.reader.renamed)))
        self._copies.ended()

    async def _get_ready(self, warm: Callable[[], Awaitable[None]]) -> None:
        with suppress(BatchError):  # the first create will meet the same
            await warm()

    def _stopping(self, todo: Todo, prepared: Prepared | None = None) -> Stopping | None:
        """Why an item can't go on: the run stops, and no prediction is in flight for it."""
        if self.context.gate.reason is None or todo.state.in_flight:
            return None
        paid = prepared is not None and self.dedup.leads(prepared) and self.dedup.turn(prepared).open is not None
        return None if paid else Stopping("the run is stopping")

    async def _worker(self, todos: MemoryObjectReceiveStream[Todo | Prepared], ready: Ready) -> None:
        concurrency, now = self.slots.concurrency, self.context.clock.monotonic
        with todos, ready:
            while True:
                async with self.slots.slot() as kept:
                    while kept():
                        try:
                            given = await todos.receive()
                        except anyio.EndOfStream:
                            return
                        number = concurrency.began(now())
                        bought = await self._work(given, ready)
                        concurrency.ended(number, now(), bought=bought)

    async def _work(self, given: Todo | Prepared, ready: Ready) -> bool:
        """Take an item to the end of its prediction; returns whether one was bought for it."""
        todo, prepared = (given, None) if isinstance(given, Todo) else (given.todo, given)
        try:
            if (stopping := self._stopping(todo, prepared)) is not None:
                raise stopping
            if prepared is None:
                prepared = await prepare(self.context, todo)
                if todo.finished_if_same and prepared.sha256 and prepared.sha256 == todo.state.source_sha256:
                    await self.context.ledger.append(unchanged(todo, todo.signature, prepared.validators))
                    self.context.sources.let_go(prepared.fingerprint)
                    self.context.sources.drop(prepared.data)
                    self._over(Kind.SKIPPED, todo, Step.DONE.value)
                    return False
            predicted = await self._predicted(prepared, again=prepared is given)
            if predicted is not None:
                await ready.send(predicted)
            return predicted is not None and not predicted.reused
        except NotNow as later:
            self._stages.start_soon(self._after, later.over, todo)
            return False
        except BatchError as error:
            if todo.known is not None and prepared is None and error.verdict in (Verdict.RETRY, Verdict.FAIL):
                self._warn(todo, f"{error}; its picture stays, and the next run asks again")
                self._over(Kind.SKIPPED, todo, Step.DONE.value)
                return False
            await self._useless(todo, error, prepared)
            return error.attempts > 0

    async def _predicted(self, prepared: Prepared, *, again: bool) -> Predicted | None:
        """The item with its alpha within reach; None where it goes on elsewhere."""
        dedup, leads = self.dedup, self.dedup.leads(prepared)
        # What comes back without the turn of its content is the copy of something damaged.
        way = dedup.place(prepared, damaged=again and not leads)
        if way is Way.COPY and prepared.sha256 is None and not leads:
            self._copies.put([(prepared, None)])
            return None
        if way is Way.COPY:
            self._begin(prepared.todo)
            if (copied := await dedup.copy(prepared)) is not None:
                return copied
            way = dedup.place(prepared, damaged=True)
        if way is Way.PARK:
            return None
        self._begin(prepared.todo)
        turn = dedup.turn(prepared)
        try:
            predicted = await self.purchaser.buy(prepared, turn)
            if turn.doubts:
                self._stages.start_soon(self.purchaser.audit, prepared.todo.item.id, turn.doubts, (*turn.spent,))
                turn.doubts = []
            return predicted
        except CreateLost:
            found = partial(self.purchaser.recover, prepared, turn)
            self._stages.start_soon(self._after, found, prepared.todo, prepared)
            return None

    async def _after(self, over: Callable[[], Awaitable[None]], todo: Todo, prepared: Prepared | None = None) -> None:
        """Let an item go on once something is over that takes its time."""
        try:
            await over()
        except BatchError as error:
            if prepared is not None:
                turn = self.dedup.turn(prepared)
                error.attempts = turn.bought + turn.losses
            await self._settle(todo, error, prepared)
        else:
            self._copies.put([(prepared or todo, None)])

    async def _copier(self, todos: Todos, ready: Ready) -> None:
        with todos, ready:
            while (released := await self._copies.take()) is not None:
                prepared, error = released
                if isinstance(prepared, Todo):
                    await todos.send(prepared)
                    continue
                todo = prepared.todo
                if (error := error or self._stopping(todo, prepared)) is not None:
                    await self._settle(todo, error, prepared)
                elif self.dedup.leads(prepared) or (copied := await self.dedup.copy(prepared)) is None:
                    await todos.send(prepared)
                else:
                    self._begin(todo)
                    await ready.send(copied)

    async def _download(self, ready: MemoryObjectReceiveStream[Predicted]) -> None:
        with ready:
            async for predicted in ready:
                prepared, todo = predicted.prepared, predicted.prepared.todo
                try:
                    notes = await self.downloader.save(predicted)
                except BatchError as error:
                    error.attempts = max(error.attempts, predicted.attempts)
                    await self._useless(todo, error, prepared)
                else:
                    self._copies.put(self.dedup.settled(prepared))
                    for note in notes:
                        self._warn(todo, note)
                    self.flights.add(self.context.clock.monotonic() - predicted.since)
                    self.saved += 1
                    self.reused += predicted.reused
                    self._over(Kind.SAVED, todo, todo.output)

    async def _useless(self, todo: Todo, error: BatchError, prepared: Prepared | None) -> None:
        """Send an item back where another prediction may be bought instead of one of no use; end it elsewhere."""
        if prepared is not None and isinstance(error, ResubmitError) and self.dedup.leads(prepared):
            turn = self.dedup.turn(prepared)
            turn.open, turn.nameless, error.attempts = None, False, turn.bought
            self.context.brake.useless(prepared.fingerprint, error)
            if self.purchaser.may_buy(turn):
                if self.context.gate.reason is None:
                    self._warn(todo, f"{error}; another prediction is bought")
                self._stages.start_soon(self._after, partial(self.purchaser.pause, prepared, turn), todo, prepared)
                return
        await self._settle(todo, error, prepared)

    async def _settle(self, todo: Todo, error: BatchError, prepared: Prepared | None = None) -> None:
        """End an item that wasn't saved; what is paid for, or may be, isn't given up while the server has trouble."""
        path, arrivals = todo.item.path, self.context.arrivals
        if arrivals is not None and path is not None and isinstance(error, SourceError):
            error = arrivals.judged(error, str(path), todo.signature)
            if isinstance(error, Postponed):
                self._warn(todo, str(error))
        if prepared is not None:
            if isinstance(error, RetryError) and self.dedup.leads(prepared) and self.dedup.turn(prepared).paid:
                error = Postponed(f"{error}; what may be paid for stays pending, and the next run asks for it again")
                self._warn(todo, str(error))
            self.context.brake.ended(prepared.fingerprint, error)
            self._copies.put(self.dedup.settled(prepared, error))
        failed = error.verdict not in (Verdict.ABORT, Verdict.LEAVE)
        try:
            if failed:
                end = Failed(
                    **described(todo, self.context.recipe.tried),
                    kind=error.kind,
                    message=scrubbed(str(error)),
                    retryable=error.verdict is not Verdict.FAIL,
                    attempts=error.attempts,
                )
                await self.context.ledger.append(end)
            elif error.verdict is Verdict.LEAVE and todo.state.outcome == "saved" and not todo.finished_if_same:
                # Its picture is another one than is wanted.
                await self.context.ledger.append(Claimed(todo.item.id, todo.output))
        except BatchError as unwritten:
            error, failed = unwritten, False
        if failed:
            return self._over(Kind.FAILED, todo, scrubbed(str(error)), error.kind)
        if error.verdict is not Verdict.LEAVE:
            self.context.gate.close(error)
        return self._over(Kind.PENDING, todo)

    def _begin(self, todo: Todo) -> None:
        """Report that an item is being worked on, unless that was reported before."""
        if todo.item.id not in self._started:
            self._started.add(todo.item.id)
            self.context.notify(Event(Kind.STARTED, todo.item.id))

    def _over(self, kind: Kind, todo: Todo, text: str = "", error_kind: str = "") -> None:
        started = todo.item.id in self._started
        self.left += kind is Kind.PENDING
        self.failed += kind is Kind.FAILED
        self._started.discard(todo.item.id)
        state = self.context.ledger.fold.items.get(todo.item.id) if kind is Kind.SAVED else None
        text, flags = (state.place(text), state.flags) if state is not None else (text, ())
        self.escalated += state is not None and not state.reused and "@" in (state.engine or "")
        self.context.notify(Event(kind, todo.item.id, text, error_kind, 1, started, todo.item.source, flags))
        self._copies.ended()

    def _warn(self, todo: Todo, text: str) -> None:
        self.context.notify(Event(Kind.WARNING, todo.item.id, text=scrubbed(text)))
