"""One of each content is worked on at a time; its copies are parked meanwhile, and share what it comes to.

Pure: who works on what is decided here, and nobody waits here. A parked copy is a few hundred bytes, and holds no
worker. What the turn of a content comes to holds for its copies too, unless it was a matter of the one item alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from batch_removebg.errors import BatchError, Stopping, Verdict
from batch_removebg.model import Upload

T = TypeVar("T")

_REMEMBERED = 10_000
"""Contents that came to nothing that are remembered, in a run of any length."""


@dataclass(slots=True)
class Turn:
    """What this run has uploaded and bought for one content, be it for one of its items or for several in turn."""

    owner: object
    """Whose turn it is."""
    upload: Upload | None = None
    spent: list[str] = field(default_factory=list)
    """Ids of the predictions that were bought."""
    bought: int = 0
    open: str | None = None
    """The last of them, unless it has turned out to be of no use: where its item fails, it serves the next one."""
    refusal: BatchError | None = None
    """What the content came to in this run: asked again, and paid again, it would come to the same."""


@dataclass(frozen=True, slots=True)
class Released(Generic[T]):
    """One that was parked, and is so no more."""

    copy: T
    error: BatchError | None = None
    """What its content has come to, where that was nothing."""


class Singleflight(Generic[T]):
    """Turns by key; a turn may begin in one task and end in another."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._parked: dict[str, deque[T]] = {}
        self._past: OrderedDict[str, Turn] = OrderedDict()
        self.parked = 0
        """Those that are parked, of all keys."""

    def busy(self, key: str) -> bool:
        """Whether somebody has the turn of the key."""
        return key in self._turns

    def leads(self, key: str, who: T) -> bool:
        """Whether it is `who` that has the turn."""
        turn = self._turns.get(key)
        return turn is not None and turn.owner is who

    def turn(self, key: str) -> Turn:
        """The turn under way."""
        return self._turns[key]

    def begin(self, key: str, who: T) -> Turn:
        """Begin the turn of a key that is not busy; what earlier ones have bought in vain is still known."""
        turn = self._past.pop(key, None) or Turn(who)
        turn.owner = who
        self._turns[key] = turn
        return turn

    def park(self, key: str, who: T) -> None:
        """Keep a copy until the turn of its key, which is busy, has ended."""
        self._parked.setdefault(key, deque()).append(who)
        self.parked += 1

    def end(self, key: str, error: BaseException | None = None) -> list[Released[T]]:
        """End the turn of `key`; `error` is what it came to, where it came to nothing.

        Gives back the parked copies that it ends for as well: all of them or, after an error of the item alone, the
        first, which has the turn now.
        """
        turn, parked = self._turns.pop(key), self._parked.pop(key, deque())
        own = isinstance(error, BatchError) and error.verdict is Verdict.FAIL and not error.of_content
        if own and parked:
            turn.owner = first = parked.popleft()
            self._turns[key] = turn
            if parked:
                self._parked[key] = parked
            self.parked -= 1
            return [Released(first)]
        told = None if own else _told(error)
        if error is not None:
            self._remember(key, turn, told)
        self.parked -= len(parked)
        return [Released(copy, told) for copy in parked]

    def _remember(self, key: str, turn: Turn, told: BatchError | None) -> None:
        if told is not None and told.verdict in (Verdict.FAIL, Verdict.RESUBMIT):
            turn.refusal = told  # trouble of the server may pass
        turn.owner = None
        self._past[key] = turn
        if len(self._past) > _REMEMBERED:
            self._past.popitem(last=False)


def _told(error: BaseException | None) -> BatchError | None:
    """What the copies are told: the same, of which they have had no part, or that the run ends."""
    if error is None:
        return None
    if not isinstance(error, BatchError) or error.verdict is Verdict.ABORT:
        return Stopping("the run is stopping")
    return type(error)(str(error))
