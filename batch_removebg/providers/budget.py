"""A run buys no more predictions than it was allowed to."""

from __future__ import annotations

from dataclasses import dataclass

from batch_removebg.errors import BatchError, BudgetReached, CreateLost
from batch_removebg.model import CreateRequest, Prediction

from .base import Wrapper


@dataclass(slots=True)
class Budget:
    """The predictions that a run may buy, and those it has bought."""

    limit: int | None
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
class Budgeted(Wrapper):
    """Lets creates through while the budget lasts; a lost one counts as bought until it is known not to exist."""

    budget: Budget

    async def create(self, request: CreateRequest) -> Prediction:
        """Create within the budget; raises BudgetReached where it is spent."""
        self.budget.take()
        try:
            return await self.inner.create(request)
        except CreateLost:
            raise
        except BatchError:
            self.budget.give_back()
            raise
