"""Manners to the hosts of sources: few connections to each, a pause where one asks for it, none to one that is down.

A host that is down pauses its own rows, and leaves them to the next run where it stays so. What waits holds no worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import inf

import anyio

from batch_removebg.clock import Clock
from batch_removebg.errors import Postponed, RateLimited, RetryError, ServerDown, Unreachable
from batch_removebg.providers.circuit_breaker import Breaker

_AT_ONCE = 8  # connections to one host
_PATIENCE = 300.0  # seconds that a host may ask to wait; for longer, its rows are left to the next run
_AWAY = 600.0  # seconds after which one that was given up is tried again, for rows that are read then
_LOOK = 1.0  # seconds after which what waits for a connection looks whether the run stops
_BREAKER = Breaker(threshold=3, longest=30.0, outage=_PATIENCE, stranger=30.0)


class NotNow(Exception):
    """The host can't be asked now; `over` returns once it can, or raises Postponed where it is given up."""

    def __init__(self, over: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.over = over


@dataclass(eq=False)
class Host:
    """One host: whoever got in by `enter` or `turn` tells what came of it: `answered`, `failed`, or `gave_up`."""

    name: str
    clock: Clock
    say: Callable[[str], None]  # gets what its rows wait for
    _breaker: Breaker = field(default_factory=lambda: replace(_BREAKER))
    _active: int = 0
    _resumes: float = -inf
    _asks_long: str = ""  # the URL for which it last asked to wait for longer than a run waits
    _left: str = ""  # why its rows are left to the next run
    _line: anyio.Lock = field(default_factory=anyio.Lock)
    _freed: anyio.Event = field(default_factory=anyio.Event)

    def enter(self) -> bool:
        """Whether it may be asked at once; raises Postponed where it is given up."""
        if self._line.locked() or self._wait() > 0:
            return False
        self._active += 1
        return True

    async def turn(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Return once it may be asked, in the order of the calls; raises Postponed where it is given up."""
        async with self._line:
            while (wait := self._wait()) > 0:
                if wait == inf:
                    with anyio.move_on_after(_LOOK):
                        await self._freed.wait()
                await sleep(wait if wait < inf else 0.0)  # which ends once the run stops
            self._active += 1

    def _wait(self) -> float:
        now = self.clock.monotonic()
        if now < self._resumes:
            if self._left:
                raise Postponed(self._left)
            return self._resumes - now
        self._left = ""
        return inf if self._active >= _AT_ONCE else self._breaker.wait(now)

    def answered(self) -> None:
        """Record an answer, whatever it said."""
        if self._breaker.open:
            self.say(f"{self.name} answers again")
        self._breaker.answered()
        self._asks_long = ""
        self._free()

    def gave_up(self) -> None:
        """Record a request that ended in a way that says nothing about the host."""
        self._breaker.gave_up()
        self._free()

    def failed(self, url: str, error: RetryError, wait: float) -> bool:
        """Record a failure; returns whether the host is down, or given up. `wait`: seconds until another try.

        Raises Postponed where it asks for too long, for this URL alone as far as is known.
        """
        now, was_open, asked = self.clock.monotonic(), self._breaker.open, max(wait, error.retry_after or 0.0)
        self._free()
        if isinstance(error, RateLimited) or error.retry_after:
            self._breaker.answered()
            if asked > _PATIENCE:
                alone, self._asks_long = self._asks_long in ("", url), url
                text = f"{error}; {self.name} asks to wait for {asked / 60:.0f} minutes"
                if alone:
                    self.say(said := f"{text}: this row is left to the next run")
                    raise Postponed(said)
                self._leave(text)
            self._resumes = max(self._resumes, now + asked)
            return asked > _PATIENCE
        try:
            self._breaker.failed(now, None if isinstance(error, Unreachable) else url)
        except ServerDown:
            self._breaker, self._resumes = replace(_BREAKER), now + _AWAY
            self._leave(f"{error}; {self.name} stays out of reach")
            return True
        if self._breaker.open and not was_open:
            self.say(f"{error}; {self.name} seems to be out of reach: its rows wait, and the others go on")
        return self._breaker.open

    def _free(self) -> None:
        self._active -= 1
        self._freed.set()
        self._freed = anyio.Event()

    def _leave(self, why: str) -> None:
        self._left = f"{why}: its rows are left to the next run"
        self.say(self._left)
