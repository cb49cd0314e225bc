"""What a server allows, found out from its answers: pure, the time is an argument.

    free ── 429 ──▶ paced at what was learned ── a window is over ──▶ probing ── it was accepted ──▶ free
                              ▲                                          │ 429: the windows double
                              └──────────────────────────────────────────┘

Free, a *window* bounds the calls whose fate is open. It starts at one and grows with the square root of what was
accepted, so that the first contact with an unknown limit costs a rejection or two, and a server without one is soon not
slowed at all. A bucket is empty at the instant of a 429: what was accepted between two of them, over the time between,
is the rate. aiolimiter was looked at: it keeps to a limit that is known, and can't be told another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_CLOCK = 1e-6
"""Seconds that clocks can't tell apart."""
_LONGEST_PAUSE = 120.0
"""Seconds; a server that asks for more is asked again after this."""
_UNTOLD_PAUSE = 5.0
_SLOWEST = 1 / 300
"""Calls a second."""
_LARGEST_BURST = 100.0
_GROWTH = (0.1, 0.003, 0.0003, 0.0)
"""What a call adds to the pace while the rate is a guess from one 429, was measured once, twice, and is known."""
_QUICKEST_GROWTH = (0.2, 0.03, 0.01, 0.0)
"""The same a second, where calls are many."""
_PROBES_APART = 60.0
_JITTER = 0.015
"""Seconds added to each gap at first, where a single call that arrives early is refused."""
_APART_IF_TOLD = 4
"""Windows until the first probe of a limit that was spelled out: a server may count what it refuses."""
_MOST_APART = 8
"""Windows between two probes, however many have failed."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that went out."""

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """A limit that the server spelled out."""

    per_second: float
    burst: float


@dataclass(slots=True)
class Pacer:
    """Calls evenly apart.

    What was lost by being late is made up for at one and a half times the pace, up to `lag` seconds' worth.
    """

    rate: float
    lag: float = 0.0
    rest: bool = True
    """A rest adds up, too, as in a bucket with a burst."""
    jitter: float = 0.0
    """Seconds added to each gap, where a single call that arrives early is refused."""
    due: float = -math.inf
    last: float = -math.inf

    @property
    def gap(self) -> float:
        """Seconds between two calls: a little more than the rate has it, so that clocks and jitter do no harm."""
        return 1.005 / self.rate + self.jitter

    def wait(self, now: float) -> float:
        """Seconds until the next call."""
        return max(self.due, self.last + (self.gap / 1.5 if self.lag else 0.0)) - now

    def sent(self, now: float) -> None:
        """Take a call in."""
        late = now - self.due
        self.due = now - (late if late <= self.lag else self.lag if self.rest else 0.0) + self.gap
        self.last = now


@dataclass(frozen=True, slots=True)
class _Mark:
    """An instant at which the server's bucket was empty, or that counting begins at."""

    number: int
    at: float
    rejections: int
    pause: float = 0.0
    """Seconds that were to be waited from then on."""


