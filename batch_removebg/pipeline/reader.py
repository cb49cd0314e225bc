"""The first stage: rows of the manifest become items to be done, or are passed by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import anyio
import anyio.to_thread

from batch_removebg.errors import BatchError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.events import Unchanged
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Step
from batch_removebg.model import Item, UrlRow
from batch_removebg.stop import Gate

from .planner import Plan, Planner
from .shape import Shape
from .work import Todo


class Reader:
    """Reads the manifest a few rows at a time, in threads, and hands on what is to be done."""

    def __init__(
        self,
        items: Callable[[], Iterator[Item | UrlRow]],
        planner: Planner,
        ledger: Ledger,
        gate: Gate,
        listener: Listener,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop` ends a manifest that comes in as it is made (stdin)."""
        self._items = items
        self._planner = planner
        self._ledger = ledger
        self._gate = gate
        self._tell = listener
        self.stop = stop
        self.skipped = 0
        """Items that were finished already."""
        self.limited = False
        """The limit was reached before the end of the manifest."""

    async def todos(self, shape: Shape, hand_on: Callable[[Todo], Any]) -> None:
        """Await `hand_on` for each item that is to be done, until the manifest or the limit ends it.

        A manifest that fails further down closes the gate.
        """
        items, begun, size = self._items(), 0, 1 if shape.stream else shape.chunk
        while True:
            room = None if shape.limit is None else shape.limit - begun
            plan, failure = await anyio.to_thread.run_sync(self._read, items, size, room)
            await self._pass_by(plan)
            for planned in plan.todos:
                self._tell(Event(Kind.FOUND, planned.todo.item.id))
                await hand_on(planned.todo)
            begun += len(plan.todos)
            if room is not None and len(plan.todos) == room:
                self.limited = True
                return
            if failure is not None:
                self._gate.close(failure)
            if failure is not None or not plan.read:
                return
            if not shape.stream:
                # What is to be done is handed on soon; what isn't is passed by in large chunks.
                size = shape.chunk if plan.todos else min(2 * size, shape.longest_chunk)

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
        """Report the items that nothing is to be done about."""
        self.skipped += plan.done
        for step, count in ((Step.DONE, plan.done), (Step.LEAVE, plan.left)):
            if count:
                self._tell(Event(Kind.FOUND, count=count))
                self._tell(Event(Kind.SKIPPED, text=step.value, count=count))
        # Together, for the ledger to write them at once.
        async with anyio.create_task_group() as together:
            for entry in plan.told:
                together.start_soon(self._record, entry)

    async def _record(self, entry: Unchanged) -> None:
        try:
            await self._ledger.append(entry)
        except BatchError as error:
            self._gate.close(error)
