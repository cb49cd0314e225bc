"""The units of samples/deploy under a systemd that runs, set up by the commands in their README."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import anyio
import pytest

from tests.support.fake_api import FakeApi
from tests.support.machine import Machine, booted

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "samples" / "deploy"
TREE = ROOT / ".venv-machine"
KEY = "s3cret-of-the-night"
NIGHT, SERVE, WATCH = (f"batch-removebg-{name}.service" for name in ("night", "serve", "watch"))
TIMER = "batch-removebg-night.timer"

pytestmark = [pytest.mark.deploy, pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One in which README's commands have been carried out, from a checkout in /src."""
    if not (TREE / ".python").exists():
        pytest.skip("`make test-deploy` makes the machine for root, where debootstrap and systemd-nspawn are")
    text = (DEPLOY / "README.md").read_text("utf-8").partition("\n## systemd\n")[2].partition("\n## ")[0]
    commands = "\n".join(re.findall("^    (.*)$", text, re.MULTILINE))
    with booted(TREE, f"{ROOT}:/src") as machine:
        script = f'set -eu; sudo() {{ "$@"; }}; cd /src\n{commands}'
        set_up = machine.inside("sh", "-c", script)
        done = subprocess.run(set_up, input=KEY.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()
        yield machine


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(gateway=True, key=KEY) as api:
        yield api


async def edit(machine: Machine, unit: str, **changes: str) -> None:
    """Put our addresses and figures in the place of a sample's: `was=now`, each in all places."""
    text = (DEPLOY / "systemd" / unit).read_text("utf-8")
    for was, now in changes.items():
        assert was in text
        text = text.replace(was, now)
    await machine.write(f"/etc/systemd/system/{unit}", text)
    await machine.does("systemctl", "daemon-reload")


async def job(machine: Machine, api: FakeApi, out: str, *options: str) -> None:
    """Let the night's job be over samples/catalogue.csv, by the simulated API."""
    ours = {
        "https://shop.example/feed.csv --out /srv/cutouts": f"/src/samples/catalogue.csv --out {out}",
        "https://gateway.example/replicate/v1": api.base,
        "{sku}": "{id}",
        "--max-cost 2": " ".join(["--max-cost 2", *options]),
    }
    await edit(machine, NIGHT, **ours)


async def saved(machine: Machine, out: str) -> int:
    counts = json.loads(await machine.does("cat", f"{out}/results.json"))["counts"]
    return int(counts["saved"])


async def test_every_night_between_two_and_ten_past_is_the_next_one(machine: Machine) -> None:
    assert re.search(r" 02:(0\d|10):\d\d ", (await machine.state(TIMER))["NextElapseUSecRealtime"])


async def test_the_timer_starts_the_job_whose_key_is_in_no_log_and_no_setting(machine: Machine, api: FakeApi) -> None:
    await job(machine, api, "/srv/cutouts")
    await edit(machine, TIMER, **{"*-*-* 02:00": "*:*:*\nAccuracySec=1", "10min": "0"})
    await machine.does("systemctl", "restart", TIMER)
    await machine.file("/srv/cutouts/results.json")
    await machine.does("systemctl", "stop", TIMER)
    ended = await machine.until(NIGHT, ActiveState="inactive")
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    assert (len(api.bill), await saved(machine, "/srv/cutouts")) == (5, 5)
    assert await machine.does("stat", "-c", "%U", "/srv/cutouts/OATS-500.png") == "batch-removebg"
    log = await machine.does("journalctl", "--no-pager", "-u", NIGHT)
    assert "batch-removebg[" in log
    assert KEY not in log + str(ended)


async def test_a_job_that_is_out_of_time_has_not_failed(machine: Machine, api: FakeApi) -> None:
    await job(machine, api, "/srv/cutouts/late", "--max-runtime 9s")
    await machine.does("systemctl", "start", NIGHT)
    ended = await machine.state(NIGHT)
    assert (ended["Result"], ended["ExecMainStatus"], api.bill) == ("success", "5", [])


async def test_a_job_that_is_stopped_saves_what_is_paid_for_and_has_not_failed(machine: Machine, api: FakeApi) -> None:
    api.polls = 1_000_000
    await job(machine, api, "/srv/cutouts/stopped")
    await machine.does("systemctl", "start", "--no-block", NIGHT)
    while not api.asked("GET", "/predictions/*"):  # noqa: ASYNC110  # the API has no event for it
        await anyio.sleep(0.05)
    await machine.does("systemctl", "stop", "--no-block", NIGHT)
    await machine.until(NIGHT, ActiveState="deactivating")
    for made in api.bill:
        made.polls = 0
    ended = await machine.until(NIGHT, ActiveState="inactive")
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "143")
    assert await saved(machine, "/srv/cutouts/stopped") == len(api.bill)


async def test_serve_downloads_its_weights_is_started_again_where_it_hangs_and_stops(machine: Machine) -> None:
    await edit(machine, SERVE, **{"WatchdogSec=60": "WatchdogSec=2", "RestartSec=5": "RestartSec=0"})
    await machine.does("systemctl", "enable", "--now", SERVE)  # what isn't enabled is forgotten once it has ended
    assert (await machine.state(SERVE))["StatusText"] == "listening on http://127.0.0.1:5055/v1"
    async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:5055/healthz") as answer:
        assert (await answer.json())["ok"] is True
    await anyio.sleep(5)  # twice what it is given to say that it lives
    assert (await machine.state(SERVE))["NRestarts"] == "0"
    await machine.does("systemctl", "kill", "--signal=STOP", "--kill-whom=main", SERVE)
    await machine.until(SERVE, ActiveState="active", NRestarts="1")
    await machine.does("systemctl", "stop", SERVE)
    ended = await machine.state(SERVE)
    assert (ended["ActiveState"], ended["Result"], ended["StatusText"]) == ("inactive", "success", "finishing")


async def test_watch_cuts_out_what_arrives_and_another_one_on_the_same_folder_ends(machine: Machine) -> None:
    await edit(machine, WATCH, **{"--memory 1024": "--memory 1024 --class fast"})
    await machine.does("systemctl", "enable", "--now", WATCH)
    await machine.does("cp", "/src/samples/photos/oats.jpg", "/srv/incoming")
    await machine.file("/srv/outgoing/oats.png")
    assert await machine.does("stat", "-c", "%U", "/srv/outgoing/oats.png") == "batch-removebg"
    other = WATCH.replace("watch", "watch2")
    await machine.does("cp", f"/etc/systemd/system/{WATCH}", f"/etc/systemd/system/{other}")
    await machine.does("systemctl", "start", other, expected=1)
    ended = await machine.until(other, ActiveState="failed")
    assert (ended["ExecMainStatus"], ended["NRestarts"]) == ("11", "0")
    await machine.does("systemctl", "stop", WATCH)
    ended = await machine.state(WATCH)
    assert (ended["ActiveState"], ended["Result"], ended["StatusText"]) == ("inactive", "success", "finishing")
