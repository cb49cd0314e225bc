"""A create whose answer was lost is looked for before it is sent again.

No idempotency key exists in this API. Where the server lists predictions and echoes their input, a create is
recognised by its input URL; where it doesn't (gateways, data URIs, inputs wiped since) the policy says whether to
risk a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from batch_removebg.clock import Clock
from batch_removebg.errors import CreateLost, CreateUnaccounted, ServerError
from batch_removebg.ledger.events import Rejected, Submitted
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Lost
from batch_removebg.model import CreateRequest, Prediction, Provider

from . import wire
from .journaled import key_of


@dataclass(frozen=True, slots=True)
class LostPolicy:
    """What to do about creates without an answer."""

    resend: int = 1
    """How often one that can't be looked for is sent again."""
    losses: int = 12
    """How many answers in a row may be lost, and found not to be on the list, before the item fails.

    Enough for an outage of the creates to be ended by the breaker, and not by the items of the run one by one.
    """
    looks: tuple[float, ...] = (1.0, 4.0, 10.0)
    """Seconds before each look: a create may take a moment to appear in the list."""
    pause: float = 5.0
    """Seconds before one that can't be looked for is sent again."""
    skew: float = 120.0
    """Seconds by which our clock and the server's may differ."""
    pages: int = 50
    """Pages of the list that are read at most in one look."""


class Recovery:
    """Buys a prediction at most once for each request, as far as the server lets us know."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        policy: LostPolicy,
        *,
        clock: Clock,
        known: Callable[[str], bool],
    ) -> None:
        """`known` tells whether a prediction of that id belongs to a create already."""
        self._provider = provider
        self._ledger = ledger
        self._policy = policy
        self._clock = clock
        self._known = known
        self._behind = 0.0
        """Seconds by which the server's clock was seen to be behind ours, at most."""
        self._taken: set[str] = set()
        """Ids found by this run, of which `known` may not tell yet."""

    async def create(self, request: CreateRequest, lost: Lost | None = None) -> Prediction:
        """Create a prediction, or take up the one that an earlier create without an answer made.

        `lost`: such a create on record from an earlier run, or from an earlier attempt. Raises CreateUnaccounted where
        it can't be looked for and may not be sent again.
        """
        resent = losses = 0
        while True:
            if lost is not None:
                found, told = await self._look(lost, request.spent) if self._findable(lost.key) else (None, False)
                if found is not None:
                    await self._ledger.append(Submitted(request.item, found.id, found=True))
                    return found
                if told:
                    await self._ledger.append(Rejected(request.item, kind="not-found"))
                    if losses >= self._policy.losses:
                        raise ServerError(f"{losses} creates in a row got no answer, and the server lists none of them")
                elif resent >= self._policy.resend:
                    raise CreateUnaccounted(
                        "the create got no answer, may have been accepted and billed, and this server can't be asked; "
                        "look at the account, then run again with --retry-failed"
                    )
                else:
                    # At once it would meet the same trouble.
                    await self._clock.sleep(self._policy.pause)
                    resent += 1
                    request = replace(request, possible_duplicate=True)
            since = self._clock.stamp()
            try:
                created = await self._provider.create(request)
                self._compare_clocks(created)
                return created
            except CreateLost:
                losses += 1
                lost = Lost(key_of(request.image), since)
                request = replace(request, attempt=request.attempt + 1)

    def _compare_clocks(self, created: Prediction) -> None:
        if created.created_at is not None:
            self._behind = max(self._behind, self._clock.wall() - created.created_at.timestamp())

    def _findable(self, key: str) -> bool:
        return self._provider.capabilities.list and not key.startswith("sha256:")

    async def _look(self, lost: Lost, spent: Container[str]) -> tuple[Prediction | None, bool]:
        """The lost prediction, or None; and whether the list could tell."""
        since = (wire.when(lost.since) or datetime.fromtimestamp(0, UTC)) - timedelta(
            seconds=self._policy.skew + self._behind
        )
        # A create that an earlier run lost has had its time to appear in the list.
        age = self._clock.wall() - since.timestamp() - self._policy.skew - self._behind
        waits = (0.0,) if age > sum(self._policy.looks) else self._policy.looks
        told = False
        for wait in waits:
            await self._clock.sleep(wait)
            found, told = await self._look_once(lost.key, since, spent)
            if found is not None:
                return found, True
        return None, told

    async def _look_once(self, key: str, since: datetime, spent: Container[str]) -> tuple[Prediction | None, bool]:
        cursor, told = None, True
        for _ in range(self._policy.pages):
            page = await self._provider.list(created_after=since, cursor=cursor)
            for candidate in page.predictions:
                if candidate.id is None or candidate.id in self._taken:
                    continue
                if candidate.id in spent or self._known(candidate.id):
                    continue
                if candidate.image == key:
                    self._taken.add(candidate.id)
                    return candidate, True
                # Its input was wiped an hour after its end: it may be the one.
                told = told and not candidate.data_removed
            oldest = page.predictions[-1].created_at if page.predictions else None
            if page.next is None or (oldest is not None and oldest < since):
                return None, told
            cursor = page.next
        return None, False
