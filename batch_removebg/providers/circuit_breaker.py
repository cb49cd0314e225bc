"""A server that is down pauses the whole run and is probed, instead of using up every item's attempts.

    closed ── `threshold` failures in a row ──▶ open ── its time is over ──▶ one probe ── it succeeds ──▶ closed
                                                 ▲                              │ it fails: a longer pause
                                                 └──────────────────────────────┘

The state machine is pure; the wrapper waits. purgatory and aiobreaker refuse calls while open; this holds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    ConnectionFailed,
    CreateLost,
    DiskError,
    LedgerError,
    OutOfReach,
    ServerDown,
    ServerError,
    Stopping,
    Unreachable,
)
from batch_removebg.model import Matte, Reference
from batch_removebg.net.urls import host_of

from .base import Once, Operation, Pause, T, Wrapper

_DOWN = (ServerError, ConnectionFailed, CreateLost)
_OWN = (BudgetReached, DiskError, LedgerError, Stopping)  # errors of this side, which say nothing about the server
_GAP = 660.0  # seconds that an exchange and a pause take at most
_OUTPUTS = 3  # different outputs of one host that fail in a row before the host counts as down
_REMEMBERED = 10_000  # outputs that have failed
_TRIAL = 300.0  # seconds until a purchase while it does, twice as many between two: is it down, or were those bad?
_BEHIND = 9  # seconds at most that a call which has failed as the probe, and again, lets others go first
_HELD: Mapping[Operation, float] = {"fetch": 900.0, "list": 300.0}
"""Seconds that what has failed waits for a server to come back, where the next run can ask for it as well."""


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row, and says when the next call may go."""

    threshold: int = 5  # failures in a row, over all items, that open it
    first: float = 2.0  # seconds of the first pause; doubled with each probe that fails
    longest: float = 60.0
    outage: float = 1800.0  # seconds of nothing but failures after which the run is given up
    stranger: float = 600.0
    """The same where the server was never reached: more likely a mistyped address than an outage."""
    known: bool = False  # the server was reached, in this run or an earlier one
    _failures: int = field(default=0, init=False)
    _outputs: set[str] = field(default_factory=set, init=False)
    _down: float = field(default=0.0, init=False)
    """Seconds of nothing but failures, of a gap between two at most `_GAP`: a longer one is a suspended machine's."""
    _failed_at: float = field(default=math.inf, init=False)
    _pause: float = field(default=0.0, init=False)
    _probe_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)
    trial_at: float = field(default=0.0, init=False)
    """When something may be bought although it is open: the output shows whether the host is down."""

    @property
    def open(self) -> bool:
        """Whether calls have to wait for a probe."""
        return self._pause > 0

    def wait(self, now: float) -> float:
        """Seconds until the caller should ask again; 0: it may go, while open as the one probe."""
        if not self.open:
            return 0.0
        if now < self._probe_at:
            return self._probe_at - now
        if self._probing:
            return self.first
        self._probing = True
        return 0.0

    def answered(self) -> None:
        """Record that the server answered, whatever it said."""
        self._failures, self._pause, self._down, self._failed_at, self._probing = 0, 0.0, 0.0, math.inf, False
        self.known = True

    def failed(self, now: float, output: str | None = None) -> None:
        """Record a failure; of one `output` only the first in a run counts. Raises ServerDown after a long outage."""
        if output is not None:
            if output in self._outputs and not self.open:
                return
            if len(self._outputs) >= _REMEMBERED:
                self._outputs.clear()
            self._outputs.add(output)
        probing, self._probing = self._probing, False
        self._failures += 1
        self._down += max(0.0, min(now - self._failed_at, _GAP))
        self._failed_at = now
        if self._down >= (self.outage if self.known else self.stranger):
            hint = "" if self.known else "check --base-url, the network, and HTTPS_PROXY if it has never worked, and "
            took = f"{self._down / 60:.0f} minutes" if self._down >= 120 else f"{self._down:.0f} seconds"
            raise ServerDown(
                f"the server has given nothing but errors for {took}; {hint}run the same command again when it is back"
            )
        if probing or self._failures == self.threshold:
            if not self.open:
                self.trial_at = now + _TRIAL
            self._pause = min(self.longest, self._pause * 2) if self.open else self.first
            self._probe_at = now + self._pause

    def gave_up(self) -> None:
        """Record that a call ended in a way that says nothing about the server: cancelled, or never sent."""
        self._probing = False


Hosts = dict[str, Breaker]


def may_buy(hosts: Hosts, now: float) -> bool:
    """Whether a prediction may be bought: no host of outputs is down, or a trial is due."""
    down = [breaker for breaker in hosts.values() if breaker.open]
    allowed = all(now >= breaker.trial_at for breaker in down)
    for breaker in down if allowed else ():
        breaker.trial_at = now + 2 * _TRIAL
    return allowed


@dataclass(eq=False)
class Breaking(Wrapper):
    """Holds the API's operations while the server is down, and fetches while their host is; see `may_buy` for creates.

    Creates have their own breaker: answered polls must not keep it closed where all creates fail. So has the list,
    which may fail alone, and each host of outputs; there only failures of different outputs count, since one broken
    output is no outage.
    """

    breaker: Breaker  # for creates; the others get copies of it
    clock: Clock
    pause: Pause
    waiting: Callable[[str], None]  # gets the reason of a pause
    hosts: Hosts = field(default_factory=dict)  # of outputs

    def __post_init__(self) -> None:
        super().__post_init__()
        asking = replace(self.breaker)
        self._breakers = {"create": self.breaker, "list": replace(self.breaker), "get": asking, "upload": asking}

    async def around(self, operation: Operation, once: Once[T]) -> T:
        """See Wrapper."""
        if operation == "cancel":
            return await once()
        return await self._held(operation, self._breakers[operation], once, "the server")

    async def fetch(self, url: str) -> bytes | Matte | Reference:
        """See Provider."""
        if not (host := host_of(url)):  # the output itself, in a data URI or in this process, or no URL at all
            return await self.inner.fetch(url)
        breaker = self.hosts.setdefault(host, replace(self.breaker, threshold=_OUTPUTS, known=True))
        who = f"{host}, where the outputs are,"
        return await self._held("fetch", breaker, lambda: self.inner.fetch(url), who, url)

    async def _held(
        self, operation: Operation, breaker: Breaker, once: Once[T], who: str, output: str | None = None
    ) -> T:
        tries, until, said = 0, math.inf, ""
        while True:
            while (wait := breaker.wait(now := self.clock.monotonic())) > 0:
                if now >= until:
                    raise OutOfReach(said)
                await self.pause(operation, wait + min(max(0, tries - 1), _BEHIND))
            try:
                result = await once()
            except _DOWN as error:
                if not isinstance(error, Unreachable):  # the server is there, if not well
                    self._reached()
                breaker.failed(now := self.clock.monotonic(), output)
                # A lost create has to be looked for, whatever the state of the server: that search waits instead.
                if not breaker.open or isinstance(error, CreateLost):
                    raise
                if not tries:
                    self.waiting(f"{error}; {who} seems to be down: the run pauses, and tries again by itself")
                    until = now + _HELD.get(operation, math.inf)
                tries, said = tries + 1, str(error)
            except BaseException as error:
                if isinstance(error, BatchError) and not isinstance(error, _OWN):
                    breaker.answered()
                else:
                    breaker.gave_up()
                raise
            else:
                breaker.answered()
                self._reached()
                return result

    def _reached(self) -> None:
        for breaker in self._breakers.values():
            breaker.known = True
