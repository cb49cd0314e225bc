"""Creates whose answers were lost are looked for, all of them together, before any is sent again.

This API has no idempotency keys. Where the server lists predictions with their inputs, a create is recognised by its
input URL, and one walk through the list serves everyone who waits. Where it doesn't (gateways, data URIs, wiped
inputs), the policy says whether to risk a duplicate.

That a create isn't on the list shows something only where the list shows a later one of ours, is in order, and doesn't
look cut off. The clock of this machine is no argument: how far to read back follows from the server's times, and until
those are known, or where they contradict each other, all is read.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, CreateUnaccounted, KeyRejected, NotAnApi, ServerError
from batch_removebg.ledger.state import Lost
from batch_removebg.model import Prediction, Provider

from . import wire
from .wire import key_of


@dataclass(frozen=True, slots=True)
class LostPolicy:
    """How lost creates are looked for, and when they are sent again."""

    resend: int = 1  # how often one that can't be looked for is sent again
    losses: int = 12  # answers in a row that may be lost, without a prediction on the list, before the item fails
    # Enough that an outage of creates ends by the circuit breaker, and not by the items of the run one by one.
    looks: tuple[float, ...] = (1.0, 5.0, 15.0)
    """Seconds after the loss at which the list is read: a create may take a moment to appear.

    From the second look on, a list that shows a later create of ours is believed not to contain it.
    """
    again_after: float = 5.0  # seconds between the looks after those, while one of several is tried
    apart: float = 4.0  # least seconds between two walks through the list
    pause: float = 5.0  # seconds before one that can't be looked for is sent again
    jitter: float = 5.0  # seconds by which the clocks of a server's machines may differ
    pages: int = 50  # most pages of the list that one walk reads

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


_VERSION = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_REMEMBERED = 1000  # creates whose place in time is known
_SHORT = 10  # rows that no list is cut off at
_ROUND = 5  # what the numbers that it may be cut off at are multiples of
_LONG_AGO, _FAR = 0.0, 4e9  # seconds since 1970 that a server's clock may show


class Sighting(NamedTuple):
    """What the list shows of a lost create."""

    prediction: Prediction | None
    absent: bool = False  # it isn't on a list that is complete
    sure: bool = False
    """Nor was it made: the list shows a later one of ours. Otherwise sending it again may be a duplicate."""


@dataclass(slots=True, eq=False)
class _Search:
    """A lost create that somebody waits for."""

    key: str
    sent: float  # when the create was sent; all times are on the monotonic clock, and -inf is an earlier run
    lost_at: float
    spent: Container[str]
    due: list[float]  # moments of the looks that are left
    audit: bool  # it was sent again already: only to know whether that was a duplicate
    result: Sighting | BatchError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def end(self, result: Sighting | BatchError) -> None:
        """Let the one who waits go on, unless there is a result already."""
        self.result = self.result or result
        self.done.set()


class LostCreates:
    """Finds the predictions of lost creates; `watch` does the looking, in a task of its own."""

    def __init__(
        self,
        provider: Provider,
        policy: LostPolicy,
        *,
        clock: Clock,
        known: Callable[[str], bool],
        key: Callable[[str], str] = key_of,
    ) -> None:
        """`known`: whether a prediction of that id belongs to a create on record; `key`: what an input is known by."""
        self.policy, self.key = policy, key
        self._provider = provider
        self._clock = clock
        self._known = known
        self._offset, self._ahead, self._behind = math.inf, -math.inf, math.inf
        """The server's time, in seconds since 1970, less the monotonic clock's: never too late, perhaps too early; the
        latest such, and the earliest by the moments that creates were sent at."""
        self._later: OrderedDict[str, tuple[float, str]] = OrderedDict()
        """When the latest creates with an answer were sent, and with which image, by id."""
        self._echoes = False  # the list was seen to repeat input URLs as they were sent
        self._taken: set[str] = set()  # ids found by this run, which may not be on record yet
        self._open: list[_Search] = []
        self._walked = self._tried = -math.inf
        self._asked = anyio.Event()

    def answered(self, created: Prediction, image: str, sent: float) -> None:
        """Record a create that was answered: it shows the server's clock, and what is later than a lost one."""
        if created.id is not None:
            self._later[created.id] = sent, image
            if len(self._later) > _REMEMBERED:
                self._later.popitem(last=False)
        if created.created_at is not None:
            offset = created.created_at.timestamp() - self._clock.monotonic()
            self._offset, self._ahead = min(self._offset, offset), max(self._ahead, offset)
            self._behind = min(self._behind, offset + created.held)

    async def find(
        self, lost: Lost, spent: Container[str], sent: float = -math.inf, lost_at: float | None = None
    ) -> Sighting:
        """What the server's list shows of a lost create, which isn't one of the `spent` predictions.

        `sent`: when, on the monotonic clock, where that was in this run; `lost_at`: when it was known to be lost, where
        that isn't now, and it has been sent again since.

        Raises what listing raises: then nothing is known, and the next run looks again.
        """
        if not self._provider.capabilities.list or lost.key.startswith("sha256:"):
            await self._clock.sleep(self.policy.pause)  # sent again at once, it would meet the same trouble
            return Sighting(None)
        now, audit = self._clock.monotonic(), lost_at is not None
        first, *others = self.policy.looks
        looks = (first if sent > -math.inf else 0.0, *others)  # an earlier run's has had its time to appear
        lost_at = now if lost_at is None else lost_at
        search = _Search(lost.key, sent, lost_at, spent, [now + look for look in looks], audit)
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
                # Creates are accepted: where these say no, it is the list that isn't offered.
                result = Sighting(None) if isinstance(error, NotAnApi | KeyRejected) else error
                for search in waiting:
                    search.end(result)

    async def _walk(self, searches: Sequence[_Search]) -> None:
        """Look for all of them at once; those not seen at their last look are not there."""
        now, since = self._clock.monotonic(), self._since(searches)
        cursor, complete, doubtful, newest = None, False, set[_Search](), -math.inf
        rows, times, in_order, past = 0, list[float](), True, False
        after = datetime.fromtimestamp(since, UTC) if since is not None else None
        for _ in range(self.policy.pages):
            page = await self._provider.list(created_after=after, cursor=cursor)
            for one in page.predictions:
                sent, image = self._later.get(one.id or "", (-math.inf, ""))
                newest = max(newest, sent)
                self._echoes = self._echoes or (one.image is not None and wire.same_url(self.key(one.image), image))
            for candidate in page.predictions:
                self._compare(candidate, searches, doubtful)
            rows += len(page.predictions)
            times += [one.created_at.timestamp() for one in page.predictions if one.created_at is not None]
            in_order = all(later <= earlier + self.policy.jitter for earlier, later in pairwise(times))
            past = bool(in_order and since is not None and times and times[-1] < since)
            complete = past or page.next is None
            if complete or not page.next or all(search.done.is_set() for search in searches):
                break
            cursor = page.next
        cut = cursor is None and not past and rows >= _SHORT and rows % _ROUND == 0
        for search in searches:
            search.due = [due for due in search.due if due > now]
            absent, later = complete and search not in doubtful, newest > search.lost_at
            if (not absent and search.due) or search.done.is_set():
                continue
            if absent and later and in_order and not cut and len(search.due) < len(self.policy.looks) - 1:
                search.end(Sighting(None, absent=True, sure=True))
            elif not search.due and (not absent or search.audit or self._may_try(now)):
                search.end(Sighting(None, absent=absent))
            elif not search.due:
                search.due = [now + self.policy.again_after]

    def _may_try(self, now: float) -> bool:
        """Whether one without proof may be sent again: its answer will show the others whether theirs are missing."""
        if now - self._tried < self.policy.looks[-1]:
            return False
        self._tried = now
        return True

    def _since(self, searches: Sequence[_Search]) -> float | None:
        """Server's time, in seconds since 1970, before which none of them was sent, where that is known."""
        if self._ahead - self._behind > self.policy.jitter:
            return None  # its machines' clocks differ
        seconds = min(search.sent for search in searches) + self._offset - self.policy.jitter
        return seconds if _LONG_AGO < seconds < _FAR else None

    def _compare(self, candidate: Prediction, searches: Sequence[_Search], doubtful: set[_Search]) -> None:
        if candidate.id is None or candidate.id in self._taken or candidate.id in self._later:
            return
        if self._known(candidate.id) or _of_another_model(candidate.version, self._provider.version):
            return
        open_ones = [one for one in searches if not one.done.is_set() and candidate.id not in one.spent]
        for search in open_ones:
            if candidate.image is not None and wire.same_url(self.key(candidate.image), self.key(search.key)):
                self._taken.add(candidate.id)
                self._later[candidate.id] = search.sent, search.key
                search.end(Sighting(candidate))
                return
        if candidate.image is None or not self._echoes:  # it may be one of them: its input was wiped, or is rewritten
            made = candidate.created_at.timestamp() if candidate.created_at is not None else math.inf
            doubtful.update(search for search in open_ones if made >= (self._since([search]) or 0.0))


def _of_another_model(shown: str | None, ours: str) -> bool:
    """Whether a prediction is of another version; some servers hide it, or name it otherwise."""
    ids = [_VERSION.search(name or "") for name in (shown, ours)]
    return None not in ids and len({found[0].lower() for found in ids if found}) > 1
