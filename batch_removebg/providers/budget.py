"""A run buys no more predictions than it was allowed to."""

from __future__ import annotations

from batch_removebg.errors import BatchError, BudgetReached, CreateLost
from batch_removebg.model import CreateRequest, Prediction, Provider

from .base import Wrapper


class Budgeted(Wrapper):
    """Lets `limit` creates through; a refused one is given back, one whose answer was lost counts as bought."""

    def __init__(self, inner: Provider, limit: int | None, *, named: str = "") -> None:
        """`named`: what set the limit, as the message that the budget is spent shall say it."""
        super().__init__(inner)
        self._limit = limit
        self._named = named or f"--max-predictions {limit}"
        self.bought = 0

    async def create(self, request: CreateRequest) -> Prediction:
        """Create within the budget; raises BudgetReached where it is spent."""
        if self._limit is not None and self.bought >= self._limit:
            raise BudgetReached(f"{self._named} is reached; raise it and run the same command again to go on")
        self.bought += 1
        try:
            return await self.inner.create(request)
        except CreateLost:
            raise
        except BatchError:
            self.bought -= 1
            raise
