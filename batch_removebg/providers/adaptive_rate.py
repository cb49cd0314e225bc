"""The rate that a server allows, learned from its answers. Pure: the time is an argument.

    free ── 429 ──▶ paced at the learned rate ── a window is over ──▶ probing ── accepted ──▶ free
                              ▲                                          │ 429: the windows double
                              └──────────────────────────────────────────┘

While free, a *window* bounds the calls without an answer. It starts at one and grows with the square root of the
accepted calls, so that an unknown limit costs a rejection or two, and a server without one soon slows nothing down. A
token bucket is empty at the instant of a 429: the calls accepted between two of them, over the time between, are the
rate. aiolimiter keeps to a rate that is known from the start; it can't learn one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

_CLOCK = 1e-6  # seconds that clocks can't tell apart
_LONGEST_PAUSE = 120.0  # seconds; a server that asks for more is asked again after this
_DEFAULT_PAUSE = 5.0
_SLOWEST = 1 / 300  # calls a second
_LARGEST_BURST = 100.0
_GROWTH = (0.1, 0.003, 0.0003, 0.0)
"""Growth of the pace per call while the rate is a guess from one 429, measured once, measured twice, and known."""
_QUICKEST_GROWTH = (0.2, 0.03, 0.01, 0.0)  # the same per second, where calls are many
_PROBES_APART = 60.0
_JITTER = 0.015  # seconds added to each gap at first, where a single early call is refused
_APART_IF_STATED = 4  # windows until the first probe of a stated limit: a server may count what it refuses
_MOST_APART = 8  # windows between two probes, however many have failed


class Ticket(NamedTuple):
    """A call that went out."""

    number: int
    at: float


class StatedLimit(NamedTuple):
    """A limit that the server spelled out."""

    per_second: float
    burst: float


@dataclass(slots=True)
class Pacer:
    """Spaces calls evenly; a late one is made up for at 1.5 times the pace, up to `lag` seconds' worth."""

    rate: float
    lag: float = 0.0
    rest: bool = True  # idle time counts as late too, as in a bucket with a burst
    jitter: float = 0.0  # seconds added to each gap, where a single early call is refused
    due: float = -math.inf
    last: float = -math.inf

    @property
    def gap(self) -> float:
        """Seconds between two calls: a little more than the rate gives, for clocks that differ."""
        return 1.005 / self.rate + self.jitter

    def wait(self, now: float) -> float:
        """Seconds until the next call."""
        return max(self.due, self.last + (self.gap / 1.5 if self.lag else 0.0)) - now

    def sent(self, now: float) -> None:
        """Record a call."""
        late = now - self.due
        self.due = now - (late if late <= self.lag else self.lag if self.rest else 0.0) + self.gap
        self.last = now


class _Mark(NamedTuple):
    """Where counting begins: an instant at which the server's bucket was empty, or the first call."""

    number: int
    at: float
    rejections: int
    pause: float = 0.0  # seconds to wait from then on


