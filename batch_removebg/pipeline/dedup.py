"""The same content is bought once: this alone decides who buys it, who waits, and who gets a copy.

A dry run asks the same question of what it has counted so far.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from copy import copy
from dataclasses import replace

from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Upload
from batch_removebg.providers.wire import when
from batch_removebg.resources import Cpu

from .on_hand import OnHand
from .singleflight import Released, Singleflight, Turn
from .sources import Sources
from .work import Predicted, Prepared


class Way(enum.Enum):
    """How an item gets its alpha."""

    BUY = "buy"
    """It has the turn of its content: buy a prediction, or wait for the one in flight."""
    COPY = "copy"
    """From what was bought for the same content."""
    PARK = "park"
    """Once another item with the same content has ended."""


def way_of(*, on_hand: bool, busy: bool) -> Way:
    """The way of an item whose content is `on_hand`, or being bought for another item (`busy`)."""
    if busy:
        return Way.PARK
    return Way.COPY if on_hand else Way.BUY


class Deduplicator:
    """Gives each content to one item at a time."""

    def __init__(
        self, on_hand: OnHand, sources: Sources, cpu: Cpu, *, billed: bool, unsettled: Iterable[ItemState] = ()
    ) -> None:
        """`unsettled`: what earlier runs began to buy, continued by whichever item has the same content.

        Without effect where predictions aren't `billed`: those end with their process.
        """
        self._billed = billed
        self._on_hand = on_hand
        self._sources = sources
        self._cpu = cpu
        self._flights: Singleflight[Prepared] = Singleflight()
        self._unsettled = {state.fingerprint: copy(state) for state in unsettled if state.fingerprint}

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

    def place(self, prepared: Prepared, data: bytes | None = None, *, damaged: bool = False) -> Way:
        """The item's way to its alpha; `data`: its source's bytes, where at hand; `damaged`: what is on hand is no use.

        Unless it is parked, report how the item ends to `settled`.
        """
        key, leads = prepared.fingerprint, self.leads(prepared)
        busy = not leads and self._flights.busy(key)
        on_hand = not busy and not damaged and self._on_hand.has(key, passed=prepared.sha256 is None)
        way = way_of(on_hand=on_hand, busy=busy)
        if way is Way.PARK:
            self._flights.park(key, replace(prepared, data=None))  # read again later: waiting costs no memory
            return way
        if data is not None:
            self._sources.hold(key, data)
        if way is Way.BUY and not leads:
            self._begin(prepared)
        return way

    def _begin(self, prepared: Prepared) -> None:
        key, own = prepared.fingerprint, prepared.todo.state
        turn, other = self._flights.begin(key, prepared), self._unsettled.pop(key, None)
        same = own.fingerprint == key
        state = own if same and (own.in_flight or own.lost is not None) else other
        if self._billed and state is not None:
            turn.inherit(state)
        if turn.upload is None and same and own.upload is not None:
            turn.upload = Upload(own.upload.url, when(own.upload.until))

    async def copy(self, prepared: Prepared) -> Predicted | None:
        """The item with what an earlier prediction left for its content, or None."""
        return await self._cpu.run(self._on_hand.copy, prepared)

    def settled(self, prepared: Prepared, error: BaseException | None = None) -> list[Released[Prepared]]:
        """Record that an item was saved, or ended with `error`; returns the copies that may go on now."""
        self._sources.let_go(prepared.fingerprint)
        return self._flights.end(prepared.fingerprint, error) if self.leads(prepared) else []
