"""A whole night of jobs by a clock that is ours: who hears of what, and when, and what is written in the end."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal

from batch_removebg.cli import jobs
from batch_removebg.errors import OutOfCredit, PredictionFailed
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.run import batch, night
from batch_removebg.run.options import CONFIG
from tests.support.doubles import FakeClock, ScriptedProvider, Step
from tests.support.receiver import receiver
from tests.support.shop import Said, provider, said, shop

__all__ = ["provider", "said", "shop"]

TEN = datetime(2026, 6, 1, 22, tzinfo=UTC).timestamp()
JOBS = """
provider = "replicate"
base-url = "http://127.0.0.1:9/v1"
concurrency = 1
allow-private = true
summary = "night.json"
metrics = "night.prom"

[notify]
ping = "env:PING"
webhook = "env:HOOK"
webhook-secret = "env:SIGNING"
command = ["{python}", "tell.py"]

[[job]]
name = "shoes"
inputs = ["in"]
out = "shoes"

[[job]]
name = "bags"
inputs = ["in"]
out = "bags"

[[job]]
name = "hats"
inputs = ["in"]
out = "hats"

[[job]]
name = "lamps"
inputs = ["in"]
out = "lamps"
until = "06:00"
"""
CLOSED = "--until 06:00: what begins now would not be done by then (30 s are set aside)"
TELL = """
import sys, urllib.request
told = urllib.request.Request("{url}/command", sys.stdin.buffer.read(), {{"Content-Type": "application/json"}})
urllib.request.urlopen(told).close()
"""


@dataclass
class Heard:
    """What came to the receiver: when, where, and of which job."""

    time: FakeClock
    url: str = ""
    lines: list[tuple[str, str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        told = json.loads(await request.read()) if request.path in ("/hook", "/command") else {}
        data = told.get("data", told)
        about = f"{Path(data['out']).name} {told.get('type', data.get('exit_code'))}" if data else ""
        self.lines.append((f"{datetime.fromtimestamp(self.time.now, UTC):%H:%M}", request.path, about))
        return web.Response()

    def told(self) -> list[tuple[str, set[str]]]:
        """What was told at the same time, but for that a run begins."""
        found = list[tuple[str, set[str]]]()
        for time_, path, about in self.lines:
            alone = path == "/ping/start"
            if alone or not found or found[-1][0] != time_ or "/ping/start" in found[-1][1]:
                found.append((time_, set()))
            found[-1][1].add(f"{path} {about}".strip())
        return found


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    made = Heard(FakeClock(TEN, idle=0.02))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for module in (jobs, night, batch):
        monkeypatch.setattr(module, "Clock", lambda: made.time.clock)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(receiver()) as post:
        post.always, made.url = made.answer, post.url
        for name, path in (("PING", "ping"), ("HOOK", "hook")):
            monkeypatch.setenv(name, f"{post.url}/{path}")
        monkeypatch.setenv("SIGNING", "whsec_" + base64.b64encode(bytes(32)).decode())
        yield made
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def slow(provider: ScriptedProvider, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> deque[tuple[float, Step]]:
    """Creates, and how many minutes each takes."""
    script, create = deque[tuple[float, Step]](), provider.create

    async def later(request: CreateRequest) -> Prediction:
        minutes, step = script.popleft()
        heard.time.now += 60 * minutes - 1
        await heard.time.sleep(1)  # who waits for something in these minutes has their turn
        provider.script.append(step)
        return await create(request)

    monkeypatch.setattr(provider, "create", later)
    return script


def test_a_night_of_jobs_tells_each_of_its_own_at_its_time_and_ends_with_the_gravest(
    shop: Path, provider: ScriptedProvider, said: Said, heard: Heard, slow: deque[tuple[float, Step]]
) -> None:
    Path(CONFIG).write_text(JOBS.format(python=sys.executable))
    Path("tell.py").write_text(TELL.format(url=heard.url))
    fine, wrong, credit = provider.succeed, PredictionFailed("no product"), OutOfCredit("no credit is left")
    slow.extend([*[(60, fine)] * 3, (30, fine), (30, wrong), (30, fine), (15, credit), *[(97.4, fine)] * 3])
    code, out, err = said("jobs")
    assert (code, out.split()) == (4, [f"{name}/results.json" for name in ("shoes", "bags", "hats", "lamps")])
    assert err.splitlines()[-5:] == [
        "shoes     exit code 0  3 saved, 0 failed; see shoes/results.json",
        "bags      exit code 3  2 saved, 1 failed; see bags/results.json",
        "hats      exit code 4  0 saved, 0 failed, 3 pending; no credit is left; see hats/results.json",
        f"lamps     exit code 5  2 saved, 0 failed, 1 pending; {CLOSED}; see lamps/results.json",
        "all jobs  exit code 4",
    ]
    assert heard.told() == [
        ("22:00", {"/ping/start"}),
        ("01:00", {"/ping"}),
        ("01:00", {"/ping/start"}),
        ("02:30", {"/ping/3", "/hook bags run.finished", "/command bags 3"}),
        ("02:30", {"/ping/start"}),
        ("02:45", {"/ping/fail", "/hook hats run.aborted", "/command hats 4", "/ping/4"}),
        ("02:45", {"/ping/start"}),
        ("05:59", {"/ping"}),
    ]
    assert [(one["out"], one["exit_code"], one["saved"], one["failed"], one["pending"]) for one in summaries()] == [
        ("shoes", 0, 3, 0, 0),
        ("bags", 3, 2, 1, 0),
        ("hats", 4, 0, 0, 3),
        ("lamps", 5, 2, 0, 1),
    ]
    codes = {"shoes": 0.0, "bags": 3.0, "hats": 4.0, "lamps": 5.0}
    assert (metric("exit_code"), metric("last_success_timestamp_seconds").keys()) == (codes, {"shoes"})
    assert metric("run_duration_seconds")["lamps"] == pytest.approx(2 * 97.4 * 60, abs=30)


def summaries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path("night.json").read_text())
    return found


def metric(name: str) -> dict[str, float]:
    """By job."""
    lines = re.findall(rf'^batchremovebg_{name}{{job="(\w+)".*}} (\S+)$', Path("night.prom").read_text(), re.MULTILINE)
    return {job: float(value) for job, value in lines}
