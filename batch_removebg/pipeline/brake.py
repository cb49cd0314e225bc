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

_HOPELESS = OutputBroken, PredictionLost  # what the server gives can't be used, and waiting heals nothing
_DOUBTFUL = ResubmitError, PredictionFailed, InputRejected, CreateUnaccounted  # the pictures' fault, or it may pass
_FEW, _MORE, _MANY = 3, 6, 10
"""Pictures in a row that came to nothing after which only others are tried, after which the run stops, and after which
it does where nothing was paid for."""
_ALONE = 180.0  # seconds to wait for another picture: longer than a server asks to wait

Pictures = dict[str, int]
"""Fingerprints of content, so that copies count once, with their place in the order of purchases."""


@dataclass(eq=False)
class Brake:
    """Asked before each purchase, and told what came of it."""

    stop: Callable[[BatchError], None]  # gets the reason to stop
    _bought: Pictures = field(default_factory=dict, init=False)  # those that haven't ended, by their first purchase
    _in_flight: set[str] = field(default_factory=set, init=False)
    _suspects: Pictures = field(default_factory=dict, init=False)
    _useless: Pictures = field(default_factory=dict, init=False)
    _earlier: set[str] = field(default_factory=set, init=False)
    """Those for which a prediction of an earlier run turned out useless."""
    _failed: dict[str, Pictures] = field(default_factory=dict, init=False)  # pictures by kind of error
    _purchases: int = field(default=0, init=False)
    _proven: int = field(default=0, init=False)  # place of the last one that was saved
    _last: BatchError | None = field(default=None, init=False)
    _idle_since: float = field(default=inf, init=False)

    @property
    def holds(self) -> bool:
        """Whether nothing is to be bought until it is known what became of those that were."""
        return len(self._doubtful) >= _FEW and len(self._doubtful | self._others) >= _MORE

    def allows(self, picture: str, now: float) -> bool:
        """Whether a prediction may be bought for the picture now; where not, ask again in a while.

        With three pictures in doubt, no second prediction is bought for any, and six are tried at most. Nor is one
        bought instead of an earlier run's, if those of three are of no use, before another shows that the server is
        well, or none is left to show it.
        """
        self._idle_since = now if self._others or self._suspects else min(self._idle_since, now)
        idle = now - self._idle_since >= _ALONE
        if self.holds or (picture in self._doubtful and len(self._doubtful) >= _FEW):
            if idle and self._last is not None:
                self._end(len(self._useless), self._last)
            return False
        if picture in self._earlier and len(self._earlier) >= _FEW and not self._proven:
            if not idle:
                return False
            self._idle_since = inf
        return True

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
            if len(self._useless) == _MORE or (len(self._useless) >= _FEW and not (self._proven or self._others)):
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
        """Record that a picture was saved, from a prediction's output."""
        self._earlier.clear()
        self._in_flight.discard(picture)
        self._proven = max(self._proven, self._bought.pop(picture, 0))
        self._suspects = {one: place for one, place in self._suspects.items() if place > self._proven}
        self._useless = {one: place for one, place in self._useless.items() if place > self._proven}
        for kind, alike in self._failed.items():
            self._failed[kind] = {one: place for one, place in alike.items() if place > self._proven}

    @property
    def _doubtful(self) -> set[str]:
        return {*self._suspects, *self._useless}

    @property
    def _others(self) -> set[str]:
        """Those in flight that can still show that the server is well."""
        return {one for one in self._in_flight if self._bought[one] > self._proven} - self._doubtful

    def _end(self, count: int, error: BatchError) -> None:
        text = f"{count} pictures in a row ended alike, and none was saved in between: no more are bought"
        self.stop(NothingUsable(f"{text}; run the same command again once the cause is found. The last: {error}"))
