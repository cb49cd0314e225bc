"""Creates whose answers were lost are looked for, all of them together, before any is sent again.

This API has no idempotency keys. Where the server lists predictions with their inputs, a create is recognised by its
input URL, and one walk through the list serves everyone who waits. Where it doesn't (gateways, data URIs, wiped
inputs), the policy says whether to risk a duplicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, CreateUnaccounted, ServerError
from batch_removebg.ledger.state import Lost
from batch_removebg.model import Prediction, Provider

from . import wire


@dataclass(frozen=True, slots=True)
class LostPolicy:
    """How lost creates are looked for, and when they are sent again."""

    resend: int = 1
    """How often one that can't be looked for is sent again."""
    losses: int = 12
    """Answers in a row that may be lost, without a prediction on the list, before the item fails."""
    # Enough that an outage of creates ends by the circuit breaker, and not by the items of the run one by one.
    looks: tuple[float, ...] = (1.0, 5.0, 15.0)
    """Seconds after the loss at which the list is read: a create may take a moment to appear.

    From the second look on, a list that shows newer predictions of ours is believed not to contain it.
    """
    apart: float = 4.0
    """Least seconds between two walks through the list."""
    pause: float = 5.0
    """Seconds before one that can't be looked for is sent again."""
    skew: float = 120.0
    """Seconds by which our clock and the server's may differ, while that isn't known."""
    jitter: float = 5.0
    """Seconds by which the clocks of a server's machines may differ."""
    pages: int = 50
    """Most pages of the list that one walk reads."""

    def again(self, *, absent: bool, losses: int, resent: int) -> None:
        """Allow another create for an item that lost `losses` answers and was `resent` blindly, or raise.

        `absent`: the list shows that the last create made no prediction. Raises ServerError where no answer ever comes,
        CreateUnaccounted where a duplicate must not be risked.
        """
        if absent and losses >= self.losses:
            raise ServerError(f"{losses} creates in a row got no answer, and the server lists none of them")
        if not absent and resent >= self.resend:
            raise CreateUnaccounted(
                "the create got no answer, may have been accepted and billed, and this server can't be asked; "
                "look at the account, then run again with --retry-failed"
            )


class Sighting(NamedTuple):
    """What the list shows of a lost create."""

    prediction: Prediction | None
    sure: bool
    """Without a prediction: the list is complete, so that none was made."""


@dataclass(slots=True, eq=False)
class _Search:
    """A lost create that somebody waits for."""

    key: str
    since: datetime
    spent: Container[str]
    due: list[float]
    """Moments of the looks that are left, on the monotonic clock."""
    lost_at: float
    """Moment of the loss by the server's clock, in seconds since 1970."""
    result: Sighting | BatchError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def end(self, result: Sighting | BatchError) -> None:
        """Let the one who waits go on, unless there is a result already."""
        self.result = self.result or result
        self.done.set()


