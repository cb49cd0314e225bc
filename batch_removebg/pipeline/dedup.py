"""The same content is bought once: this alone decides who buys it, who waits, and who gets a copy.

One item of each content is worked on at a time; its copies are parked meanwhile, and share its outcome. Nobody waits
here: a parked copy is a few hundred bytes and holds no worker.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterable
from copy import copy
from dataclasses import replace

from batch_removebg.errors import BatchError, Stopping, Verdict
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Upload
from batch_removebg.providers.wire import when

from .context import Context
from .on_hand import OnHand
from .work import Predicted, Prepared, Turn

Released = tuple[Prepared, BatchError | None]
"""An item that may go on, and the error that its content ended with, where that gives no picture."""

_REMEMBERED = 10_000
"""Contents without a picture whose turns are remembered, so that a run of any length takes bounded memory."""


class Way(enum.Enum):
    """How an item gets its alpha."""

    BUY = "buy"  # it has the turn of its content: buy a prediction, or wait for the one in flight
    COPY = "copy"  # from what was bought for the same content
    PARK = "park"  # once another item with the same content has ended


class Deduplicator:
    """Gives each content to one item at a time; a turn may begin in one task and end in another."""

    def __init__(self, context: Context, on_hand: OnHand, *, unsettled: Iterable[ItemState] = ()) -> None:
        """`unsettled`: what earlier runs began to buy, continued by whichever item has the same content.

        Without effect where predictions aren't billed: those end with their process.
        """
        self._context = context
        self._on_hand = on_hand
        self._turns: dict[str, Turn] = {}
        self._past: OrderedDict[str, Turn] = OrderedDict()
        self._unsettled: dict[str, list[ItemState]] = {}
        for state in unsettled:
            if state.fingerprint:
                self._unsettled.setdefault(state.fingerprint, []).append(copy(state))
        self._anew = set[str]()  # what was forced and bought again in this run
        self.parked = 0  # items that wait for another one with the same content

    def leads(self, prepared: Prepared) -> bool:
        """Whether the item has the turn of its content, and its copies wait for it."""
        return (turn := self._turns.get(prepared.fingerprint)) is not None and turn.owner is prepared

    def turn(self, prepared: Prepared) -> Turn:
        """The turn of the item's content."""
        return self._turns[prepared.fingerprint]

    def place(self, prepared: Prepared, *, damaged: bool = False) -> Way:
        """The item's way to its alpha; unless parked, tell `settled` its end. `damaged`: what is on hand is no use."""
        key, leads = prepared.fingerprint, self.leads(prepared)
        if not leads and key in self._turns:
            self._context.sources.drop(prepared.data)  # read again later: waiting costs no memory
            self._turns[key].parked.append(replace(prepared, data=None))
            self.parked += 1
            return Way.PARK
        passed = prepared.sha256 is None
        edited = self._on_hand.edited(prepared) is not None
        anew = not edited and _anew(prepared) and key not in self._anew and (passed or not _begun(prepared))
        if anew and prepared.todo.anew and not leads:
            self._on_hand.alphas.set_aside(key)  # from here on a run that resumes finds nothing but what is bought now
        if not (damaged or anew) and ((edited and not passed) or self._on_hand.has(key, passed=passed)):
            return Way.COPY
        if not leads:
            self._begin(prepared)
        return Way.BUY

    def _begin(self, prepared: Prepared) -> None:
        """Begin the turn of a content, with what was bought for it in vain before."""
        key, own = prepared.fingerprint, prepared.todo.state
        same, turn = own.fingerprint == key, self._past.pop(key, None) or Turn(prepared)
        turn.owner = prepared
        self._turns[key] = turn
        begun = self._unsettled.pop(key, [own] if _begun(prepared) else [])
        if self._context.provider.capabilities.billed and begun:
            turn.inherit(begun)
        if turn.upload is None and same and own.upload is not None:
            turn.upload = Upload(own.upload.url, when(own.upload.until))

    async def copy(self, prepared: Prepared) -> Predicted | None:
        """The item with what an earlier prediction left for its content, or None."""
        if prepared.sha256 is None:
            return await self._context.cpu.run(self._on_hand.copy, prepared)
        return self._on_hand.with_alpha(prepared, await self._context.workers.alpha(self._on_hand.finder(prepared)))

    def settled(self, prepared: Prepared, error: BatchError | None = None) -> list[Released]:
        """Record that an item was saved, or ended with `error`; returns the parked copies that may go on now.

        Those are all of them or, after an error of the item alone, the first, which has the turn now.
        """
        key = prepared.fingerprint
        if _anew(prepared) and error is None:
            self._anew.add(key)
        self._context.sources.let_go(key)
        self._context.sources.drop(prepared.data)
        if not self.leads(prepared):
            return []
        turn = self._turns[key]
        own = error is not None and error.verdict is Verdict.FAIL and not error.of_content
        if own and turn.parked:
            turn.owner = turn.parked.pop(0)
            self.parked -= 1
            return [(turn.owner, None)]
        shared = _shared(error) if error is not None and not own else None
        copies, turn.parked, turn.owner = turn.parked, [], None
        self.parked -= len(copies)
        del self._turns[key]
        if error is not None:
            if shared is not None and shared.verdict in (Verdict.FAIL, Verdict.RESUBMIT):
                turn.refusal = shared  # trouble of the server may pass
            self._past[key] = turn
            if len(self._past) > _REMEMBERED:
                self._past.popitem(last=False)
        return [(parked, shared) for parked in copies]


def _anew(prepared: Prepared) -> bool:
    """Whether a prediction is bought whatever is on hand; of a forced URL its last picture is all that is kept."""
    return prepared.todo.anew or (prepared.sha256 is None and prepared.todo.forced)


def _begun(prepared: Prepared) -> bool:
    """Whether an earlier run has begun to buy the item's content for it."""
    own = prepared.todo.state
    return own.fingerprint == prepared.fingerprint and (own.in_flight or own.lost is not None)


def _shared(error: BatchError) -> BatchError:
    """The error of the copies: the same without a purchase of their own, or that the run stops."""
    if error.verdict is Verdict.ABORT:
        return Stopping("the run is stopping")
    return type(error)(str(error))
