"""A head that is killed in mid-run: the run says what to do, and once there is a head again it goes on."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.crash.bench import Crashes, saved_lines
from tests.support.fake_api import FakeApi

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.crash,
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.skipif("BATCH_REMOVEBG_LONG" not in os.environ, reason="make test-ray runs it"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
ITEMS = 40
WHAT_TO_DO = "stopped: the Ray cluster is gone or has been restarted: once it is back, run the same command again"
NOISE = re.compile(r"Traceback|\*\*\*|^\[\d{4}-\d\d-\d\d ", re.MULTILINE)


def head(port: int) -> Any:
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80_000_000, "include_dashboard": False}
    return Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "gcs_server_port": port, **store})


@pytest.mark.parametrize("back", ["while the run goes on", "after the run"])
async def test_a_run_whose_head_is_killed_says_what_to_do_and_the_same_command_finishes(
    tmp_path: Path, back: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with FakeApi() as api:
        cluster = head(port)
        flags = ("--workers", cluster.address, "--concurrency", "8", "--fetch-sources")
        bench = Crashes(tmp_path, api, flags=flags, deadline=100)
        bench.prepare(ITEMS)
        ledger = bench.out / "ledger.jsonl"
        async with bench.begun() as process:
            while len(saved_lines(ledger)) < ITEMS // 4:  # noqa: ASYNC110  # another process writes it
                await anyio.sleep(0.05)
            cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
            if back == "while the run goes on":
                cluster = head(port)
            code, said = await bench.ended(process)
        if back == "after the run":
            cluster = head(port)
        try:
            assert (code, said.count(WHAT_TO_DO), NOISE.findall(said)) == (4, 1, []), said
            await bench.finish(ITEMS)
        finally:
            cluster.shutdown()
    assert {*Counter(name for name, _ in saved_lines(ledger)).values()} == {1}
