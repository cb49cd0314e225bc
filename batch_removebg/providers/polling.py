"""How long the model takes, learned in this run, and when to poll so that few polls find the end soon.

The polls of a prediction begin one gap after the time before which hardly any ends, and are that gap apart: the
smallest that costs no more polls than allowed. Beyond the usual time (a cold start) gaps grow with the time waited.
stamina's back-off knows the number of tries, but not how long something usually takes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_KEPT = 200
_ENOUGH = 4
_GAPS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.485, 0.52, 0.57, 0.65, 0.75, 0.85, 1.0)
"""Seconds between polls, for models of a few seconds; scaled up for slower ones."""
_SOON, _CHEAP = 0.48, 0.75
"""A gap below the first is taken only where it costs less than this share of the allowed polls."""
_EARLY, _USUAL = 0.03, 0.97  # quantiles of the run times: hardly any ends before the first, few after the second
_PATIENCE = 0.2
"""Share of the time waited that a gap grows to: on average the end is seen a tenth of that time too late. Less where
few polls are allowed."""
_LONGEST = 30.0
_SCOUTS, _SLOW = 16, 3.0
"""One prediction in 16 is polled early where the first poll is later than 3 s: a faster model is noticed."""
_LATE, _MANY = 2.0, 5
"""Five predictions at a time that take twice the usual time are no cold starts: the model has become slower."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to poll, in seconds since the create."""

    first: float = 0.5
    gap: float = 0.5
    usual: float = 0.0  # from then on gaps grow
    patience: float = _PATIENCE  # share of the time waited that they grow to

    def delay(self, elapsed: float) -> float:
        """Seconds until the next poll."""
        if elapsed < self.first:
            return max(self.first - elapsed, 0.05)
        return min(_LONGEST, self.gap if elapsed < self.usual else max(self.gap, self.patience * elapsed))


class RunTimes:
    """The latest run times, from create to end, and what follows from them."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_KEPT)
        self._sorted: list[float] = []
        self._schedules: dict[float, Schedule] = {}
        self._new = self._watched = 0
        self.late = 0  # predictions under way that take far longer than usual

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Watch a prediction that is waited for in the block."""
        self._watched += 1
        watch = Watch(self, scout=self._watched % _SCOUTS == 0)
        try:
            yield watch
        finally:
            self.late -= watch.late

    def add(self, seconds: float) -> None:
        """Record how long one took."""
        if not 0 <= seconds < math.inf:
            return
        self._seen.append(seconds)
        self._new += 1
        # Not at every one: sorting takes time.
        if self._new >= min(10, len(self._sorted) // 2):
            self._sorted, self._new = sorted(self._seen), 0
            self._schedules.clear()

    def between(self, unfinished: float, finished: float) -> None:
        """Record that one ended between two polls, where the server doesn't say when; `unfinished` 0: at the second."""
        # Counted near the first: a mistake shows as one poll too many, and a model that gets faster is noticed.
        gaps = [schedule.gap for schedule in self._schedules.values()]
        self.add(max(unfinished, finished - 1.1 * max(gaps, default=0.5)) if unfinished else finished)

    def quantile(self, share: float) -> float | None:
        """The run time within which this share of predictions ends; None while too few are known."""
        if len(self._sorted) < _ENOUGH:
            return None
        return self._sorted[min(len(self._sorted) - 1, int(share * len(self._sorted)))]

    def schedule(self, polls: float) -> Schedule:
        """The schedule that costs at most so many polls a prediction on average, where possible."""
        if polls not in self._schedules:
            self._schedules[polls] = self._made(polls)
        return self._schedules[polls]

    def _made(self, polls: float) -> Schedule:
        patience = min(_PATIENCE, 0.3 / polls)
        early, middle = self.quantile(_EARLY), self.quantile(0.5)
        if early is None or middle is None:
            return Schedule(patience=patience)
        usual = self._sorted[: max(1, int(_USUAL * len(self._sorted)))]
        scale = max(1.0, 0.2 * middle)
        candidate = Schedule()
        for gap in _GAPS:
            candidate = Schedule(early + gap * scale, gap * scale, usual[-1], patience)
            allowed = polls if gap > _SOON else _CHEAP * polls
            if sum(_polls(candidate, ran) for ran in usual) <= allowed * len(usual):
                break
        return candidate


class Watch:
    """One prediction that is waited for; many show that the model has changed its pace."""

    def __init__(self, times: RunTimes, *, scout: bool) -> None:
        self._times = times
        self._scout = scout
        self._learned = 0.0
        self.late = False

    def delay(self, schedule: Schedule, elapsed: float) -> float:
        """Seconds from `elapsed` until the next poll."""
        delay = schedule.delay(elapsed)
        return min(delay, max(1.0, elapsed)) if self._scout and schedule.first > _SLOW else delay

    def goes_on(self, elapsed: float) -> None:
        """Record that it has not ended after so many seconds."""
        usual = self._times.quantile(_USUAL)
        if usual is None or elapsed < _LATE * max(usual, self._learned):
            return
        self._times.late += not self.late
        self.late = True
        if self._times.late >= _MANY:
            self._times.add(1.5 * elapsed)
            self._learned = elapsed


def _polls(schedule: Schedule, ran: float) -> int:
    """Polls until a prediction that runs so long is seen to have ended."""
    count, at = 1, schedule.first
    while at < ran and count < 100:
        at += schedule.delay(at)
        count += 1
    return count
