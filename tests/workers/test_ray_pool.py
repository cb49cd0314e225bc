"""A pool of actors: one call each, deaths are put down to who caused them, and the cluster may grow and shrink."""

from __future__ import annotations

import math
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from batch_removebg.errors import BatchError, ClusterLost, SettingsError, SourceError, Stopping, WorkFailed
from batch_removebg.workers import ray_pool
from batch_removebg.workers.ray_cluster import Gone, Silent, joined, room
from batch_removebg.workers.ray_pool import RayPool, _each, hires

pytestmark = pytest.mark.anyio
HERE = ["1.0", platform.python_version()]


class Crash(BaseException):
    """What a function raises that ends its process."""


class FakeActor:
    """What it is asked to do is a coroutine function that gets the actor; its result is what `do` answers."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster, self.node, self.at_work = cluster, "", 0
        self.placed, self.dead = anyio.Event(), anyio.Event()
        self.back = anyio.Event()  # until then it isn't within reach
        self.back.set()

    async def ask(self, method: str, *args: Any) -> Any:
        given: list[Any] = []

        async def work() -> None:
            try:
                given.append(await self._do(method, *args))
            except (Gone, Silent) as error:
                given.append(error)
            except Crash:
                self.cluster.crashes += 1
                self.kill()
                given.append(Gone())
            asking.cancel_scope.cancel()

        async def death() -> None:
            await self.dead.wait()
            given.append(Gone())
            asking.cancel_scope.cancel()

        async with anyio.create_task_group() as asking:
            asking.start_soon(work)
            asking.start_soon(death)
        if isinstance(given[0], Exception):
            raise given[0]
        return given[0]

    async def _do(self, method: str, *args: Any) -> Any:
        await self.placed.wait()
        if method == "who":
            return self.node, f"10.0.0.{self.node}", *self.cluster.versions
        if method == "ping":
            return await self.back.wait()
        function, given, *_ = args
        self.at_work += 1
        assert self.at_work == 1, "two calls at a time"
        try:
            return True, await function(self, *given) if isinstance(function, partial) else function(*given)
        except BatchError as error:
            return False, error
        finally:
            self.at_work -= 1

    def kill(self) -> None:
        self.dead.set()
        self.cluster.place()


class FakeCluster:
    def __init__(self, **nodes: int) -> None:
        self.nodes, self.versions, self.lost, self.hangs = dict(nodes), list(HERE), False, False
        self.actors: list[FakeActor] = []
        self.sleeping: list[anyio.Event] = []
        self.crashes = 0

    @contextmanager
    def join(self, address: str, gpus: float) -> Iterator[FakeCluster]:
        yield self

    async def rooms(self) -> dict[str, int]:
        if self.hangs:
            await anyio.sleep_forever()
        if self.lost:
            raise ClusterLost
        return dict(self.nodes)

    def actor(self) -> FakeActor:
        self.actors.append(FakeActor(self))
        self.place()
        return self.actors[-1]

    def alive(self) -> list[FakeActor]:
        return [actor for actor in self.actors if not actor.dead.is_set()]

    def place(self) -> None:
        for actor in self.alive():
            for node, holds in self.nodes.items():
                if not actor.node and sum(other.node == node for other in self.alive()) < holds:
                    actor.node = node
                    actor.placed.set()

    def remove(self, node: str) -> None:
        """Its actors die with it."""
        del self.nodes[node]
        for actor in self.alive():
            if actor.node == node:
                actor.dead.set()

    async def sleep(self, seconds: float) -> None:
        self.sleeping.append(anyio.Event())
        await self.sleeping[-1].wait()

    async def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            await settled()
            woken, self.sleeping = self.sleeping, []
            for event in woken:
                event.set()
        await settled()

    @asynccontextmanager
    async def pool(self, load: Callable[[], tuple[Any, ...]] = tuple) -> AsyncIterator[RayPool]:
        with anyio.fail_after(20):
            opened = RayPool.opened("x", version="1.0", load=load, sleep=self.sleep, join=self.join)  # type: ignore[arg-type]
            async with opened as pool:
                yield pool


async def settled() -> None:
    """All that can go on without the clock has gone on."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


Work = Callable[..., Awaitable[Any]]


def call(work: Work) -> Callable[..., Any]:
    return partial(work)


async def forever(actor: FakeActor) -> None:
    await anyio.sleep_forever()


async def where(actor: FakeActor) -> str:
    return actor.node


async def poison(actor: FakeActor) -> None:
    actor.kill()
    await anyio.sleep_forever()


