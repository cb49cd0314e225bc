"""Ray actors that do for a run what processes of this machine do: pure functions, one at a time each.

This package is installed on every node; nothing of it travels, nor do pictures: functions take and give references.
"""

from __future__ import annotations

import math
import platform
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import anyio.abc

from batch_removebg.errors import BatchError, ClusterLost, SettingsError, Stopping, WorkFailed
from batch_removebg.resources import STOPPING, Sleep
from batch_removebg.worker import answered

from .ray_cluster import Actor, Cluster, Gone, Silent, joined

T = TypeVar("T")
_CRASHES = 3  # of actors on nodes that live on, after which the picture is to blame
_LOOK = 3  # seconds between looks at the cluster
_LOST = 30  # seconds without an answer to that after which it is given up; Ray ends the program after 60
_STALL = 60  # seconds for which an actor that should answer may be out of reach
_PROMPT = 3  # seconds for an actor that works and is within reach to say so
_IDLE = 60  # seconds without work after which an actor ends, so that the cluster can shrink
_PATIENCE = 120  # seconds for an actor to get ready
_GONE = "the Ray cluster is gone or has been restarted: once it is back, run the same command again"
_ROOM = 600  # seconds in which some node must have room for an actor
_AHEAD = 32  # actors at most that wait for nodes to be added
_TOGETHER = 8  # parts at most that share a call
_stopping = partial(Stopping, "the run is stopping")


def hires(room: int, there: int, starting: int, waiting: int) -> int:
    """How many actors to start for so many calls that wait, where so many are there and more are starting.

    As many as there is room for, and beyond that as many as work already: for these an autoscaler adds nodes.
    """
    most = max(room, there) + min(max(there, 1), _AHEAD)
    return max(0, min(waiting - starting, most - there - starting))


@dataclass(eq=False)
class _Hand:
    actor: Actor
    node: str = ""
    seconds: float = math.inf  # for what it does
    left: float = math.inf  # of these
    idle: int = 0  # seconds without work
    late: bool = False  # it was killed since its work took too long
    asked: anyio.CancelScope = field(default_factory=anyio.CancelScope)  # what it was asked last


@dataclass(eq=False)
class _Group:
    parts: list[Any] = field(default_factory=list)
    answers: list[tuple[bool, Any]] = field(default_factory=list)  # none where the call failed
    done: anyio.Event = field(default_factory=anyio.Event)


def _each(*given: Any) -> list[tuple[bool, Any]]:
    *kept, function, parts = given
    return [answered(function, (*kept, *part)) for part in parts]


