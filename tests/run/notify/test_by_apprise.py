"""Apprise, in a process of its own: a package in its place takes what is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch_removebg.clock import Clock
from batch_removebg.run.notify.rules import Notify
from batch_removebg.run.notify.targets import PACE, Message, Pace, Targets

pytestmark = pytest.mark.anyio
URL = "tgram://c4n4ry/1"
PACKAGE = """
import json, pathlib, sys, time
class Apprise:
    def add(self, url):
        self.url = url
        print(url, file=sys.stderr)
        return "://" in url
    def notify(self, **given):
        pathlib.Path("told.json").write_text(json.dumps([self.url, given, sys.argv]))
        {what}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    monkeypatch.setenv("CHAT", URL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("what", "pace", "problem"),
    [
        ("return True", PACE, ""),
        ("return False", PACE, "not every service took it; `apprise -vv` with the same URL says why"),
        ("raise ValueError(self.url)", PACE, "not every service took it; `apprise -vv` with the same URL says why"),
        ("time.sleep(100)", Pace(command=2.0), "it took longer than 2 s"),
    ],
)
async def test_its_services_get_title_text_and_kind_and_the_url_is_in_no_argument(
    place: Path, capfd: pytest.CaptureFixture[str], what: str, pace: Pace, problem: str
) -> None:
    (place / "apprise.py").write_text(PACKAGE.format(what=what))
    targets = Targets(Notify(apprise=("env:CHAT",)), place, False, Clock(), pace)
    message = Message("run.finished", "batch-removebg out: 1 failed", "a\nb", {"exit_code": 3})
    assert await targets.people(message)["apprise env:CHAT"]() == problem
    url, given, argv = json.loads((place / "told.json").read_text())
    assert (url, given) == (URL, {"title": message.title, "body": "a\nb", "notify_type": "failure"})
    assert URL not in str(argv)
    assert capfd.readouterr() == ("", "")
