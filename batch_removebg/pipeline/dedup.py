"""The same content is bought once: who buys it, who waits for that, and what is on hand already.

The one place that knows this. A dry run asks the same question, with nothing under way but what it has counted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from batch_removebg.errors import OutputBroken
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Upload
from batch_removebg.providers.wire import when
from batch_removebg.resources import Cpu
from batch_removebg.storage.alpha_cache import AlphaCache

from .reuse import Twins
from .singleflight import Released, Singleflight, Turn
from .sources import Sources
from .work import Predicted, Prepared

if TYPE_CHECKING:
    from batch_removebg.model import Matte


class Way(enum.Enum):
    """How an item gets its alpha."""

    BUY = "buy"
    """It has the turn of its content: a prediction is bought, or one in flight is waited for."""
    LOOK = "look"
    """It has the turn, and a create whose answer was lost has to be looked for first."""
    COPY = "copy"
    """What was bought for the same content is on hand."""
    PARK = "park"
    """The same content is being worked on: it comes back once that has ended."""


def way_of(*, on_hand: bool, busy: bool, lost: bool = False) -> Way:
    """The way of an item whose content is `on_hand`, being bought for another (`busy`), or has a create to look for."""
    if busy:
        return Way.PARK
    if on_hand:
        return Way.COPY
    return Way.LOOK if lost else Way.BUY


class OnHand:
    """What earlier predictions have left: alphas, and finished pictures of URLs that were passed through."""

    def __init__(self, alphas: AlphaCache, twins: Twins) -> None:
        self.alphas = alphas
        self.twins = twins

    def has(self, fingerprint: str, *, passed: bool) -> bool:
        """Whether there seems to be something; `passed`: for a URL that is passed through."""
        return self.twins.find(fingerprint) is not None if passed else self.alphas.has(fingerprint)

    def whole(self, fingerprint: str, *, passed: bool) -> bool:
        """The same, a finished picture's bytes compared with the ledger. Blocks."""
        if not passed:
            return self.alphas.has(fingerprint)
        made = self.twins.find(fingerprint)
        return made is not None and self.twins.load(made) is not None

    def copy(self, prepared: Prepared) -> Predicted | None:
        """What there is for the item; None where it is damaged or gone. Blocks."""
        if prepared.sha256 is None:
            made = self.twins.find(prepared.fingerprint)
            twin = self.twins.load(made) if made is not None else None
            if twin is None:
                return None
            return Predicted(prepared, None, None, twin.prediction_id, twin.attempts, reused=True, twin=twin)
        matte, state = self._matte(prepared.fingerprint), prepared.todo.state
        if matte is None:
            return None
        return Predicted(prepared, None, matte, state.prediction_id, state.attempts, reused=True)

    def _matte(self, fingerprint: str) -> Matte | None:
        from batch_removebg.matting.matte import decode_matte

        data = self.alphas.load(fingerprint)
        try:
            return decode_matte(data) if data is not None else None
        except OutputBroken:
            return None


class Deduplicator:
    """Gives each content to one item at a time."""

    def __init__(
        self, on_hand: OnHand, sources: Sources, cpu: Cpu, *, billed: bool, unsettled: Iterable[ItemState] = ()
    ) -> None:
        """`unsettled`: what earlier runs have begun to buy; whichever item has the same content takes it up.

        Neither matters where predictions aren't `billed`.
        """
        self._billed = billed
        self._on_hand = on_hand
        self._sources = sources
        self._cpu = cpu
        self._flights: Singleflight[Prepared] = Singleflight()
        self._unsettled = {state.fingerprint: replace(state) for state in unsettled if state.fingerprint}

    @property
    def parked(self) -> int:
        """Items that wait for another one with the same content."""
        return self._flights.parked

    def leads(self, prepared: Prepared) -> bool:
        """Whether the item has the turn of its content, and its copies wait for it."""
        return self._flights.leads(prepared.fingerprint, prepared)

    def turn(self, prepared: Prepared) -> Turn:
        """The turn of the item's content."""
        return self._flights.turn(prepared.fingerprint)

    def place(self, prepared: Prepared, data: bytes | None = None, *, in_vain: bool = False) -> Way:
        """The item's way to its alpha; `data`: its source's bytes, where they are at hand.

        `in_vain`: a copy was tried, and what was on hand is damaged or gone. What comes of an item has to be reported
        to `settled`, unless it is parked.
        """
        key, leads = prepared.fingerprint, self.leads(prepared)
        busy = not leads and self._flights.busy(key)
        on_hand = not busy and not in_vain and self._on_hand.has(key, passed=prepared.sha256 is None)
        way = way_of(on_hand=on_hand, busy=busy)
        if way is Way.PARK:
            self._flights.park(key, replace(prepared, data=None))  # read again later: waiting costs no memory
            return way
        if data is not None:
            self._sources.hold(key, data)
        if way is Way.BUY and not leads:
            self._begin(prepared)
        return way_of(on_hand=on_hand, busy=False, lost=way is Way.BUY and self.turn(prepared).lost is not None)

    def _begin(self, prepared: Prepared) -> None:
        key, own = prepared.fingerprint, prepared.todo.state
        turn, other = self._flights.begin(key, prepared), self._unsettled.pop(key, None)
        if own.fingerprint == key and (own.in_flight or own.lost is not None):
            turn.inherit(own)
        elif other is not None:
            turn.inherit(other)
        if not self._billed:  # nothing outlives the process that made it
            turn.open = turn.lost = None
        if turn.upload is None and own.fingerprint == key and own.upload is not None:
            turn.upload = Upload(own.upload.url, when(own.upload.until))

    async def copy(self, prepared: Prepared) -> Predicted | None:
        """What an earlier prediction for the same content has left, or None."""
        return await self._cpu.run(self._on_hand.copy, prepared)

    def settled(self, prepared: Prepared, error: BaseException | None = None) -> list[Released[Prepared]]:
        """Record that an item is saved, or came to `error`; gives back the copies that may go on now."""
        self._sources.let_go(prepared.fingerprint)
        return self._flights.end(prepared.fingerprint, error) if self.leads(prepared) else []