class RayPool:
    """Runs functions in actors: as many as there is room for, and more where nodes are added while calls wait."""

    def __init__(self, cluster: Cluster, load: Callable[[], tuple[Any, ...]], ours: list[str], sleep: Sleep) -> None:
        self._cluster, self._load, self._ours, self._sleep = cluster, load, ours, sleep
        self._tasks: anyio.abc.TaskGroup
        self._rooms: dict[str, int] = {}
        self._coming: set[_Hand] = set()  # not ready yet; they have no node until one has room
        self._hands: set[_Hand] = set()
        self._idle: list[_Hand] = []
        self._ready = anyio.Semaphore(0)  # one for each that is idle
        self._over: Callable[[], BatchError] | None = None  # why nothing goes on
        self._longest = math.inf
        self._silence, self._empty, self._failures = _LOOK, 0, 0
        self._group = _Group()  # that waits for an actor, or is empty

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        address: str,
        *,
        version: str,
        gpus: float = 0,
        load: Callable[[], tuple[Any, ...]] = tuple,
        sleep: Sleep = anyio.sleep,
        join: Callable[[str, float], AbstractContextManager[Cluster]] = joined,
    ) -> AsyncIterator[RayPool]:
        """A pool with a first actor; see `joined` for `address`. Blocks for seconds; raises SettingsError, ClusterLost.

        `gpus`: of each actor; `load`: what an actor calls before it gets work; what that gives, it keeps and hands to
        each function before other arguments.
        """
        with join(address, gpus) as cluster:
            pool = cls(cluster, load, [version, platform.python_version()], sleep)
            try:
                async with anyio.create_task_group() as pool._tasks:
                    await pool._look()
                    pool._tasks.start_soon(pool._tend)
                    try:
                        pool._free(await pool._taken())
                        yield pool
                    finally:
                        pool.close()
                        pool._tasks.cancel_scope.cancel()
            except BaseExceptionGroup as raised:  # the block's error, as it was
                raise raised.exceptions[0] from None

    @property
    def at_once(self) -> int:
        """Calls that may be in work now."""
        return max(1, len(self._hands))

    async def isolated(self, seconds: float, function: Callable[..., T], *args: Any) -> T:
        """The function's result, from an actor that is killed after so many seconds, or when this is cancelled.

        Raises WorkFailed where it took longer or its actors crashed, and else what the function raises, or Stopping,
        ClusterLost, SettingsError. A call whose answer was lost is asked again.
        """
        return cast(T, await self._isolated(seconds, lambda: (function, args)))

    async def together(self, seconds: float, function: Callable[..., T], *part: Any) -> T:
        """As `isolated`, for the one function that takes milliseconds: calls that wait for an actor go to it by eights.

        Where that crashes or takes too long, each is done alone: the others have no part in it.
        """
        group, place = self._group, len(self._group.parts)
        group.parts.append(part)

        def asked() -> tuple[Callable[..., object], tuple[Any, ...]]:
            self._group = _Group() if self._group is group else self._group
            return _each, (function, group.parts)

        if len(group.parts) == _TOGETHER:
            asked()
        if place:
            await group.done.wait()
        else:
            try:
                group.answers = await self._isolated(seconds, asked, crashes=1)
            except WorkFailed:
                pass
            finally:
                asked()
                group.done.set()
        if not group.answers:
            return await self.isolated(seconds, function, *part)
        worked, result = group.answers[place]
        if not worked:
            raise result
        return cast(T, result)

    async def _isolated(self, seconds: float, asked: Callable[[], tuple[Any, ...]], crashes: int = _CRASHES) -> Any:
        """As `isolated`; what is asked is settled once there is an actor."""
        crashed = 0
        while crashed < crashes:
            hand = await self._taken()
            try:
                with self._held(hand):
                    worked, result = await self._ask(hand, seconds, "do", *asked())
            except Gone:
                if self._over is not None or self._longest < math.inf:
                    raise (self._over or _stopping)() from None
                if hand.late:
                    late = f"was given up after {seconds:.0f} seconds of work: save it anew as PNG or JPEG"
                    raise WorkFailed(late) from None
                await self._look()
                crashed += hand.node in self._rooms  # else its node died, or is leaving
            else:
                self._free(hand)
                if worked:
                    return result
                raise result
        why = "for want of memory, most likely; else save it anew as PNG or JPEG"
        raise WorkFailed(f"made each of {crashes} processes that worked on it end: {why}")

    def hurry(self) -> None:
        """Give work on each picture 3 s at most from now on; what that ends raises Stopping."""
        self._longest = STOPPING

    def close(self) -> None:
        """End all actors; calls raise Stopping."""
        self._stop(_stopping)
        for hand in (*self._hands,):
            self._end(hand)

    async def _ask(self, hand: _Hand, seconds: float, *asked: Any) -> Any:
        hand.seconds = hand.left = seconds
        while True:
            try:
                return await hand.actor.ask(*asked)
            except Silent:
                hand.left = 2 * seconds  # what it may be doing still, and then the same again
                while True:
                    with suppress(Silent):
                        await hand.actor.ask("ping")
                        break
                    await self._sleep(1)

    async def _taken(self) -> _Hand:
        while True:
            if not self._ready.value:
                self._hire(1)
            await self._ready.acquire()
            if self._over is not None:
                self._ready.release()
                raise self._over()
            hand = self._idle.pop()
            if not hand.idle:
                return hand
            hand.left = 0  # meanwhile it may have died, which is not the next picture's fault
            with suppress(Gone, Silent), self._held(hand):
                await hand.actor.ask("ping")
                return hand

    @contextmanager
    def _held(self, hand: _Hand) -> Iterator[None]:
        try:
            with anyio.CancelScope() as hand.asked:
                yield
            if hand.asked.cancelled_caught:
                raise Gone
        except BaseException:
            self._end(hand)
            raise

    def _free(self, hand: _Hand) -> None:
        hand.left, hand.idle = math.inf, 0
        if hand.node not in self._rooms:  # it is leaving
            return self._end(hand)
        self._idle.append(hand)
        return self._ready.release()

    def _end(self, hand: _Hand) -> None:
        self._hands.discard(hand)
        hand.actor.kill()

    def _stop(self, why: Callable[[], BatchError]) -> None:
        self._over = self._over or why
        self._ready.release()  # who waits finds that out, one after the other

    def _lose(self) -> None:
        self._stop(partial(ClusterLost, _GONE))
        for hand in self._hands:
            hand.asked.cancel()  # without a head nobody says that an actor has died

    def _hire(self, more: int = 0) -> None:
        waiting = self._ready.statistics().tasks_waiting + more
        for _ in range(hires(sum(self._rooms.values()), len(self._hands), len(self._coming), waiting)):
            hand = _Hand(self._cluster.actor())
            self._coming.add(hand)
            self._tasks.start_soon(self._begin, hand)

    async def _begin(self, hand: _Hand) -> None:
        try:
            hand.node, address, *theirs = await self._ask(hand, math.inf, "who")
            self._hands.add(hand)
            if hand.node not in self._rooms:
                await self._look()
            if theirs != self._ours:
                both = ("batch-removebg {} with Python {}".format(*versions) for versions in (theirs, self._ours))
                raise SettingsError("node {} has {}, this machine {}: install the same there".format(address, *both))
            worked, error = await self._ask(hand, _PATIENCE, "do", self._load, (), "keep")
            if not worked:
                raise SettingsError(f"node {address}: {error}")
            self._failures = 0
            self._free(hand)
        except Gone:
            self._end(hand)
            self._failures += hand.node in self._rooms
            if self._failures == _CRASHES:
                why = f"node {address}: actors end while they get ready, perhaps for want of memory"
                self._stop(partial(SettingsError, why))
        except SettingsError as error:
            self._stop(partial(SettingsError, str(error)))
        finally:
            self._coming.discard(hand)

    async def _look(self) -> None:
        try:
            self._rooms = await self._cluster.rooms()
        except ClusterLost:
            self._lose()
        self._silence = 0

    async def _tend(self) -> None:
        while True:
            await self._sleep(1)
            self._silence += 1
            if self._silence == _LOOK:
                self._tasks.start_soon(self._look)
            elif self._silence == _LOST:
                self._lose()
            self._empty = 0 if self._hands else self._empty + 1
            if self._empty == _ROOM:
                self._stop(
                    partial(SettingsError, "no node of the Ray cluster has had room for an actor for ten minutes")
                )
            for hand in (*self._hands,):
                self._watch(hand)
            if not self._ready.statistics().tasks_waiting:
                pending = [hand for hand in self._coming if not hand.node]
                for hand in pending[max(0, sum(self._rooms.values()) - len(self._hands)) :]:
                    hand.actor.kill()
            self._hire()

    def _watch(self, hand: _Hand) -> None:
        if hand in self._idle:
            hand.idle += 1
            if hand.node not in self._rooms or (hand.idle > _IDLE and len(self._hands) > 1):
                with suppress(anyio.WouldBlock):
                    self._ready.acquire_nowait()
                    self._idle.remove(hand)
                    self._end(hand)
            return
        hand.left = min(hand.left, self._longest) - 1
        if hand.left <= -_STALL or (hand.left <= 0 and self._longest < math.inf):
            hand.actor.kill()
        elif -1 < hand.left <= 0:
            self._tasks.start_soon(self._late, hand)

    async def _late(self, hand: _Hand) -> None:
        with suppress(Gone, Silent):
            await hand.actor.ask("ping")
            if -_PROMPT < hand.left <= 0:
                hand.late = True
                hand.actor.kill()
            else:  # the network has hung, not the work: that gets its time once more
                hand.left = hand.seconds
