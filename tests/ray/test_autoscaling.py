"""A cluster that scales by itself, its nodes faked on this machine by Ray: it grows while calls wait, then shrinks."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from batch_removebg import __version__
from batch_removebg.workers import ray_pool
from batch_removebg.workers.ray_pool import RayPool
from tests.ray.test_cluster import left, processes

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.crash,
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif("BATCH_REMOVEBG_LONG" not in os.environ, reason="make test-ray runs it"),
]
STORE = 80_000_000
START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--include-dashboard=false"]
FAKE = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_USAGE_STATS_ENABLED": "0"}
HEAD = "ray.head.default"  # under another name it counts as one of the others
MORE = {"resources": {"CPU": 1, "object_store_memory": STORE}, "node_config": {}, "min_workers": 0, "max_workers": 2}


def scaling(address: str) -> dict[str, Any]:
    """For a node and two more while these have work; Ray's own `AutoscalingCluster` ends all Rays of a machine."""
    names = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    alone = dict.fromkeys(("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check"), True)
    return {
        "cluster_name": "fake",
        "provider": {"type": "fake_multinode", "gcs_address": address, **alone},
        "head_node_type": HEAD,
        "available_node_types": {HEAD: {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0}, "more": MORE},
        "max_workers": 2,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{f"{name}_commands": [] for name in names},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }


@pytest.fixture
def address() -> Iterator[str]:
    from ray._private.services import get_node_ip_address

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = f"{get_node_ip_address()}:{port}"
    with TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as place:
        (config := Path(place) / "scaling.json").write_text(json.dumps(scaling(where)))
        flags = [f"--port={port}", "--num-cpus=1", f"--object-store-memory={STORE}", f"--temp-dir={place}"]
        command = [*START, *flags, f"--autoscaling-config={config}"]
        with Popen(command, stdout=PIPE, stderr=STDOUT, text=True, env={**os.environ, **FAKE}, process_group=0) as head:
            try:
                assert head.stdout
                assert any("will now block" in line for line in head.stdout), "Ray doesn't start"
                yield where
            finally:
                ended = processes(head.pid)
                os.killpg(head.pid, signal.SIGKILL)
                assert left(ended) == set()  # before its folder is removed


def work() -> str:
    """Its node."""
    import ray

    time.sleep(1)
    return str(ray.get_runtime_context().get_node_id())


async def test_nodes_are_added_while_calls_wait_and_go_once_they_are_idle(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "_IDLE", 5)
    given: list[str] = []
    with anyio.fail_after(200):
        async with RayPool.opened(address, version=__version__) as pool:

            async def some() -> None:
                while len(given) < 60 or len(set(given)) < 3:
                    given.append(await pool.isolated(60, work))

            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(some)
            most = pool.at_once
            while len(await pool._cluster.rooms()) == 3:  # noqa: ASYNC110  # Ray takes them away
                await anyio.sleep(1)
            assert (len(set(given)), most, pool.at_once) == (3, 3, 1)
