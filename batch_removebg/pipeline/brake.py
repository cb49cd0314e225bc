"""Stops a run whose predictions give nothing: what went wrong for a few pictures in a row goes wrong for all.

Pure: it counts pictures that came to the same, in the order in which predictions were bought for them. One that is
saved shows that the server is well, and whatever was bought before it was the pictures' own fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from batch_removebg.errors import (
    BatchError,
    CreateUnaccounted,
    InputRejected,
    NothingUsable,
    OutputBroken,
    PredictionFailed,
    PredictionLost,
    ResubmitError,
    UploadExpired,
)
from batch_removebg.net.urls import scrubbed

_HOPELESS = OutputBroken, PredictionLost  # what the server gives can't be used, and waiting heals nothing
_DOUBTFUL = ResubmitError, PredictionFailed, InputRejected, CreateUnaccounted  # the pictures' fault, or it may pass
_FEW, _MORE, _MANY = 3, 6, 10
"""Pictures in a row that came to nothing after which only others are tried, after which the run stops, and after which
it does where nothing was paid for."""
_ALONE, _SOON = 180.0, 10.0
"""Seconds to wait for another picture before the run stops, longer than a server asks to wait; and before those are
tried again for which an earlier run bought in vain."""

Pictures = dict[str, int]
"""Fingerprints of content, so that copies count once, with their place in the order of purchases."""


@dataclass(eq=False)
class Brake:
    """Asked before each purchase, and told what came of it."""

    stop: Callable[[BatchError], None]  # gets the reason to stop
    well: bool = False  # a prediction of this API has given a picture, in this run or an earlier one
    _bought: Pictures = field(default_factory=dict, init=False)  # those that haven't ended, by their first purchase
    _in_flight: set[str] = field(default_factory=set, init=False)
    _suspects: Pictures = field(default_factory=dict, init=False)
    _useless: Pictures = field(default_factory=dict, init=False)
    _earlier: set[str] = field(default_factory=set, init=False)
    """Those for which a prediction of an earlier run turned out useless."""
    _failed: dict[str, Pictures] = field(default_factory=dict, init=False)  # pictures by kind of error
    _purchases: int = field(default=0, init=False)
    _proven: int = field(default=0, init=False)  # place of the last one that was saved
    _alone: bool = field(default=False, init=False)  # no other is left than those of an earlier run
    _last: BatchError | None = field(default=None, init=False)
    _idle_since: float = field(default=inf, init=False)
    _since: float = field(default=inf, init=False)  # when the first create was asked for

    @property
    def holds(self) -> bool:
        """Whether nothing is to be bought until it is known what became of those that were."""
        return len(self._doubtful) >= _FEW and len(self._doubtful | self._others) >= _MORE

    def may_buy(self, now: float, under_way: int) -> bool:
        """Whether a create may go, beside so many without an answer: the first picture proves the chain for the rest.

        Until then three are tried at a time, and three more for each while that they keep all others waiting; no more
        than three in all where those of an earlier run were useless.
        """
        if self.holds or (self.well and not self._warned):
            return not self.holds
        self._since = min(self._since, now)
        tried = self._in_flight.union(self._useless if self._warned else ())
        room = _FEW if self._warned else _FEW * (1 + int((now - self._since) / _SOON))
        return under_way + len(tried) < room

    def allows(self, picture: str, now: float) -> bool:
        """Whether a prediction may be bought for the picture now; where not, ask again in a while.

        With three pictures in doubt, no second prediction is bought for any, and six are tried at most. Nor is one
        bought instead of an earlier run's, if those of three are of no use, before another shows that the server is
        well, or none is left to show it (then `may_buy` lets three go).
        """
        self._idle_since = now if self._others or self._suspects else min(self._idle_since, now)
        idle = now - self._idle_since
        if self.holds or (picture in self._doubtful and (self._warned or len(self._doubtful) >= _FEW)):
            if idle >= _ALONE and self._last is not None:
                self._end(len(self._useless), self._last)
            return False
        self._alone = self._alone or idle >= _SOON
        return self._alone or picture not in self._earlier or not self._warned

    def bought(self, picture: str) -> None:
        """Record a purchase."""
        self._purchases, self._idle_since = self._purchases + 1, inf
        self._bought.setdefault(picture, self._purchases)
        self._in_flight.add(picture)

    def suspect(self, picture: str) -> None:
        """Record a first sign that a prediction is of no use."""
        if (place := self._bought.get(picture, 0)) > self._proven:
            self._suspects[picture] = place

    def useless(self, picture: str, error: BatchError) -> None:
        """Record that a prediction turned out to be of no use; one of an earlier run may just be over its hour."""
        self._suspects.pop(picture, None)
        self._in_flight.discard(picture)
        place = self._bought.get(picture, 0)
        if isinstance(error, _HOPELESS) and not place:
            self._earlier.add(picture)
        elif isinstance(error, _HOPELESS) and place > self._proven:
            self._useless[picture], self._last = place, error
            # The first three of a run say enough, where no other can still show that the server is well.
            shown = self._others or (self._proven and not self._warned)
            if len(self._useless) == _MORE or (len(self._useless) >= _FEW and not shown):
                self._end(len(self._useless), error)

    def ended(self, picture: str, error: BatchError) -> None:
        """Record that a picture wasn't saved."""
        self.useless(picture, error)
        place = self._bought.pop(picture, self._purchases)
        if isinstance(error, _DOUBTFUL) and not isinstance(error, (*_HOPELESS, UploadExpired)):
            alike = self._failed.setdefault(error.kind, {})
            alike[picture] = place
            most = _MANY if isinstance(error, InputRejected) else _MORE
            # One among them that is still in flight may show that it is the pictures' own fault.
            if len(alike) >= most and not any(self._bought[one] < place for one in self._in_flight):
                self._end(most, error)

    def saved(self, picture: str) -> None:
        """Record that a prediction's output gave what a picture is made of."""
        self.well, self._alone = True, False
        self._earlier.clear()
        self._in_flight.discard(picture)
        self._proven = max(self._proven, self._bought.pop(picture, 0))
        self._suspects = {one: place for one, place in self._suspects.items() if place > self._proven}
        self._useless = {one: place for one, place in self._useless.items() if place > self._proven}
        for kind, alike in self._failed.items():
            self._failed[kind] = {one: place for one, place in alike.items() if place > self._proven}

    @property
    def _warned(self) -> bool:
        return len(self._earlier) >= _FEW

    @property
    def _doubtful(self) -> set[str]:
        return {*self._suspects, *self._useless}

    @property
    def _others(self) -> set[str]:
        """Those in flight that can still show that the server is well."""
        return {one for one in self._in_flight if self._bought[one] > self._proven} - self._doubtful

    def _end(self, count: int, error: BatchError) -> None:
        text = f"{count} pictures in a row ended alike, and none was saved in between: no more are bought"
        last = f"{error}; {error.answer}" if error.answer else error
        text = f"{text}; run the same command again once the cause is found. The last: {last}"
        self.stop(NothingUsable(scrubbed(text)))