class RateLimit:
    """Decides when the next call may go: call `wait`, `sent`, then one of `accepted`, `rejected` and `ended`."""

    def __init__(self, per_second: float | None = None, *, window: float = 1.0) -> None:
        """`per_second`: the user's limit, never exceeded, while the server's may be lower; `window`: calls at first."""
        # Lateness is made up for only at higher rates: a slow limit may well have a burst of one.
        lag = 0.05 if per_second is not None and per_second >= 2 else 0.0
        self._own = None if per_second is None else Pacer(per_second, lag, rest=False)
        self._learned: Pacer | None = None
        self._held: Pacer | None = None  # the pace to go back to while probing
        self._first_window = self._window = window
        self._open: dict[int, float] = {}
        """When the calls without an answer went out; after `_patience` they count as accepted."""
        self._patience = 0.5
        self._quickest = math.inf
        self._paused_until = self._heard = -math.inf
        self._mark = _Mark(0, math.inf, 0)
        self._sent = self._rejections = self._streak = self._lessons = 0
        self._burst, self._jitter = 1.0, _JITTER
        self._stated: StatedLimit | None = None
        self._probe_at, self._apart = math.inf, 1
        self.crowded = False  # the last wait was for an answer, and ends with any

    @property
    def rate(self) -> float | None:
        """Most calls a second; None while no limit is known."""
        rates = [pacer.rate for pacer in (self._own, self._learned or self._held) if pacer is not None]
        return min(rates, default=None)

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again; 0: a call may go now."""
        self._settle(now)
        self.crowded = False
        wait = self._own.wait(now) if self._own else 0.0
        if self._learned is not None:
            wait = max(wait, self._learned.wait(now))
        elif len(self._open) + 1 > self._window and self._own is None:
            room = next(iter(self._open.values()), now) + self._patience - now
            # A probe is no slower than the pace it may lead back to.
            room = room if self._held is None else min(room, self._held.wait(now))
            self.crowded = room > wait
            wait = max(wait, room)
        wait = max(wait, self._paused_until - now)
        return wait if wait > _CLOCK else 0.0

    def sent(self, now: float) -> Ticket:
        """Record that a call goes out."""
        self._sent += 1
        ticket = Ticket(self._sent, now)
        if self._mark.at == math.inf:
            self._mark = _Mark(0, now, 0)
        self._open[ticket.number] = now
        if (pacer := self._learned) is not None and now - pacer.due <= pacer.gap:
            pacer.rate *= self._growth(pacer)
        for each in (self._own, self._learned, self._held):
            if each is not None:
                each.sent(now)
        if self._learned is not None and now >= self._probe_at:
            # A probe: as if there were no limit, one call at a time at first; the next 429 shows the present one.
            self._held, self._learned, self._window = self._learned, None, self._first_window
            self._mark = _Mark(ticket.number, now, self._rejections)
        return ticket

    def accepted(self, ticket: Ticket, now: float) -> None:
        """Record that the server let a call through."""
        self._streak = 0
        self._quickest = min(self._quickest, now - ticket.at)
        self._patience = min(0.5, 1.6 * self._quickest + 0.05)
        if self._open.pop(ticket.number, None) is not None:
            self._widen()

    def exhausted(self, ticket: Ticket, now: float, reset: float) -> None:
        """Record that a call was the last for `reset` seconds, which teaches as much as a rejection."""
        # Used only while nothing is known: buckets say so after every call, and round up.
        if self.rate is None and 0 < reset <= _LONGEST_PAUSE:
            self.rejected(ticket, now, reset)

    def ended(self, ticket: Ticket) -> None:
        """Record that a call ended in a way that says nothing about the limit."""
        self._open.pop(ticket.number, None)

    def rejected(
        self, ticket: Ticket, now: float, retry_after: float | None = None, *, stated: StatedLimit | None = None
    ) -> None:
        """Record a 429: pause, and go on at the rate that it shows."""
        self._open.pop(ticket.number, None)
        counted, self._rejections = self._rejections, self._rejections + 1
        pause = _DEFAULT_PAUSE if retry_after is None else min(_LONGEST_PAUSE, max(0.1, retry_after))
        if ticket.at <= self._heard:
            # Sent before the last 429 arrived: it shows the same.
            self._paused_until = max(self._paused_until, now + pause)
            if self._learned is not None:
                self._learned.due = min(self._learned.due + self._learned.gap, self._paused_until)
            return
        mark = self._mark
        accepted = max(0, ticket.number - mark.number - 1 - (counted - mark.rejections))
        self._streak = 0 if accepted else self._streak + 1
        pause = min(_LONGEST_PAUSE, max(pause, min(60.0, pause * 2.0**self._streak) if self._streak > 1 else 0.0))
        self._heard, self._paused_until = now, max(self._paused_until, now + pause)
        self._learned = pacer = self._learn(accepted, max(ticket.at - mark.at, _CLOCK), pause, stated)
        self._mark = _Mark(ticket.number, ticket.at, self._rejections, pause)
        # The bucket was empty at that instant, and a refused call may cost a token too.
        pacer.due, pacer.last = min(ticket.at + 2 * pacer.gap, self._paused_until), ticket.at
        window = min(_PROBES_APART, max(6.0, 6 / pacer.rate)) if self._stated else _PROBES_APART
        self._probe_at = now + self._apart * window

    def _settle(self, now: float) -> None:
        """Count calls as accepted that are older than any 429 would take."""
        while self._open and now - (first := next(iter(self._open.items())))[1] >= self._patience - _CLOCK:
            del self._open[first[0]]
            self._widen()

    def _widen(self) -> None:
        self._window += 0.25 / self._window
        if self._held is not None:
            accepted, spent = self._sent - self._mark.number, self._held.last - self._mark.at
            if accepted > max(20.0, 4 * (self._burst + self._held.rate * spent)):
                self._held, self._stated, self._apart = None, None, 1

    def _learn(self, accepted: int, seconds: float, pause: float, stated: StatedLimit | None) -> Pacer:
        """The pace after a 429 that came once so many calls were accepted in so many seconds."""
        held, pacer, self._held = self._held, self._learned, None
        if held is not None and self._failed(held, accepted, seconds, stated):
            self._apart = min(_MOST_APART, 2 * self._apart)
            self._lessons = 2 if self._burst >= 2 and stated is None else len(_GROWTH)
            return held
        if pacer is None:
            self._apart = 1
        if stated is not None:
            # A stated limit needs no measuring.
            if stated != self._stated:
                self._apart, self._burst, self._jitter = _APART_IF_STATED, max(1.0, stated.burst), _JITTER
            else:
                # Known, and yet too fast: calls arrive less evenly than assumed.
                self._burst, self._jitter = max(1.0, self._burst / 2), min(2 * self._jitter, 0.03 / stated.per_second)
            self._stated, self._lessons = stated, len(_GROWTH)
            return self._paced(stated.per_second)
        self._stated = None
        if pacer is None:
            # A whole window, or a burst and the time until its last call comes back.
            rate = max(1, accepted) / (seconds + pause)
            self._lessons = 1
            self._burst = min(_LARGEST_BURST, max(1.0, accepted - rate * seconds))
            return self._paced(rate)
        rate = self._measured(pacer, accepted, seconds, pause)
        # A pause in whole seconds may be longer than the bucket needs; that matters over a short time.
        short = seconds < 5 * self._mark.pause
        self._lessons = min(len(_GROWTH), self._lessons + 1) if accepted and not short else 2
        return self._paced(rate)

    def _failed(self, held: Pacer, accepted: int, seconds: float, stated: StatedLimit | None) -> bool:
        """Whether a probe has met the old limit: only the burst came through."""
        if stated is not None and self._stated is not None:
            return stated == self._stated
        return stated is None and accepted <= self._burst + held.rate * seconds + 2

    def _measured(self, pacer: Pacer, accepted: int, seconds: float, pause: float) -> float:
        if pacer.last - pacer.due > pacer.gap:
            self._burst = max(1.0, self._burst / 2)  # the burst was overestimated
        if self._burst < 2 and accepted:
            # Nothing adds up in such a bucket: the pace two calls ago was right, and this one is too fast.
            kept = 0.98 * pacer.rate / self._growth(pacer) ** 2
            # Where there was no such call, exactly `accepted` came through from the end of one pause to that of the
            # next; whole seconds were rounded up.
            most = accepted / max(_CLOCK, seconds + (pause if pause % 1 else pause - 1) - self._mark.pause)
            return kept if accepted > 2 else min(kept, most)
        rate = max(accepted / seconds, (accepted + 1) / (seconds + (pause if pause % 1 else pause - 0.5)))
        return min(rate, pacer.rate) if accepted else min(rate, pacer.rate / 2)

    def _growth(self, pacer: Pacer) -> float:
        lessons = max(0, self._lessons - 1)
        return 1 + min(_GROWTH[lessons], _QUICKEST_GROWTH[lessons] / pacer.rate)

    def _paced(self, rate: float) -> Pacer:
        rate = max(_SLOWEST, rate)
        single = self._burst < 2
        return Pacer(rate, jitter=self._jitter) if single else Pacer(rate, lag=(self._burst - 1) / rate)