class RateLimit:
    """Decides when the next call may go: `wait`, `sent`, and then one of `accepted`, `rejected` and `ended`.

    `per_second` is a limit that the user has set; it is never exceeded, and a server's own may be lower.
    """

    def __init__(self, per_second: float | None = None, *, window: float = 1.0) -> None:
        # Half a call of jitter is made up for where it is small; a slow limit may well have a burst of one.
        lag = 0.05 if per_second is not None and per_second >= 2 else 0.0
        self._own = None if per_second is None else Pacer(per_second, lag, rest=False)
        self._learned: Pacer | None = None
        self._held: Pacer | None = None
        """What to go back to, while probing."""
        self._first_window = self._window = window
        self._open: dict[int, float] = {}
        """Calls without an answer, and when they went out; after `_patience` they count as accepted."""
        self._patience = 0.5
        self._quickest = math.inf
        self._paused_until = self._heard = -math.inf
        self._mark: _Mark | None = None
        self._sent = self._rejections = self._streak = self._lessons = 0
        self._burst, self._jitter = 1.0, _JITTER
        self._stated: StatedLimit | None = None
        self._probe_at, self._apart = math.inf, 1
        self.crowded = False
        """The last wait was for an answer, and may end with any."""

    @property
    def rate(self) -> float | None:
        """Calls a second that are let through at most; None while no limit is known."""
        rates = [pacer.rate for pacer in (self._own, self._learned or self._held) if pacer is not None]
        return min(rates, default=None)

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again; 0: a call may go."""
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
        """Take in that a call goes out now."""
        self._sent += 1
        ticket = Ticket(self._sent, now)
        self._mark = self._mark or _Mark(0, now, 0)
        self._open[ticket.number] = now
        if (pacer := self._learned) is not None and now - pacer.due <= pacer.gap:
            pacer.rate *= self._growth(pacer)
        for each in (self._own, self._learned, self._held):
            if each is not None:
                each.sent(now)
        if self._learned is not None and now >= self._probe_at:
            self._probe(ticket)
        return ticket

    def accepted(self, ticket: Ticket, now: float) -> None:
        """Take in that a call was let through."""
        self._streak = 0
        self._quickest = min(self._quickest, now - ticket.at)
        self._patience = min(0.5, 1.6 * self._quickest + 0.05)
        if self._open.pop(ticket.number, None) is not None:
            self._widen()

    def exhausted(self, ticket: Ticket, now: float, reset: float) -> None:
        """Take in that a call was the last one for `reset` seconds: a rejection's lesson without the rejection.

        Only while nothing is known: buckets say so after every call, and round up.
        """
        if self.rate is None and 0 < reset <= _LONGEST_PAUSE:
            self.rejected(ticket, now, reset)

    def ended(self, ticket: Ticket) -> None:
        """Take in that a call ended without telling anything about the limit."""
        self._open.pop(ticket.number, None)

    def rejected(
        self, ticket: Ticket, now: float, retry_after: float | None = None, *, stated: StatedLimit | None = None
    ) -> None:
        """Take a 429 in: pause, and go at the rate that it teaches."""
        self._open.pop(ticket.number, None)
        counted, self._rejections = self._rejections, self._rejections + 1
        pause = _reasonable(retry_after)
        if ticket.at <= self._heard:
            # Sent before the last 429 was heard: it tells the same thing.
            self._paused_until = max(self._paused_until, now + pause)
            if self._learned is not None:
                self._learned.due = min(self._learned.due + self._learned.gap, self._paused_until)
            return
        mark = self._mark or _Mark(0, ticket.at, 0)
        accepted = max(0, ticket.number - mark.number - 1 - (counted - mark.rejections))
        self._streak = 0 if accepted else self._streak + 1
        pause = min(_LONGEST_PAUSE, max(pause, min(60.0, pause * 2.0**self._streak) if self._streak > 1 else 0.0))
        self._heard, self._paused_until = now, max(self._paused_until, now + pause)
        self._learned = pacer = self._learn(accepted, max(ticket.at - mark.at, _CLOCK), pause, stated)
        self._mark = _Mark(ticket.number, ticket.at, self._rejections, pause)
        # The bucket was empty at that instant, and a call that is refused may cost a token too.
        pacer.due, pacer.last = min(ticket.at + 2 * pacer.gap, self._paused_until), ticket.at
        window = min(_PROBES_APART, max(6.0, 6 / pacer.rate)) if self._stated else _PROBES_APART
        self._probe_at = now + self._apart * window

    def _settle(self, now: float) -> None:
        """Count what is older than any 429 would take as accepted."""
        while self._open and now - (first := next(iter(self._open.items())))[1] >= self._patience - _CLOCK:
            del self._open[first[0]]
            self._widen()

    def _widen(self) -> None:
        self._window += 0.25 / self._window
        if self._held is not None and self._mark is not None:
            accepted, spent = self._sent - self._mark.number, self._held.last - self._mark.at
            if accepted > max(20.0, 4 * (self._burst + self._held.rate * spent)):
                self._held, self._stated, self._apart = None, None, 1

    def _probe(self, ticket: Ticket) -> None:
        """Go as if there were no limit, one call at a time at first; the next 429 tells what has become of it."""
        self._held, self._learned, self._window = self._learned, None, self._first_window
        self._mark = _Mark(ticket.number, ticket.at, self._rejections)

    def _learn(self, accepted: int, seconds: float, pause: float, stated: StatedLimit | None) -> Pacer:
        """The pace after a 429 that came when so many had been accepted in so many seconds."""
        held, pacer, self._held = self._held, self._learned, None
        if held is not None and self._failed(held, accepted, seconds, stated):
            self._apart = min(_MOST_APART, 2 * self._apart)
            self._lessons = 2 if self._burst >= 2 and stated is None else len(_GROWTH)
            return held
        if pacer is None:
            self._apart = 1
        if stated is not None:
            # A limit that is spelled out is one that will change: no use to measure it.
            if stated != self._stated:
                self._apart, self._burst, self._jitter = _APART_IF_TOLD, max(1.0, stated.burst), _JITTER
            else:
                # Known, and yet too fast: the way there is less even than was thought.
                self._burst, self._jitter = max(1.0, self._burst / 2), min(2 * self._jitter, 0.03 / stated.per_second)
            self._stated, self._lessons = stated, len(_GROWTH)
            return self._paced(stated.per_second)
        self._stated = None
        if pacer is None:
            # The whole of a window, or a burst and the time that its last call takes to come again.
            rate = max(1, accepted) / (seconds + pause)
            self._lessons = 1
            self._burst = min(_LARGEST_BURST, max(1.0, accepted - rate * seconds))
            return self._paced(rate)
        rate = self._measured(pacer, accepted, seconds, pause)
        # A pause in whole seconds may have been longer than the bucket takes to fill: in a short while, that counts.
        short = self._mark is not None and seconds < 5 * self._mark.pause
        self._lessons = min(len(_GROWTH), self._lessons + 1) if accepted and not short else 2
        return self._paced(rate)

    def _failed(self, held: Pacer, accepted: int, seconds: float, stated: StatedLimit | None) -> bool:
        """Whether a probe has shown the old limit: nothing but the burst came through."""
        if stated is not None and self._stated is not None:
            return stated == self._stated
        return stated is None and accepted <= self._burst + held.rate * seconds + 2

    def _measured(self, pacer: Pacer, accepted: int, seconds: float, pause: float) -> float:
        if pacer.last - pacer.due > pacer.gap:
            self._burst = max(1.0, self._burst / 2)  # there was not so much to make up for
        if self._burst < 2 and accepted:
            # Nothing adds up in such a bucket: the pace before the last was kept to, and this one is too fast.
            kept = 0.98 * pacer.rate / self._growth(pacer) ** 2
            # Unless there was none before: from the end of one pause to that of the next exactly `accepted` came
            # through; whole seconds were rounded up.
            before = self._mark.pause if self._mark is not None else 0.0
            most = accepted / max(_CLOCK, seconds + (pause if pause % 1 else pause - 1) - before)
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


def _reasonable(asked: float | None) -> float:
    """The pause to make where a server asks for this."""
    if asked is None:
        return _UNTOLD_PAUSE
    return min(_LONGEST_PAUSE, asked) if asked >= 0.1 else 0.1