class Calls:
    """Calls at the same time, and how each has ended."""

    def __init__(self, pool: RayPool, tasks: anyio.abc.TaskGroup) -> None:
        self.pool, self.tasks, self.ended = pool, tasks, dict[int, Any]()

    def begin(self, number: int, work: Work, seconds: float = math.inf) -> None:
        async def run() -> None:
            try:
                self.ended[number] = await self.pool.isolated(seconds, call(work))
            except BatchError as error:
                self.ended[number] = error

        self.tasks.start_soon(run)


@pytest.mark.parametrize(
    ("room", "there", "starting", "waiting", "expected"),
    [
        (4, 0, 0, 1, 1),  # as many as calls
        (4, 0, 0, 9, 5),  # as many as there is room for, and one that would show that nodes are added
        (4, 0, 2, 2, 0),  # who waits is provided for
        (4, 4, 0, 9, 4),  # as many again as there are
        (4, 4, 4, 9, 0),
        (500, 500, 0, 900, 32),  # in steps
        (2, 4, 0, 9, 4),  # nodes have gone
        (0, 0, 0, 3, 1),  # a cluster that has shrunk to nothing
        (4, 2, 0, 0, 0),
    ],
)
def test_actors_are_started_for_calls_that_wait_as_room_allows_and_doubled_beyond(
    room: int, there: int, starting: int, waiting: int, expected: int
) -> None:
    assert hires(room, there, starting, waiting) == expected


@pytest.mark.parametrize(
    ("has", "gpus", "expected"),
    [
        ({"CPU": 4.0}, 0, 4),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 2),
        ({"CPU": 8.0, "GPU": 1.0}, 0.25, 4),
        ({"CPU": 8.0}, 1, 0),
        ({"CPU": 1.0, "GPU": 4.0}, 1, 1),
        ({"memory": 1e9}, 0, 0),
    ],
)
def test_a_node_holds_as_many_actors_as_its_cores_and_gpus_allow(
    has: dict[str, float], gpus: float, expected: int
) -> None:
    assert room(has, gpus) == expected


async def test_each_actor_has_one_call_and_others_wait_in_their_order() -> None:
    cluster, order = FakeCluster(a=2), list[int]()
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:

        async def one(number: int) -> None:
            async def work(actor: FakeActor) -> None:
                order.append(number)
                await anyio.lowlevel.checkpoint()

            await pool.isolated(9, call(work))

        for number in range(50):
            tasks.start_soon(one, number)
    assert order == [*range(50)]


def doubled(number: int) -> int:
    if number == 5:
        raise SourceError("is empty")
    if number == 6:
        raise Crash
    return 2 * number


