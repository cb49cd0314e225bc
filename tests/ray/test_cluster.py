"""Faults of a real cluster, of several nodes on this machine: each call is answered, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import anyio.to_thread
import pytest

from batch_removebg import __version__
from batch_removebg.errors import SettingsError, WorkFailed
from batch_removebg.workers.ray_cluster import joined
from batch_removebg.workers.ray_pool import RayPool

pytest.importorskip("ray")
ROOT = Path(__file__).parents[2]
DRIVER = [sys.executable, str(Path(__file__).with_name("driver.py"))]
pytestmark = [
    pytest.mark.crash,
    pytest.mark.anyio,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
long = pytest.mark.skipif("BATCH_REMOVEBG_LONG" not in os.environ, reason="make test-ray runs it")
STORE = {"object_store_memory": 80_000_000, "include_dashboard": False}
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6}


@pytest.fixture(scope="module", autouse=True)
def paths() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def cluster(paths: None) -> Iterator[Any]:
    """A head without room for actors."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": QUICK, **STORE})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def node(cluster: Any) -> Iterator[Any]:
    """A node with room for two."""
    node = cluster.add_node(num_cpus=2, **STORE)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@asynccontextmanager
async def opened(cluster: Any) -> AsyncIterator[RayPool]:
    with anyio.fail_after(100):
        async with RayPool.opened(cluster.address, version=__version__) as pool:
            yield pool


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def work(seconds: float) -> tuple[int, int]:
    """The actor's process, and that of its node."""
    time.sleep(seconds)
    return os.getpid(), os.getppid()


async def made(pool: RayPool, calls: int, seconds: float, then: Any = None) -> list[tuple[int, int]]:
    """What so many calls give; after a third of them something else happens."""
    given: list[tuple[int, int]] = []
    third = anyio.Event()

    async def one() -> None:
        given.append(await pool.isolated(30, work, seconds))
        if len(given) >= calls // 3:
            third.set()

    async with anyio.create_task_group() as tasks:
        for _ in range(calls):
            tasks.start_soon(one)
        await third.wait()
        if then is not None:
            await then()
    return given


async def test_60_calls_survive_a_node_that_is_removed_without_notice(cluster: Any, node: Any) -> None:
    lost = cluster.add_node(num_cpus=2, **STORE)
    both = {raylet(node), raylet(lost)}

    async def remove() -> None:
        await anyio.to_thread.run_sync(lambda: cluster.remove_node(lost, allow_graceful=False))

    async with opened(cluster) as pool:
        given = await made(pool, 60, 0.2, remove)
    assert (len(given), {where for _, where in given} - {1}) == (60, both)  # 1: its node had died before it


async def test_40_calls_survive_5_actors_that_are_killed(cluster: Any, node: Any) -> None:
    killed = set()

    async with opened(cluster) as pool:

        async def kill() -> None:
            while len(killed) < 5:
                process, _ = await pool.isolated(30, work, 0.01)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)
                await anyio.sleep(0.2)

        given = await made(pool, 40, 0.2, kill)
    assert (len(given), len(killed)) == (40, 5)


async def test_a_call_that_kills_its_actor_fails_after_3_and_40_others_are_answered(cluster: Any, node: Any) -> None:
    async with opened(cluster) as pool:

        async def poison() -> None:
            with pytest.raises(WorkFailed, match="made each of 3 processes"):
                await pool.isolated(30, os._exit, 1)

        assert len(await made(pool, 40, 0.1, poison)) == 40


@long
async def test_a_call_that_takes_too_long_fails_and_20_others_are_answered(cluster: Any, node: Any) -> None:
    async with opened(cluster) as pool:

        async def hang() -> None:
            with pytest.raises(WorkFailed, match="was given up after 2 seconds"):
                await pool.isolated(2, time.sleep, 99)

        assert len(await made(pool, 20, 0.1, hang)) == 20


async def test_an_actor_out_of_reach_for_longer_than_its_time_answers_in_the_end(cluster: Any, node: Any) -> None:
    async with opened(cluster) as pool, anyio.create_task_group() as tasks:
        process, _ = await pool.isolated(30, work, 0)
        given = []

        async def one() -> None:
            given.append(await pool.isolated(2, work, 1))

        tasks.start_soon(one)
        await anyio.sleep(0.5)
        os.kill(process, signal.SIGSTOP)
        await anyio.sleep(10)
        assert given == []
        os.kill(process, signal.SIGCONT)
    assert given == [(process, raylet(node))]


