"""A server that is down pauses the whole run and is probed, instead of burning every item's attempts.

    closed ── `threshold` failures in a row ──▶ open ── its time is over ──▶ one probe ── it succeeds ──▶ closed
                                                 ▲                              │ it fails: a longer pause
                                                 └──────────────────────────────┘

The state machine is pure; what waits is the wrapper. purgatory and aiobreaker were looked at: they refuse calls while
open, where this has to hold them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import urlsplit

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    ConnectionFailed,
    CreateLost,
    DiskError,
    LedgerError,
    ServerDown,
    ServerError,
    Stopping,
    Unreachable,
)
from batch_removebg.model import Matte, Provider

from .base import Operation, Pause, Wrapper

T = TypeVar("T")
_DOWN = (ServerError, ConnectionFailed, CreateLost)
_OUTPUTS = 3
"""Different outputs of one host that fail in a row before the host counts as down."""


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row, and says when the next call may go."""

    threshold: int = 5
    """Failures in a row, over all items, that open it."""
    first: float = 2.0
    """Seconds of the first pause; doubled with each probe that fails."""
    longest: float = 60.0
    outage: float = 1800.0
    """Seconds of nothing but failures after which the run is given up."""
    stranger: float = 300.0
    """The same where no connection has ever come about: more likely a mistyped address than an outage."""
    known: bool = False
    """The server has been reached before, in this run or an earlier one."""
    _failures: int = field(default=0, init=False)
    _down_since: float | None = field(default=None, init=False)
    _pause: float = field(default=0.0, init=False)
    _probe_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)

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
        """Take in that the server answered, whatever it said."""
        self._failures, self._pause, self._down_since, self._probing = 0, 0.0, None, False
        self.known = True

    def failed(self, now: float) -> None:
        """Take in a failure; raises ServerDown after too long an outage."""
        probing, self._probing = self._probing, False
        self._failures += 1
        self._down_since = now if self._down_since is None else self._down_since
        if now - self._down_since >= (self.outage if self.known else self.stranger):
            hint = "" if self.known else "see to --base-url if it has never worked, and "
            raise ServerDown(
                f"the server has given nothing but errors for {(now - self._down_since) / 60:.0f} minutes; "
                f"{hint}run the same command again when it is back"
            )
        if probing or self._failures == self.threshold:
            self._pause = min(self.longest, self._pause * 2) if self.open else self.first
            self._probe_at = now + self._pause

    def gave_up(self) -> None:
        """Take in that a call ended without telling anything about the server: it was cancelled, or never went out."""
        self._probing = False


class Breaking(Wrapper):
    """Holds the API's operations while the server is down, and everything that buys while a host of outputs is.

    Creates have a breaker of their own: where nothing but them fails, polls that are answered must not keep it closed.
    So has each host of outputs. A single output that can't be fetched is no outage: only failures of different outputs
    count.
    """

    def __init__(
        self, inner: Provider, breaker: Breaker, *, clock: Clock, pause: Pause, waiting: Callable[[str], None]
    ) -> None:
        """`breaker` is that of the creates; the others get one with the same limits. `waiting` is told of an outage."""
        super().__init__(inner)
        self._creating = breaker
        self._asking = replace(breaker)
        self._fetching: dict[str, Breaker] = {}
        self._failing: dict[str, set[str]] = {}
        """Outputs that failed since the last that didn't, by host."""
        self._clock = clock
        self._pause = pause
        self._waiting = waiting

    async def around(self, operation: Operation, once: Callable[[], Awaitable[T]]) -> T:
        """See Wrapper."""
        if operation is Operation.CANCEL:
            return await once()
        if operation.buying:
            while any(breaker.open for breaker in self._fetching.values()):
                await self._pause(operation, self._creating.first)
        breaker = self._creating if operation is Operation.CREATE else self._asking
        return await self._held(operation, breaker, once, "the server")

    async def fetch(self, url: str) -> bytes | Matte:
        """See Provider."""
        host = urlsplit(url).netloc
        if not host:  # the output itself, in a data URI or this process
            return await self.inner.fetch(url)
        breaker = self._fetching.setdefault(host, replace(self._creating, threshold=_OUTPUTS, known=True))
        failing = self._failing.setdefault(host, set())

        async def once() -> bytes | Matte:
            try:
                output = await self.inner.fetch(url)
            except _DOWN as error:
                if url in failing and not breaker.open:
                    raise _OnceMore(error) from error
                failing.add(url)
                raise
            except BatchError:
                failing.clear()
                raise
            failing.clear()
            return output

        try:
            return await self._held(Operation.FETCH, breaker, once, f"{host}, where the outputs are,")
        except _OnceMore as again:
            raise again.error from again

    async def _held(self, operation: Operation, breaker: Breaker, once: Callable[[], Awaitable[T]], who: str) -> T:
        told = False
        while True:
            while (wait := breaker.wait(self._clock.monotonic())) > 0:
                await self._pause(operation, wait)
            heard = False
            try:
                result = await once()
                heard = True
            except _DOWN as error:
                heard = True
                if not isinstance(error, Unreachable):
                    self._creating.known = self._asking.known = True  # something is there, if not well
                breaker.failed(self._clock.monotonic())
                # A lost create has to be looked for, whatever the state of the server: that look-up waits instead.
                if not breaker.open or isinstance(error, CreateLost):
                    raise
                if not told:
                    self._waiting(f"{error}; {who} seems to be down: the run pauses, and tries again by itself")
                told = True
            except BaseException as error:
                heard = _is_answer(error)
                if heard:
                    breaker.answered()
                raise
            else:
                breaker.answered()
                self._creating.known = self._asking.known = True
                return result
            finally:
                if not heard:
                    breaker.gave_up()


class _OnceMore(Exception):
    """An output has failed again that failed before: that says nothing more about its host."""

    def __init__(self, error: BatchError) -> None:
        self.error = error


def _is_answer(error: BaseException) -> bool:
    """Whether the error is the server's own word: it lives."""
    return isinstance(error, BatchError) and not isinstance(error, (BudgetReached, DiskError, LedgerError, Stopping))
