"""Every create is within the budget, on record before it is sent, and its answer before it is used.

That is invariant 2 of the ledger. From `submitting` to the end of the exchange the task is shielded: a cancellation
there would lose an answer that had arrived.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from batch_removebg.clock import Clock, stamp
from batch_removebg.errors import BatchError, BudgetReached, CreateLost, PageInstead, UploadExpired
from batch_removebg.ledger.events import Rejected, Submitted, Submitting
from batch_removebg.ledger.journal import Ledger
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.stop import Gate

from .base import Wrapper
from .wire import key_of


@dataclass(slots=True)
class Budget:
    """The predictions that a run may buy, and those it has bought."""

    limit: int | None = None
    reached: str = ""  # what to say once it is
    bought: int = 0

    def take(self) -> None:
        """Count one as bought; raises BudgetReached where none is left."""
        if self.limit is not None and self.bought >= self.limit:
            raise BudgetReached(self.reached)
        self.bought += 1

    def give_back(self) -> None:
        """Count one less: the server did not accept the create."""
        self.bought -= 1


@dataclass(eq=False)
class Journaled(Wrapper):
    """Writes `submitting` before a create, then `submitted`, or `rejected` if it was certainly refused."""

    ledger: Ledger
    gate: Gate
    clock: Clock = field(default_factory=Clock)
    key: Callable[[str], str] = key_of
    budget: Budget = field(default_factory=Budget)
    may_send: Callable[[], Awaitable[None]] | None = None  # asked once it is on record here
    _arriving: set[str | None] = field(default_factory=set, init=False)  # ids of answers that aren't on record yet

    async def create(self, request: CreateRequest) -> Prediction:
        """Create, on record; a lost one counts as bought until it is known not to exist.

        Raises Stopping where the gate is closed, UploadExpired where the input is gone, BudgetReached.
        """
        self.gate.check()
        until = request.until.timestamp() if request.until is not None else None
        if until is not None and until <= self.clock.wall():
            raise UploadExpired("the upload had expired before its create could be sent; it is uploaded anew")
        submitting = Submitting(
            item=request.item,
            attempt=request.attempt,
            key=self.key(request.image),
            output=request.output,
            fingerprint=request.fingerprint,
            possible_duplicate=request.possible_duplicate,
            # An upload whose URL is a secret can't be used again from the ledger.
            until=stamp(until) if until is not None and self.key(request.image) == request.image else None,
        )
        self.budget.take()
        with anyio.CancelScope(shield=True):
            await self.ledger.append(submitting)
            try:
                if self.may_send is not None:
                    await self.may_send()
                created = self._own(await self.inner.create(request), request)
            except (CreateLost, PageInstead):
                raise
            except BatchError as refused:
                self.budget.give_back()
                await self.ledger.append(Rejected(request.item, refused.kind))
                raise
            try:
                await self.ledger.append(Submitted(request.item, created.id))
            finally:
                self._arriving.discard(created.id)
        return created

    def _own(self, created: Prediction, request: CreateRequest) -> Prediction:
        """The prediction, unless its id belongs to another create: then it is no answer, and CreateLost is raised."""
        if created.id is None:
            return created
        known = self.ledger.fold.items.get(request.item)
        own = known is not None and created.id in (known.prediction_id, *known.spent)
        if created.id in self._arriving or (self.ledger.fold.has_prediction(created.id) and not own):
            created.disown()
            raise CreateLost(f"the answer to the create for {request.item} names a prediction of another create")
        self._arriving.add(created.id)
        return created
