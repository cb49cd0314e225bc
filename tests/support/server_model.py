"""Servers that keep limits, and clients that want more than those allow: an hour in milliseconds, by virtual time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from batch_removebg.providers.adaptive_rate import RateLimit, StatedLimit


@dataclass
class Bucket:
    """A token bucket with the number of calls a second, and the burst, that hold from a moment on."""

    per_second: float
    burst: float = 10.0
    punishes: bool = False
    """A rejected call takes a token too, down to a debt of one burst."""
    says: Callable[[float], float | None] = math.ceil
    """What it makes of the seconds left, for Retry-After."""
    tells: bool = False
    """Its 429 spells the limit out."""
    changes: list[tuple[float, float, float]] = field(default_factory=list)
    """(moment, per_second, burst)"""
    tokens: float = math.nan
    at: float = 0.0

    def take(self, now: float) -> tuple[float | None, StatedLimit | None] | None:
        """None where the call is let through; else what the 429 says."""
        while self.changes and now >= self.changes[0][0]:
            _, self.per_second, self.burst = self.changes.pop(0)
            self.tokens, self.at = max(0.0, self.tokens), now
        self.tokens = self.burst if math.isnan(self.tokens) else self.tokens
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_second)
        self.at = now
        if self.tokens >= 1 - 1e-9:
            self.tokens -= 1
            return None
        if self.punishes:
            self.tokens = max(-self.burst, self.tokens - 1)
        return self.says((1 - self.tokens) / self.per_second), StatedLimit(
            self.per_second, self.burst
        ) if self.tells else None


@dataclass
class Windows:
    """So many calls in each window by the clock."""

    calls: int
    seconds: float = 60.0
    window: int = -1
    used: int = 0

    def take(self, now: float) -> tuple[float | None, StatedLimit | None] | None:
        if (window := int(now // self.seconds)) != self.window:
            self.window, self.used = window, 0
        self.used += 1
        return None if self.used <= self.calls else (math.ceil((window + 1) * self.seconds - now), None)


@dataclass
class Unlimited:
    def take(self, now: float) -> None:
        return None


@dataclass
class Liar:
    """Lets one call in `every` seconds through, and says nonsense."""

    says: Callable[[], float | None]
    every: float = 10.0
    free_at: float = 0.0

    def take(self, now: float) -> tuple[float | None, StatedLimit | None] | None:
        if now < self.free_at:
            return self.says(), None
        self.free_at = now + self.every
        return None


@dataclass
class Network:
    """Seconds that things take."""

    there_and_back: float = 0.004
    jitter: float = 0.002
    """Mean of what is added on each way, exponentially distributed."""
    run: float = 2.0
    """Median of the run time; log-normal."""
    sigma: float = 0.35
    cold: float = 0.01
    waits: bool = True
    """Creates that are let through are answered when their job is done, after the first few."""


@dataclass
class Seen:
    """What came of it; moments in seconds."""

    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    finished: float = 0.0

    def most_rejected(self, window: float, *, after: float, until: float = math.inf) -> int:
        """The most rejections in any window."""
        times = [t for t in self.rejected if after < t < until]
        return max((sum(t <= other < t + window for other in times) for t in times), default=0)


Server = Bucket | Windows | Unlimited | Liar


def simulate(
    server: Server,
    limit: RateLimit,
    *,
    jobs: float = math.inf,
    until: float = math.inf,
    network: Network | None = None,
    seed: int = 1,
    cap: int = 64,
) -> Seen:
    """Jobs that all want to be created as soon as the limit lets them, `cap` waiting or running at a time."""
    net, chance, seen, order = network or Network(), random.Random(seed), Seen(), count()
    events: list[tuple[float, int, str, tuple[object, ...]]] = []

    def later(at: float, what: str, *more: object) -> None:
        heapq.heappush(events, (at, next(order), what, more))

    def way() -> float:
        return net.there_and_back / 2 + (chance.expovariate(1 / net.jitter) if net.jitter else 0.0)

    wanted, held, begun = 0, 0, 0
    left = jobs

    def fill() -> None:
        nonlocal wanted, held, left
        while held < cap and left > 0:
            wanted, held, left = wanted + 1, held + 1, left - 1

    def ask(now: float) -> None:
        """Send what may go; else ask again when it is worth it."""
        nonlocal wanted, begun
        while wanted:
            wait = limit.wait(now)
            if wait:
                begun += 1
                later(now + wait, "ask", begun)
                return
            wanted -= 1
            later(now + way(), "arrive", limit.sent(now))

    fill()
    ask(0.0)
    while events and events[0][0] < until:
        now, _, what, more = heapq.heappop(events)
        if what == "ask":
            if more[0] == begun:
                ask(now)
            continue
        ticket = more[0]
        if what == "arrive":
            refused = server.take(now)
            if refused is not None:
                seen.rejected.append(now)
                later(now + way(), "refused", ticket, refused)
                continue
            seen.accepted.append(now)
            run = 20.0 if chance.random() < net.cold else net.run * math.exp(net.sigma * chance.gauss(0, 1))
            seen.finished = max(seen.finished, now + run)
            late = run if net.waits and len(seen.accepted) > 4 else 0.0
            later(now + late + way(), "answered", ticket)
            later(now + run + way(), "done", ticket)
        elif what == "answered":
            limit.accepted(ticket, now)  # type: ignore[arg-type]
            ask(now)
        elif what == "done":
            held -= 1
            fill()
            ask(now)
        elif what == "refused":
            retry_after, stated = more[1]  # type: ignore[misc]
            limit.rejected(ticket, now, retry_after, stated=stated)  # type: ignore[arg-type]
            # As the retries have it: the wait that was asked for, and up to a second of chance.
            later(
                now + (retry_after if retry_after and 0 < retry_after < 120 else 5.0) + chance.random(), "again", ticket
            )
        elif what == "again":
            wanted += 1
            ask(now)
    return seen
