"""The recipes of samples/deploy in Airflow and Prefect themselves, against a simulated API; the Dockerfile's lint."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.storage.layout import STATE
from batch_removebg.storage.lock import locked
from tests.support.fake_api import FakeApi

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "samples" / "deploy"
AIRFLOW, PREFECT = ROOT / ".venv-airflow" / "bin", ROOT / ".venv-prefect" / "bin"
FEED, KEY = ROOT / "samples" / "catalogue.csv", "s3cret-of-the-night"

pytestmark = [pytest.mark.deploy, pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(gateway=True, key=KEY) as api:
        yield api


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables of a process that finds the command, as another program on the PATH."""
    command = tmp_path / "bin" / "batch-removebg"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m batch_removebg "$@"\n', "utf-8")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "PYTHONPATH": "", "DO_NOT_TRACK": "1"}


async def ended(command: list[str | Path], environment: dict[str, str]) -> tuple[int, str]:
    """The exit code of a process, and all that it has said."""
    with anyio.fail_after(200):  # Airflow waits ten minutes, and tries a task again that has failed
        done = await anyio.run_process(command, env=environment, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


async def test_airflow_runs_the_job_and_has_its_counts_and_skips_it_while_another_runs(
    api: FakeApi, environment: dict[str, str], tmp_path: Path
) -> None:
    connection = {"conn_type": "http", "host": api.base, "password": KEY}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_GATEWAY": json.dumps(connection),
    }
    out = tmp_path / "it's $(out)"
    code, said = await ended([AIRFLOW / "airflow", "db", "migrate"], environment)
    assert code == 0, said
    params = json.dumps({"feed": str(FEED), "out": str(out)})
    run = [
        AIRFLOW / "airflow",
        "dags",
        "test",
        "cutouts",
        "--conf",
        params,
        "--dagfile-path",
        DEPLOY / "airflow_dag.py",
    ]
    code, said = await ended(run, environment)
    assert code == 0, said
    assert KEY not in said
    with locked(out / STATE, clock=Clock()):
        code, said = await ended(run, environment)
    assert code == 0, said
    with sqlite3.connect(tmp_path / "airflow" / "airflow.db") as database:
        states = database.execute("SELECT state FROM task_instance ORDER BY start_date").fetchall()
        [(value,)] = database.execute("SELECT value FROM xcom WHERE key = 'return_value'").fetchall()
    assert states == [("success",), ("skipped",)]
    assert '"saved": 5' in value
    assert len(api.bill) == 5


_FLOW = """
import json, sys
from prefect.testing.utilities import prefect_test_harness
from prefect_flow import cutouts
with prefect_test_harness(server_startup_timeout=120):
    for feed, out in zip(sys.argv[2::2], sys.argv[3::2]):
        try:
            print("said", json.dumps(cutouts(feed, out, sys.argv[1])["counts"]))
        except RuntimeError as error:
            print("said", error)
"""


async def test_prefect_runs_the_job_and_has_its_counts_and_fails_where_items_have_failed(
    api: FakeApi, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": str(DEPLOY),
        "GATEWAY_KEY": KEY,
    }
    bad = tmp_path / "bad.csv"
    bad.write_text("image\nnowhere.jpg\n", "utf-8")
    jobs = [str(FEED), str(tmp_path / "out"), str(bad), str(tmp_path / "bad")]
    code, said = await ended([PREFECT / "python", "-c", _FLOW, api.base, *jobs], environment)
    assert code == 0, said
    assert KEY not in said
    assert [line.removeprefix("said ") for line in said.splitlines() if line.startswith("said ")] == [
        '{"total": 5, "saved": 5, "failed": 0, "pending": 0}',
        f"1 items failed: batch-removebg status {tmp_path / 'bad'}",
    ]
    assert len(api.bill) == 5


_TOO_LONG = """
import subprocess, prefect_flow
prefect_flow.LONGEST = 1.0
try:
    prefect_flow.run.fn("feed", "out")
except subprocess.TimeoutExpired:
    print("in time")
"""


async def test_prefect_stops_a_job_that_takes_too_long_as_one_may_be_stopped(
    environment: dict[str, str], tmp_path: Path
) -> None:
    lasting = "#!/bin/sh\ntrap 'echo ended; exit 143' TERM\nwhile :; do sleep 0.05; done\n"
    (tmp_path / "bin" / "batch-removebg").write_text(lasting, "utf-8")
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(DEPLOY)}
    code, said = await ended([PREFECT / "python", "-c", _TOO_LONG], environment)
    assert (code, said.split("\n")[-3:]) == (0, ["ended", "in time", ""]), said


async def test_the_dockerfile_has_no_lint() -> None:
    assert await ended([PREFECT / "hadolint", DEPLOY / "Dockerfile"], dict(os.environ)) == (0, "")
