"""How many items are in flight: as many as keep the limit busy. Pure; the time is an argument.

Where the limit is known, Little's law says it: rate × time in flight, and some for chance. Where none is, the number
doubles as long as items come home as soon as before, which is twice as many a second; where they come later instead,
the server has no more to give, and the doubling is taken back. Trouble on the server shrinks it.
"""

from __future__ import annotations

import math

START = 32
CAP = 256
_LEAST = 8
_KEPT = 64
"""Items over which the time in flight is averaged."""
_LATER = 1.4
"""What a doubling may make of the time in flight and be kept."""
_SHRINK, _REST = 0.7, 5.0
"""What trouble makes of the number, and the seconds within which it counts once."""
_MUCH, _RECENT = 0.25, 0.05
"""Share of failures from which on it is trouble, and the weight of the latest outcome in it: a server that loses an
answer now and then has room for as many as before."""
_RETRY = 10
"""Generations after which more is tried again: one is as many items as are in flight."""


class Concurrency:
    """The number of items in flight at one time; `fixed` for good, or found out."""

    def __init__(self, *, fixed: int | None = None, cap: int = CAP) -> None:
        self.cap = fixed if fixed is not None else cap
        self._fixed = fixed is not None
        self._found = float(min(START, self.cap))
        """Where no limit is known."""
        self._in_flight: dict[int, float] = {}
        self._ids = 0
        self._items = self._span = self._held = 0.0
        self._changed_at = self._rest_until = -math.inf
        self._generation: list[float] = []
        """Seconds in flight of the items begun since the number has changed."""
        self._before = math.inf
        """Their mean before it was last doubled."""
        self._failing = 0.0
        """Share of failures among the latest outcomes."""
        self._rests = 0
        """Generations until the next doubling."""

    def began(self, now: float) -> int:
        """Take in that an item goes into flight; what comes back names it."""
        self._ids += 1
        self._in_flight[self._ids] = now
        return self._ids

    def waited(self, seconds: float) -> None:
        """Take in that an item was held back by the limit for so long: it was not in flight meanwhile."""
        self._held += seconds

    def ended(self, number: int, now: float) -> None:
        """Record that an item has ended."""
        begun = self._in_flight.pop(number, now)
        if self._items >= _KEPT:
            keep = 1 - 1 / _KEPT
            self._items, self._span, self._held = self._items * keep, self._span * keep, self._held * keep
        self._items, self._span = self._items + 1, self._span + now - begun
        if begun >= self._changed_at and now >= self._rest_until:
            self._generation.append(now - begun)
            if len(self._generation) >= max(_LEAST, self._found):
                self._judge(now)

    def dropped(self, number: int, _now: float) -> None:
        """Take in that an item was none of those that count: nothing was bought for it."""
        self._in_flight.pop(number, None)

    def answered(self) -> None:
        """Record that the server answered a call."""
        self._failing *= 1 - _RECENT

    def trouble(self, now: float) -> None:
        """Record a failure of the server; where there are many: fewer in flight, once for all that fail together."""
        self._failing += _RECENT * (1 - self._failing)
        if self._failing >= _MUCH and now >= self._rest_until:
            self._become(max(1.0, self._found * _SHRINK), now)
            self._rest_until, self._before, self._rests = now + max(_REST, self.mean), math.inf, 1

    @property
    def mean(self) -> float:
        """Mean seconds in flight of the latest items."""
        return max(0.0, self._span - self._held) / self._items if self._items else 0.0

    def target(self, now: float, rate: float | None) -> int:
        """Items to have in flight; `rate`: creates a second that are let through, where that is known."""
        if self._fixed:
            return self.cap
        if rate is None:
            return max(1, min(self.cap, int(self._found)))
        # What has not come home yet counts with its age: a slow model shows before its first result.
        ages = sum(now - begun for begun in self._in_flight.values())
        count = max(self._items, 1.0)
        young = ages / len(self._in_flight) if self._in_flight else 0.0
        busy = rate * max(self.mean, young if count < _KEPT else 0.0)
        least = _LEAST if self._items >= START else START
        wanted = max(least, math.ceil(1.1 * busy + 3 * math.sqrt(busy)) + 2)
        if now < self._rest_until:
            wanted = min(wanted, int(self._found))
        return max(1, min(self.cap, wanted))

    def _judge(self, now: float) -> None:
        """At the end of a generation, see whether more in flight only means that each takes longer."""
        mean = sum(self._generation) / len(self._generation)
        if mean > _LATER * self._before:
            self._become(max(float(_LEAST), self._found / 2), now)
            self._before, self._rests = math.inf, _RETRY
        elif self._rests:
            self._generation.clear()
            self._rests -= 1
        else:
            self._before = mean
            self._become(min(float(self.cap), self._found * 2), now)

    def _become(self, found: float, now: float) -> None:
        self._found, self._changed_at = found, now
        self._generation.clear()
