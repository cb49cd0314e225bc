"""How many items are in flight: as many as keep the limit busy. Pure; the time is an argument.

Where the limit is known, Little's law says it: rate × time in flight, and some for chance. Where none is, the number
doubles as long as that brings more items home a second, and stays where it doesn't; trouble on the server shrinks it.
"""

from __future__ import annotations

import math

START = 32
CAP = 256
_LEAST = 8
_KEPT = 64
"""Items over which the time in flight is averaged."""
_WORTH_IT = 1.15
"""What a doubling has to make of the throughput to be kept."""
_SHRINK, _REST = 0.7, 5.0
"""What trouble makes of the number, and the seconds within which it counts once."""
_RETRY = 10
"""Generations after which more is tried again."""


class Width:
    """The number of items in flight at one time; `fixed` for good, or found out."""

    def __init__(self, *, fixed: int | None = None, cap: int = CAP) -> None:
        self.cap = fixed if fixed is not None else cap
        self._fixed = fixed is not None
        self._found = float(min(START, self.cap))
        """Where no limit is known."""
        self._in_flight: dict[int, float] = {}
        self._ids = 0
        self._items = self._span = self._held = 0.0
        self._ended = 0
        self._begun_at: float | None = None
        """Start of the present generation."""
        self._before = 0.0
        """Throughput of the generation before, and the number it was had with."""
        self._tried = 0
        self._rest_until = -math.inf

    def began(self, now: float) -> int:
        """Take in that an item goes into flight; what comes back names it."""
        self._ids += 1
        self._in_flight[self._ids] = now
        return self._ids

    def waited(self, seconds: float) -> None:
        """Take in that an item was held back by the limit for so long: it was not in flight meanwhile."""
        self._held += seconds

    def ended(self, number: int, now: float) -> None:
        """Take in that an item has come home."""
        begun = self._in_flight.pop(number, now)
        if self._items >= _KEPT:
            keep = 1 - 1 / _KEPT
            self._items, self._span, self._held = self._items * keep, self._span * keep, self._held * keep
        self._items, self._span = self._items + 1, self._span + now - begun
        self._ended += 1
        self._judge(now)

    def trouble(self, now: float) -> None:
        """Take in that the server fails: fewer, once for all that fail together."""
        if now >= self._rest_until:
            self._found = max(1.0, self._found * _SHRINK)
            self._rest_until, self._before, self._begun_at = now + max(_REST, self.mean), 0.0, None

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
        """At the end of a generation, see whether more in flight has brought more home."""
        if self._begun_at is None:
            self._begun_at, self._ended = now, 0
            return
        passed = now - self._begun_at
        if self._ended < self._found or passed < 0.5 * self.mean or passed <= 0:
            return
        throughput, self._begun_at, self._ended = self._ended / passed, now, 0
        self._tried += 1
        if throughput >= _WORTH_IT * self._before or self._tried >= _RETRY:
            self._before, self._tried = throughput, 0
            self._found = min(float(self.cap), self._found * 2)
        elif self._tried == 1:
            # The last doubling was for nothing.
            self._found = max(float(_LEAST), self._found / 2)