@long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("all_of_it", [True, False])
async def test_60_calls_survive_a_minute_in_which_a_node_or_its_actors_are_out_of_reach(
    cluster: Any, node: Any, all_of_it: bool
) -> None:
    """Processes that are stopped stand for a network that stalls: connections stay open, and nothing comes."""
    other = cluster.add_node(num_cpus=2, **STORE)
    given: list[tuple[int, int]] = []
    with anyio.fail_after(200):
        async with RayPool.opened(cluster.address, version=__version__) as pool, anyio.create_task_group() as tasks:

            async def one() -> None:
                given.append(await pool.isolated(2, work, 0.1))

            stalled = set[int]()
            while not stalled:
                stalled = {process for process, where in await made(pool, 40, 0.1) if where == raylet(other)}
            stalled |= {raylet(other)} if all_of_it else set()
            for process in stalled:
                os.kill(process, signal.SIGSTOP)
            for _ in range(60):
                tasks.start_soon(one)
            await anyio.sleep(60)
            for process in stalled:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
    assert (len(given), {where for _, where in given} - {raylet(other)}) == (60, {raylet(node)})
    cluster.remove_node(other, allow_graceful=False)


def test_a_machine_without_a_gpu_is_refused_where_actors_want_a_share_of_one() -> None:
    with pytest.raises(SettingsError, match="Ray sees no GPU on this machine"), joined("ray", 0.125):
        pass


@long
async def test_a_node_that_is_drained_finishes_its_call_and_30_go_elsewhere(cluster: Any, node: Any) -> None:
    from ray._raylet import GcsClient

    leaving = cluster.add_node(num_cpus=1, **STORE)
    async with opened(cluster) as pool, anyio.create_task_group() as tasks:
        long = []

        async def one() -> None:
            long.append(await pool.isolated(60, work, 8))

        for _ in range(3):
            tasks.start_soon(one)
        await anyio.sleep(4)
        deadline = int(1000 * (time.time() + 40))
        reason = 2  # preemption
        GcsClient(address=cluster.address).drain_node(leaving.node_id, reason, "spot", deadline)
        await anyio.sleep(4)
        given = await made(pool, 30, 0.1)
    assert {where for _, where in given} == {raylet(node)}
    assert (len(given), len(long), raylet(leaving) in {where for _, where in long}) == (30, 3, True)
    cluster.remove_node(leaving)


@long
async def test_a_node_that_is_added_while_calls_wait_gets_some_of_80(cluster: Any, node: Any) -> None:
    added = []

    async def add() -> None:
        added.append(cluster.add_node(num_cpus=2, **STORE))

    async with opened(cluster) as pool:
        given = await made(pool, 80, 0.3, add)
        most = pool.at_once
    assert (len(given), {where for _, where in given}, most) == (80, {raylet(node), raylet(added[0])}, 4)
    cluster.remove_node(added[0])


async def test_another_version_is_refused_with_both(cluster: Any, node: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^node \S+ has batch-removebg {__version__} .* 0\.0 with"):
        async with RayPool.opened(cluster.address, version="0.0"):
            pass


def test_no_process_of_a_cluster_of_its_own_outlives_a_driver_that_is_killed() -> None:
    driver, actors = busy("ray")
    session = processes(driver.pid)
    driver.kill()
    driver.wait()
    assert (len(actors) > 0, len(session) > len(actors)) == (True, True)
    assert left(session | actors) == set()


@long
def test_no_actor_outlives_a_driver_that_is_killed(cluster: Any, node: Any) -> None:
    driver, actors = busy(cluster.address)
    driver.kill()
    driver.wait()
    assert left(actors) == set()


@long
def test_a_head_that_is_killed_ends_the_run_with_what_to_do(paths: None) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **STORE})
    try:
        driver, _ = busy(cluster.address)
        cluster.head_node.all_processes["gcs_server"][0].process.kill()
        told, noise = driver.communicate(timeout=90)
    finally:
        cluster.shutdown()
    assert told.splitlines()[-1].startswith(
        "ended: the Ray cluster is gone or has been restarted: once it is back, run"
    )
    assert (driver.returncode, noise) == (4, "")


@long
def test_100_calls_survive_12_messages_that_are_lost(cluster: Any, node: Any) -> None:
    lost = {
        "CoreWorkerService.grpc_client.PushTask": {"num_failures": 12, "req_failure_prob": 25, "resp_failure_prob": 25}
    }
    driver, _ = busy(cluster.address, calls=100, RAY_testing_rpc_failure=json.dumps(lost))
    driver.kill()
    assert "RpcFailureManager" in driver.communicate()[1]  # they were lost indeed


def busy(address: str, calls: int = 10, **variables: str) -> tuple[subprocess.Popen[str], set[int]]:
    """A driver, and its actors once these have answered so many calls."""
    environment = {**os.environ, **variables}
    driver = subprocess.Popen([*DRIVER, address], stdout=PIPE, stderr=PIPE, text=True, env=environment)
    assert driver.stdout
    return driver, {int(driver.stdout.readline()) for _ in range(calls)}


def processes(parent: int) -> set[int]:
    """All processes below one."""
    parents = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    below = {parent}
    for _ in range(5):
        below |= {int(pid) for pid, above in map(str.split, parents.splitlines()) if int(above) in below}
    return below - {parent}


def left(processes: set[int]) -> set[int]:
    """Those that are still there after ten seconds."""
    for _ in range(50):
        if not (there := {pid for pid in processes if Path(f"/proc/{pid}").exists()}):
            return set()
        time.sleep(0.2)
    return there
