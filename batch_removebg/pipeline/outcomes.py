"""How items end: recorded in the ledger, reported to the listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batch_removebg.errors import BatchError, Verdict
from batch_removebg.events import Event, Kind
from batch_removebg.ledger.events import Failed
from batch_removebg.ledger.state import Step

from .context import Context
from .download import described
from .planner import unchanged
from .work import Todo


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Reports each item once as started and once as ended."""

    context: Context
    ended: Callable[[], None]
    """Called for each item that ends."""
    _started: set[str] = field(default_factory=set, init=False)

    def started(self, todo: Todo) -> None:
        """Report that an item is being worked on, unless that was reported before."""
        if todo.item.id not in self._started:
            self._started.add(todo.item.id)
            self.context.notify(Event(Kind.STARTED, todo.item.id))

    def saved(self, todo: Todo) -> None:
        """Report an item as saved; the downloader has recorded it."""
        self._over(Kind.SAVED, todo, todo.output)

    async def unchanged(self, todo: Todo) -> None:
        """Record that an item's content is the same although its file has other times."""
        await self.context.ledger.append(unchanged(todo, todo.signature))
        self._over(Kind.SKIPPED, todo, Step.DONE.value)

    async def not_saved(self, todo: Todo, error: BatchError) -> None:
        """Record an item as failed, or leave it pending; ABORT closes the gate."""
        if error.verdict not in (Verdict.ABORT, Verdict.LEAVE):
            try:
                await self.context.ledger.append(
                    Failed(
                        **described(todo, self.context.recipe.tried),
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
        if error.verdict is not Verdict.LEAVE:
            self.context.gate.close(error)
        return self._over(Kind.PENDING, todo)

    def broken_off(self) -> None:
        """Report what is still in flight as pending: the run has ended."""
        for item in self._started:
            self.context.notify(Event(Kind.PENDING, item, started=True))

    def _over(self, kind: Kind, todo: Todo, text: str = "", error_kind: str = "") -> None:
        started = todo.item.id in self._started
        self._started.discard(todo.item.id)
        self.context.notify(Event(kind, todo.item.id, text=text, error_kind=error_kind, started=started))
        self.ended()