class Together:
    """Calls of `doubled` while an actor of one has other work, and what became of each; `asked`: parts of each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.ended, self.asked = FakeCluster(a=1), dict[int, Any](), list[list[int]]()

        def each(function: Any, parts: Any) -> Any:
            self.asked.append([number for (number,) in parts])
            return _each(function, parts)

        monkeypatch.setattr(ray_pool, "_each", each)

    async def run(self, numbers: list[int], then: Callable[[RayPool], None] = lambda pool: None) -> dict[int, Any]:
        async with self.cluster.pool() as pool, anyio.create_task_group() as tasks:
            busy, calls = anyio.Event(), Calls(pool, tasks)

            async def wait(actor: FakeActor) -> None:
                await busy.wait()

            async def one(number: int) -> None:
                try:
                    self.ended[number] = await pool.together(9, doubled, number)
                except BatchError as error:
                    self.ended[number] = error

            calls.begin(-1, wait)
            await settled()
            for number in numbers:
                tasks.start_soon(one, number)
            await settled()
            then(pool)
            busy.set()
        return self.ended


async def test_small_calls_that_wait_go_to_an_actor_by_eights_and_each_gets_its_own_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [5, *range(10, 20)]
    calls = Together(monkeypatch)
    ended = await calls.run(numbers)
    assert calls.asked == [numbers[:8], numbers[8:]]
    assert str(ended.pop(5)) == "is empty"
    assert ended == {number: 2 * number for number in numbers[1:]}


async def test_a_small_call_that_crashes_fails_alone_after_three_more_and_the_others_of_its_call_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = Together(monkeypatch)
    ended = await calls.run([1, 6, 2])
    assert calls.asked == [[1, 6, 2]]
    assert isinstance(ended.pop(6), WorkFailed)
    assert ended == {1: 2, 2: 4}
    assert calls.cluster.crashes == 1 + 3


async def test_small_calls_that_wait_together_all_end_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Together(monkeypatch)
    ended = await calls.run([1, 2, 3], RayPool.close)
    assert (calls.asked, [type(error) for error in ended.values()]) == ([], [Stopping] * 3)


async def test_what_a_function_raises_is_raised() -> None:
    async def refuse(actor: FakeActor) -> None:
        raise SourceError("is empty")

    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool:
        with pytest.raises(SourceError, match="is empty"):
            await pool.isolated(9, call(refuse))
        assert await pool.isolated(9, call(where)) == "a"
    assert len(cluster.actors) == 1


async def test_a_picture_that_kills_three_actors_fails_and_the_next_is_made() -> None:
    cluster = FakeCluster(a=2)
    async with cluster.pool() as pool:
        with pytest.raises(WorkFailed, match="made each of 3 processes that worked on it end: for want of memory"):
            await pool.isolated(9, call(poison))
        assert sum(actor.dead.is_set() for actor in cluster.actors) == 3
        assert await pool.isolated(9, call(where)) == "a"


async def test_the_death_of_nodes_is_no_fault_of_the_picture_however_many_die() -> None:
    cluster = FakeCluster(**{str(number): 1 for number in range(6)})

    async def removed(actor: FakeActor) -> str:
        if len(cluster.nodes) > 1:
            cluster.remove(actor.node)
            await anyio.sleep_forever()
        return actor.node

    async with cluster.pool() as pool:
        assert await pool.isolated(9, call(removed)) == "5"


async def test_actors_that_died_without_work_are_no_fault_of_the_next_picture() -> None:
    cluster = FakeCluster(a=4)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls, done = Calls(pool, tasks), anyio.Event()

        async def wait(actor: FakeActor) -> None:
            await done.wait()

        for number in range(4):
            calls.begin(number, wait)
        await settled()
        done.set()
        await cluster.passes(2)
        for actor in cluster.alive():
            actor.kill()
        assert await pool.isolated(9, call(where)) == "a"
        assert (len(cluster.actors), pool.at_once) == (5, 1)


async def test_an_actor_out_of_reach_is_asked_again_once_it_is_back() -> None:
    cluster, asked = FakeCluster(a=1), list[FakeActor]()

    async def breaks(actor: FakeActor) -> str:
        asked.append(actor)
        if len(asked) < 5:
            raise Silent
        return "made"

    async with cluster.pool() as pool:
        assert await pool.isolated(9, call(breaks)) == "made"
    assert asked == cluster.actors * 5


async def test_work_that_takes_too_long_ends_its_actor_and_fails_its_picture() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        calls.begin(1, forever, 5)
        await cluster.passes(4)
        assert calls.ended == {}
        await cluster.passes(1)
        assert str(calls.ended[1]) == "was given up after 5 seconds of work: save it anew as PNG or JPEG"
        assert await pool.isolated(9, call(where)) == "a"


async def test_a_network_that_stalls_for_a_minute_fails_no_picture() -> None:
    cluster, back = FakeCluster(a=1), anyio.Event()

    async def answers_late(actor: FakeActor) -> str:
        actor.back = back
        await back.wait()
        await cluster.sleep(1)
        return "made"

    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        calls.begin(1, answers_late, 5)
        await cluster.passes(60)
        assert calls.ended == {}
        back.set()
        await cluster.passes(2)
        assert calls.ended == {1: "made"}
    assert len(cluster.actors) == 1


async def test_a_picture_that_makes_three_actors_deaf_fails() -> None:
    async def deaf(actor: FakeActor) -> None:
        actor.back = anyio.Event()
        await anyio.sleep_forever()

    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        calls.begin(1, deaf, 5)
        await cluster.passes(3 * 65 + 3)
        assert isinstance(calls.ended[1], WorkFailed)
    assert len(cluster.actors) == 3


async def test_a_node_that_leaves_finishes_what_it_does_and_gets_nothing_more() -> None:
    cluster, finish = FakeCluster(a=1), {"a": anyio.Event(), "b": anyio.Event()}

    async def long(actor: FakeActor) -> str:
        await finish[actor.node].wait()
        return actor.node

    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        calls.begin(1, long)
        await settled()
        cluster.nodes = {"b": 1}  # `a` is being drained
        calls.begin(2, long)
        await cluster.passes(4)
        calls.begin(3, where)
        finish["a"].set()
        await settled()
        assert calls.ended == {1: "a"}
        assert [actor.node for actor in cluster.alive() if actor.node] == ["b"]
        finish["b"].set()
        await settled()
        assert calls.ended == {1: "a", 2: "b", 3: "b"}


async def test_nodes_are_asked_for_while_calls_wait_and_let_go_afterwards() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls, done = Calls(pool, tasks), anyio.Event()

        async def wait(actor: FakeActor) -> None:
            await done.wait()

        for number in range(8):
            calls.begin(number, wait)
        await cluster.passes(4)
        assert (pool.at_once, sum(not actor.node for actor in cluster.alive())) == (1, 1)
        cluster.nodes["b"] = 3  # that is what an autoscaler does with it
        cluster.place()
        await cluster.passes(8)
        assert pool.at_once == 4
        assert sum(not actor.node for actor in cluster.alive()) == 4
        done.set()
        await cluster.passes(2)
        assert len(calls.ended) == 8
        assert all(actor.node for actor in cluster.alive())  # nobody asks for more nodes
        await cluster.passes(70)
        assert pool.at_once == len(cluster.alive()) == 1


async def test_another_version_on_a_node_is_refused_with_both() -> None:
    cluster = FakeCluster(a=1)
    cluster.versions = ["0.9", "3.9.2"]
    with pytest.raises(SettingsError) as refused:
        async with cluster.pool():
            pass
    assert str(refused.value) == (
        "node 10.0.0.a has batch-removebg 0.9 with Python 3.9.2, this machine batch-removebg 1.0 with Python "
        f"{HERE[1]}: install the same there"
    )


async def test_a_node_that_cannot_get_ready_is_named_with_the_reason() -> None:
    def load() -> tuple[()]:
        raise SettingsError("u2netp isn't on this machine")

    cluster = FakeCluster(a=1)
    with pytest.raises(SettingsError, match=r"^node 10\.0\.0\.a: u2netp isn't on this machine$"):
        async with cluster.pool(load):
            pass


async def test_a_cluster_that_is_gone_ends_all_calls_alike() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        for number in range(5):
            calls.begin(number, forever)
        await cluster.passes(1)
        cluster.lost = True
        cluster.remove("a")
        await cluster.passes(3)
        assert [type(error) for error in calls.ended.values()] == [ClusterLost] * 5
        assert len({id(error) for error in calls.ended.values()}) == 5


async def test_a_head_that_does_not_answer_for_30_seconds_ends_what_waits_and_what_is_in_work() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        for number in range(3):
            calls.begin(number, forever)
        cluster.hangs = True
        await cluster.passes(29)
        assert calls.ended == {}
        await cluster.passes(1)
        assert [type(calls.ended[number]) for number in range(3)] == [ClusterLost] * 3


async def test_a_hurry_leaves_each_call_three_seconds_and_closing_none() -> None:
    cluster = FakeCluster(a=2)
    async with cluster.pool() as pool, anyio.create_task_group() as tasks:
        calls = Calls(pool, tasks)
        calls.begin(1, forever)
        await cluster.passes(2)
        pool.hurry()
        await cluster.passes(2)
        assert calls.ended == {}
        await cluster.passes(1)
        assert isinstance(calls.ended[1], Stopping)
        calls.begin(2, forever)
        await settled()
        pool.close()
        await settled()
        assert isinstance(calls.ended[2], Stopping)
    assert cluster.alive() == []


async def test_actors_that_are_idle_outlive_a_hurry_for_what_is_still_to_be_saved() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool:
        pool.hurry()
        await cluster.passes(9)
        assert await pool.isolated(9, call(where)) == "a"
    assert len(cluster.actors) == 1


async def test_a_cluster_without_room_is_refused_after_a_while() -> None:
    cluster = FakeCluster(a=0)

    async def wait() -> None:
        await cluster.passes(600)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        with pytest.raises(SettingsError, match="no node of the Ray cluster has had room"):
            async with cluster.pool():
                pass


async def test_a_call_that_is_cancelled_ends_its_actor() -> None:
    cluster = FakeCluster(a=1)
    async with cluster.pool() as pool:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pool.isolated, 9, call(forever))
                await settled()
                scope.cancel()
        assert cluster.alive() == []
        assert await pool.isolated(9, call(where)) == "a"


async def test_the_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(SourceError, match="is empty"):
        async with FakeCluster(a=1).pool():
            raise SourceError("is empty")


class Refused(Exception):
    """As Ray has it."""


@pytest.mark.parametrize("error", [ConnectionError, Refused])
def test_a_cluster_that_does_not_let_us_in_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def init(address: str, **how: Any) -> None:
        raise error(f"no token\n for {address}")

    worker = SimpleNamespace(print_to_stdstream=None)
    found = SimpleNamespace(
        init=init, exceptions=SimpleNamespace(RayError=Refused), _private=SimpleNamespace(worker=worker)
    )
    monkeypatch.setitem(__import__("sys").modules, "ray", found)
    line = (
        r"^--workers head:6379: no token for head:6379; a cluster that wants a token needs RAY_AUTH_MODE=token, and its"
    )
    with pytest.raises(SettingsError, match=line), joined("head:6379", 0):
        pass


def test_without_ray_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SettingsError, match=r"--workers ray needs Ray: pip install '\.\[ray\]'"), joined("ray", 0):
        pass
