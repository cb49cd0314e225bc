"""The first stage: rows of the manifest become items to do, or are skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError, ItemError
from batch_removebg.events import Event, Kind
from batch_removebg.ledger.events import Gone, Renamed, Unchanged
from batch_removebg.ledger.state import Step
from batch_removebg.manifest.folder import LeftOut
from batch_removebg.manifest.shard import Tally
from batch_removebg.model import Item, UrlRow

from .context import Context
from .planner import Plan, Planner
from .work import Todo


@dataclass(slots=True)
class Reader:
    """Reads the manifest a few rows at a time, in threads, and hands on what there is to do."""

    context: Context
    planner: Planner
    rows: Iterator[Item | UrlRow]  # of the whole manifest, read lazily
    left_out: LeftOut = field(default_factory=dict)  # by the rows so far
    manifest: Tally | None = None  # of which the rows are a shard's
    limited: bool = False  # the limit was reached before the end of the manifest
    renamed: tuple[int, str] = 0, ""  # items to do with another name than asked for, and what is said of the first
    whole: bool = False  # the manifest was read to its end
    left: int = 0  # items that aren't in the manifest any more since this run
    hidden: bool = False  # there may be items that weren't read: in a row or folder that can't be, or is watched

    async def todos(self, hand_on: Callable[[Todo], Awaitable[None]]) -> None:
        """Await `hand_on` for each item to do, up to the limit or the manifest's end; its error closes the gate."""
        shape = self.context.shape
        begun, size = 0, 1 if shape.stream else shape.chunk
        while True:
            room = None if shape.limit is None else shape.limit - begun
            plan, failure = await anyio.to_thread.run_sync(self._read, size, room)
            await self._skip(plan)
            for todo in plan.todos:
                if todo.notes:
                    self.renamed = self.renamed[0] + 1, self.renamed[1] or f"{todo.item.source} {todo.notes[0]}"
                self.context.notify(Event(Kind.FOUND, todo.item.id))
                await hand_on(todo)
            begun += len(plan.todos)
            if self.limited:
                return
            if failure is not None:
                self.context.gate.close(failure)
            if failure is not None or not plan.read:
                # A manifest that comes in as it is made ends early where the run is stopped.
                again, cut = self.planner.again, shape.stream and self.context.gate.reason is not None
                self.whole = failure is None and again.only is None and not cut
                for name in sorted({*(again.forced or ())} - again.met if self.whole else ()):
                    self.context.notify(Event(Kind.WARNING, text=f"--force {name}: no item has that id"))
                arrivals = self.context.arrivals
                self.hidden |= arrivals is not None and arrivals.hide
                if self.whole and not self.hidden:
                    await self._part()
                return
            if not shape.stream:
                # Small chunks where there is something to do, so that it begins soon; large ones where there isn't.
                size = shape.chunk if plan.todos else min(2 * size, shape.longest_chunk)

    def read_on(self, deadline: float) -> None:
        """Read what is left of the manifest, which tells of its rows, until this moment of the clock; blocks."""
        with suppress(BatchError):
            while self.context.clock.monotonic() < deadline and next(self.rows, None) is not None:
                pass

    def _read(self, size: int, room: int | None) -> tuple[Plan, BatchError | None]:
        """The plan for the next rows; a manifest that fails further down gives what came before, and the error."""
        some: list[Item | UrlRow] = []
        failure: BatchError | None = None
        try:
            some.extend(islice(self.rows, size))
        except BatchError as error:
            failure = error
        # What items a row or a folder stands for isn't known where it can't be read: these would seem to be gone.
        problems = (row for row in some if isinstance(row, Item) and row.problem is not None)
        self.hidden |= any(
            row.id == row.origin or row.id[-1:] == "/" or not row.origin[-1:].isdecimal() for row in problems
        )
        # One more than there is room for shows that something is left; who writes a manifest isn't waited for.
        most = None if room is None else room + (not self.context.shape.stream)
        plan = self.planner.plan_all(some, most)
        if room is not None and len(plan.todos) == most:
            self.limited = True
            for todo in plan.todos[room:]:
                self.planner.reading.forget(todo.item.id)
            del plan.todos[room:]
        for nth, todo in enumerate(plan.todos):
            if todo.item.problem is not None:
                continue
            try:  # known before a prediction is bought: the picture's name can be written
                for name in todo.names:
                    self.planner.outputs.room(name)
            except (ItemError, UnicodeEncodeError) as error:
                plan.todos[nth] = replace(todo, item=replace(todo.item, problem=str(error)))
            except BatchError as error:
                del plan.todos[nth:]
                return plan, error
        return plan, failure

    async def _skip(self, plan: Plan) -> None:
        for step, count in ((Step.DONE, plan.done), (Step.LEAVE, plan.left)):
            if count:
                self.context.notify(Event(Kind.FOUND, count=count))
                self.context.notify(Event(Kind.SKIPPED, text=step.value, count=count))
        async with anyio.create_task_group() as together:  # so that the ledger writes them at once
            for entry in plan.entries:
                together.start_soon(self._record, entry)

    async def _part(self) -> None:
        """Record what the manifest doesn't have any more."""
        async with self.context.ledger.still() as fold:
            absent = self.planner.reading.frozen(fold).absent()
            while some := await anyio.to_thread.run_sync(
                lambda: list(islice(absent, self.context.shape.longest_chunk))
            ):
                self.left += len(some)
                async with anyio.create_task_group() as together:
                    for key in some:
                        together.start_soon(self._record, Gone(key))

    async def _record(self, entry: Gone | Renamed | Unchanged) -> None:
        try:
            await self.context.ledger.append(entry)
        except BatchError as error:
            self.context.gate.close(error)