class LostCreates:
    """Finds the predictions of lost creates; `watch` does the looking, in a task of its own."""

    def __init__(self, provider: Provider, policy: LostPolicy, *, clock: Clock, known: Callable[[str], bool]) -> None:
        """`known`: whether a prediction of that id belongs to a create on record."""
        self.policy = policy
        self._provider = provider
        self._clock = clock
        self._known = known
        self._begun = clock.wall()
        self._behind: float | None = None
        """Seconds by which the server's clock is behind ours, at most; learned from answered creates."""
        self._taken: set[str] = set()
        """Ids found by this run, which may not be on record yet."""
        self._open: list[_Search] = []
        self._walked = -math.inf
        self._asked = anyio.Event()

    def answered(self, created: Prediction) -> None:
        """Compare the clocks: a create has just been answered."""
        if created.created_at is not None:
            # Each answer overstates it by the time that it took; the least comes nearest.
            behind = self._clock.wall() - created.created_at.timestamp()
            self._behind = behind if self._behind is None else min(self._behind, behind)

    async def find(self, lost: Lost, spent: Container[str]) -> Sighting:
        """What the server's list shows of a lost create, which isn't one of the `spent` predictions.

        Raises what listing raises: then nothing is known, and the next run looks again.
        """
        if not self._provider.capabilities.list or lost.key.startswith("sha256:"):
            await self._clock.sleep(self.policy.pause)  # sent again at once, it would meet the same trouble
            return Sighting(None, sure=False)
        search = self._search(lost, spent)
        self._open.append(search)
        self._asked.set()
        try:
            await search.done.wait()
        finally:
            self._open.remove(search)
        assert search.result is not None  # noqa: S101  # set before `done` is
        if isinstance(search.result, BatchError):
            raise search.result
        return search.result

    def _search(self, lost: Lost, spent: Container[str]) -> _Search:
        policy, now, wall = self.policy, self._clock.monotonic(), self._clock.wall()
        begun = wire.when(lost.since) or datetime.fromtimestamp(2 * policy.skew, UTC)
        slack, age = policy.skew + max(0.0, self._behind or 0.0), wall - begun.timestamp()
        if begun.timestamp() >= self._begun:
            age = 0.0  # lost a moment ago, however long it had waited for its turn and for its answer
            slack = slack if self._behind is None else self._behind + policy.jitter
        # A create that an earlier run lost has had its time to appear in the list.
        looks = (age,) if age > policy.looks[-1] else policy.looks
        due = [now + look - age for look in looks]
        lost_at = wall - (self._behind or 0.0) + policy.jitter
        return _Search(lost.key, begun - timedelta(seconds=slack), spent, due, lost_at)

    async def watch(self) -> None:
        """Walk through the list whenever a look is due, for ever."""
        while True:
            self._asked = anyio.Event()
            waiting = [search for search in self._open if not search.done.is_set()]
            if not waiting:
                await self._asked.wait()
                continue
            due = max(min(search.due[0] for search in waiting), self._walked + self.policy.apart)
            if (wait := due - self._clock.monotonic()) > 0:
                await self._clock.sleep(min(wait, 1.0))  # another may be lost meanwhile, and be due sooner
                continue
            self._walked = self._clock.monotonic()
            try:
                await self._walk(waiting)
            except BatchError as error:
                for search in waiting:
                    search.end(error)

    async def _walk(self, searches: Sequence[_Search]) -> None:
        """Look for all of them at once; those not seen at their last look are not there."""
        now, since = self._clock.monotonic(), min(search.since for search in searches)
        cursor, complete, doubtful, newest = None, False, set[_Search](), -math.inf
        for _ in range(self.policy.pages):
            page = await self._provider.list(created_after=since, cursor=cursor)
            for candidate in page.predictions:
                if not self._is_ours(candidate):
                    self._compare(candidate, searches, doubtful)
                elif candidate.created_at is not None:
                    newest = max(newest, candidate.created_at.timestamp())
            oldest = page.predictions[-1].created_at if page.predictions else None
            complete = page.next is None or (oldest is not None and oldest < since)
            if complete or all(search.done.is_set() for search in searches):
                break
            cursor = page.next
        for search in searches:
            search.due = [due for due in search.due if due > now]
            up_to_date = len(search.due) < len(self.policy.looks) - 1 and newest > search.lost_at
            if up_to_date or not search.due:
                search.end(Sighting(None, sure=complete and search not in doubtful))

    def _is_ours(self, candidate: Prediction) -> bool:
        return candidate.id is not None and (candidate.id in self._taken or self._known(candidate.id))

    def _compare(self, candidate: Prediction, searches: Sequence[_Search], doubtful: set[_Search]) -> None:
        if candidate.id is None:
            return
        for search in searches:
            early = candidate.created_at is not None and candidate.created_at < search.since
            if early or search.done.is_set() or candidate.id in search.spent:
                continue
            if candidate.image is not None and wire.same_url(candidate.image, search.key):
                self._taken.add(candidate.id)
                search.end(Sighting(candidate, sure=True))
                return
            if candidate.data_removed:  # its input was wiped an hour after its end: it may be the one
                doubtful.add(search)
