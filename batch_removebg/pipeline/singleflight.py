"""One item of each content is worked on at a time; its copies are parked meanwhile, and share its outcome.

Pure: it decides whose turn it is, and nobody waits here. A parked copy is a few hundred bytes and holds no worker. An
error holds for the copies too, unless it concerns the one item alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from batch_removebg.errors import BatchError, Stopping, Verdict
from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import Upload

T = TypeVar("T")
Released = tuple[T, BatchError | None]
"""An item that may go on, and the error that its content ended with, where that gives no picture."""

_REMEMBERED = 10_000
"""Contents without a picture whose turns are remembered, so that a run of any length takes bounded memory."""


@dataclass(slots=True)
class Turn:
    """What was uploaded and bought for one content, for one of its items or for several in turn."""

    owner: object
    """The item whose turn it is."""
    upload: Upload | None = None
    spent: list[str] = field(default_factory=list)
    """Ids of the predictions that were bought."""
    bought: int = 0
    """Predictions bought in this run."""
    open: str | None = None
    """The last prediction, unless it turned out useless: where its item fails, it serves the next one."""
    buyer: object = None
    """Owner of the turn when that was bought; None where an earlier run bought it."""
    lost: Lost | None = None
    """A create whose answer was lost, still to be looked for."""
    losses: int = 0
    """Answers lost in a row."""
    resent: int = 0
    """Creates sent although an earlier one may have been accepted."""
    doubtful: bool = False
    """The next create may be such a duplicate."""
    refusal: BatchError | None = None
    """What the content ended with in this run: asked and paid again, it would end the same."""

    def purchased(self, prediction_id: str | None) -> None:
        """Record a prediction that a server accepted."""
        self.bought += 1
        self.open, self.buyer = prediction_id, self.owner
        self.losses, self.resent, self.doubtful = 0, 0, False
        if prediction_id is not None:
            self.spent.append(prediction_id)

    def inherit(self, state: ItemState) -> None:
        """Continue what an earlier run bought, or began to buy, for this content."""
        if self.open is None and self.lost is None:
            self.open, self.lost = (state.prediction_id if state.in_flight else None), state.lost
        self.spent += [spent for spent in (state.prediction_id, *state.spent) if spent is not None]


class Singleflight(Generic[T]):
    """Turns by key; a turn may begin in one task and end in another."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._parked: dict[str, deque[T]] = {}
        self._past: OrderedDict[str, Turn] = OrderedDict()
        self.parked = 0
        """Parked copies of all keys."""

    def busy(self, key: str) -> bool:
        """Whether somebody has the turn of the key."""
        return key in self._turns

    def leads(self, key: str, who: T) -> bool:
        """Whether `who` has the turn of the key."""
        return key in self._turns and self._turns[key].owner is who

    def turn(self, key: str) -> Turn:
        """The turn of a key that is busy."""
        return self._turns[key]

    def begin(self, key: str, who: T) -> Turn:
        """Begin the turn of a key that isn't busy, with what was bought for it in vain earlier in this run."""
        turn = self._turns[key] = self._past.pop(key) if key in self._past else Turn(who)
        turn.owner = who
        return turn

    def park(self, key: str, who: T) -> None:
        """Keep a copy until the turn of its key, which is busy, has ended."""
        self._parked.setdefault(key, deque()).append(who)
        self.parked += 1

    def end(self, key: str, error: BaseException | None = None) -> list[Released[T]]:
        """End the turn of `key`, with `error` where it gave no picture; returns the parked copies that may go on.

        Those are all of them or, after an error of the item alone, the first, which has the turn now.
        """
        turn, parked = self._turns[key], self._parked.get(key, deque())
        own = isinstance(error, BatchError) and error.verdict is Verdict.FAIL and not error.of_content
        if own and parked:
            turn.owner = first = parked.popleft()
            self.parked -= 1
            return [(first, None)]
        del self._turns[key]
        self._parked.pop(key, None)
        shared = None if own else _shared(error)
        if error is not None:
            self._remember(key, turn, shared)
        self.parked -= len(parked)
        return [(copy, shared) for copy in parked]

    def _remember(self, key: str, turn: Turn, shared: BatchError | None) -> None:
        if shared is not None and shared.verdict in (Verdict.FAIL, Verdict.RESUBMIT):
            turn.refusal = shared  # trouble of the server may pass
        turn.owner = None
        self._past[key] = turn
        if len(self._past) > _REMEMBERED:
            self._past.popitem(last=False)


def _shared(error: BaseException | None) -> BatchError | None:
    """The error of the copies: the same without a purchase of their own, or that the run stops."""
    if error is None:
        return None
    if not isinstance(error, BatchError) or error.verdict is Verdict.ABORT:
        return Stopping("the run is stopping")
    return type(error)(str(error))
