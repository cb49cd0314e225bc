"""What is told of a run, to whom and when; and that telling neither fails nor delays a run."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from batch_removebg.cli.report import closing
from batch_removebg.errors import BatchError, LockedError, ManifestError, OutOfCredit
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.run import batch, night
from batch_removebg.run.night import Extras, told
from batch_removebg.run.notify.notifier import Notifier
from batch_removebg.run.notify.rules import parse
from batch_removebg.run.notify.targets import Pace
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Group, Summary
from tests.support.doubles import FakeClock
from tests.support.receiver import Receiver, receiver
from tests.support.wire import empty, hang, redirect, reset, says

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
QUICK = Pace(request=0.2, command=5.0, each=5.0, quiet=3.0)
Outcome = Callable[[Listener], Awaitable[Summary]]


def summary(out: Path, saved: int = 3, failed: int = 0, stopped: BatchError | None = None, **more: Any) -> Summary:
    failures = (Group("source", failed, (("a", "is empty"),)),) if failed else ()
    return Summary(out, saved, failed, 0, 0, 0, saved, 0, 1.5, failures, stopped, **more)


class Night:
    """Runs whose outcomes are given, told to a receiver as `[notify]` says."""

    def __init__(self, out: Path, post: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        (out / ".batch-removebg").mkdir(parents=True)
        self.out, self.post, self.clock = out, post, FakeClock(idle=0.02)
        self.heard: list[Event] = []
        self.outcome: Summary | BaseException | Outcome = summary(out)
        self.extras, self.started = Extras(), False  # whether runs go on until their start has been told
        self.settings = Settings(out=out, allow_private=True)
        monkeypatch.setattr(batch, "run", self._run)
        monkeypatch.setenv("HOOK", f"{post.url}/hook/c4n4ry")
        monkeypatch.setenv("PING", f"{post.url}/ping/c4n4ry/")
        monkeypatch.setenv("SIGNING", "whsec_" + base64.b64encode(KEY).decode())

    async def _run(self, inputs: object, settings: Settings, *, listener: Listener, **_: object) -> Summary:
        if self.started:
            await self.post.until("/ping/c4n4ry/start")
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        if isinstance(self.outcome, Summary):
            return self.outcome
        return await self.outcome(listener)

    def tell(self, pace: Pace = QUICK, **table: Any) -> None:
        self.extras = Extras(notifier=Notifier(parse(table), closing, self.lines.append, pace))

    @property
    def lines(self) -> list[str]:
        return self.__dict__.setdefault("_lines", [])

    async def run(self, outcome: Summary | BaseException | Outcome | None = None) -> list[str]:
        """The warnings of a run with this outcome."""
        self.outcome = outcome or self.outcome
        self.heard.clear()
        with anyio.fail_after(20):
            ended = await told([], self.settings, self.extras, listener=self.heard.append, clock=self.clock.clock)
        assert ended is self.outcome or callable(self.outcome)
        return [event.text for event in self.heard if event.kind is Kind.WARNING]

    @property
    def waiting(self) -> list[Path]:
        return sorted((self.out / ".batch-removebg" / "outbox").glob("*"))


HOOK = {"webhook": "env:HOOK", "webhook-secret": "env:SIGNING"}


@pytest.fixture
async def shift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Night]:
    async with receiver() as post:
        yield Night(tmp_path / "out", post, monkeypatch)


# When


async def test_each_rule_tells_of_what_it_names_alone(shift: Night) -> None:
    good, flagged = summary(shift.out), summary(shift.out, flags=(Group("hole", 1, (("a", ""),)),))

    async def flags(listener: Listener) -> Summary:
        listener(Event(Kind.SAVED, "a", "a.png", flags=("hole",)))
        return flagged

    runs: list[Any] = [good, summary(shift.out, failed=1), summary(shift.out, failed=1), flags, flagged, good]
    expected = {
        "failure": [0, 1, 0, 0, 0, 0],
        "flagged": [0, 0, 0, 1, 0, 0],
        "change": [0, 1, 0, 1, 0, 1],
        "always": [1, 1, 1, 1, 1, 1],
    }
    for rule, counts in expected.items():
        shift.tell(on=rule, **HOOK)
        found = []
        for outcome in runs:
            shift.post.posts.clear()
            assert await shift.run(outcome) == []
            found.append(len(shift.post.posts))
        assert (rule, found) == (rule, counts)


async def test_a_closed_window_is_no_failure(shift: Night) -> None:
    class Closed(BatchError, kind="window", exit_code=5):
        pass

    shift.tell(**HOOK, ping="env:PING")
    shift.started = True
    assert await shift.run(summary(shift.out, stopped=Closed("it is 06:00"))) == []
    assert shift.post.paths == ["/ping/c4n4ry/start", "/ping/c4n4ry"]


async def test_what_aborts_a_run_is_told_while_it_still_ends_and_once_as_long_as_it_lasts(shift: Night) -> None:
    at_once: list[list[str]] = []

    async def aborts(listener: Listener) -> Summary:
        listener(Event(Kind.STOPPING, text="no credit is left", error_kind="credit"))
        with anyio.move_on_after(0.5):
            await shift.post.until("/hook/c4n4ry")
        at_once.append(shift.post.paths)
        return summary(shift.out, stopped=OutOfCredit("no credit is left"))

    shift.tell(on=["failure", "change"], **HOOK)
    assert await shift.run(aborts) == []
    event = shift.post.posts[0].json
    assert (event["type"], event["data"]["stopped"]["kind"], event["data"]["exit_code"]) == ("run.aborted", "credit", 4)
    assert event["data"].keys() <= summary(shift.out).as_json().keys()
    assert at_once == [["/hook/c4n4ry"]]
    assert await shift.run(aborts) == []
    assert len(shift.post.posts) == 1
    await shift.run(summary(shift.out))
    await shift.run(aborts)
    assert [post.json["type"] for post in shift.post.posts] == ["run.aborted", "run.finished", "run.aborted"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ManifestError("gone.csv: no such file"), 2), (LockedError("in use"), 11), (ZeroDivisionError("x"), 1)],
)
async def test_what_comes_to_no_run_is_told_and_raised_as_it_was(shift: Night, error: Exception, code: int) -> None:
    shift.tell(**HOOK, ping="env:PING")
    shift.started = True
    with pytest.raises(type(error)) as raised:
        await shift.run(error)
    assert raised.value is error
    assert sorted(shift.post.paths) == ["/hook/c4n4ry", f"/ping/c4n4ry/{code}", "/ping/c4n4ry/start"]
    assert [post.json["data"]["exit_code"] for post in shift.post.posts if "hook" in post.path] == [code]
    assert (shift.out / ".batch-removebg" / "notified.json").exists() is (code != 11)


async def test_pings_of_a_run_share_an_id_and_the_last_has_the_closing_lines(shift: Night) -> None:
    shift.tell(ping="env:PING")
    shift.started = True
    assert await shift.run(summary(shift.out, failed=2)) == []
    start, end = shift.post.posts
    assert [start.path.partition("?")[0], end.path.partition("?")[0]] == ["/ping/c4n4ry/start", "/ping/c4n4ry/3"]
    assert start.path.partition("?rid=")[2] == end.path.partition("?rid=")[2]
    assert UUID(end.path.partition("?rid=")[2]).version == 4
    assert end.body.decode() == closing(summary(shift.out, failed=2), shift.settings)


# The webhook


async def test_a_webhook_has_the_counts_under_20_kb_and_a_signature_that_holds(shift: Night) -> None:
    groups = tuple(Group(f"flag-{n}", 1000 + n, tuple((f"item {k}" * 400, "") for k in range(3))) for n in range(200))
    shift.tell(on="always", **HOOK)
    await shift.run(summary(shift.out, failed=2, flags=groups))
    post = shift.post.posts[0]
    assert len(post.body) < 20_000
    assert (post.json["type"], post.json["timestamp"]) == ("run.finished", "2027-01-15T08:00:00.000Z")
    data = post.json["data"]
    assert set(data) == set(summary(shift.out).as_json())
    assert (data["saved"], data["out"], len(data["flags"])) == (3, str(shift.out), 50)
    assert data["failures"] == [{"kind": "source", "count": 2, "examples": []}]
    head = post.headers
    given = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + post.body
    expected = base64.b64encode(hmac.new(KEY, given, hashlib.sha256).digest()).decode()
    assert head["webhook-signature"] == f"v1,{expected}"


async def test_a_webhook_that_is_not_taken_waits_and_the_next_run_sends_it_by_its_id_at_its_time(shift: Night) -> None:
    shift.post.always = empty(500)
    shift.tell(on="failure", **HOOK)
    (text,) = await shift.run(summary(shift.out, failed=1))
    assert (
        text
        == f"not told: webhook env:HOOK: it answers 500; what is in {shift.waiting[0].parent} is sent by the next run"
    )
    assert shift.clock.slept == [1.0, 5.0, 15.0, 35.0]
    assert {post.headers["webhook-id"] for post in shift.post.posts} == {shift.waiting[0].name}
    assert len({post.headers["webhook-timestamp"] for post in shift.post.posts}) == 5
    assert b"c4n4ry" not in shift.waiting[0].read_bytes()
    first, shift.post.always = shift.post.posts[0], None
    shift.post.posts.clear()
    assert await shift.run(summary(shift.out)) == []
    (again,) = shift.post.posts
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)
    assert int(again.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 56
    assert shift.waiting == []


async def test_410_ends_a_webhook_with_all_that_waits(shift: Night) -> None:
    shift.tell(on="always", **HOOK)
    shift.post.always = empty(500)
    await shift.run()
    shift.post.always = empty(410)
    shift.post.posts.clear()
    (text,) = set(await shift.run())
    assert "410" in text
    assert shift.waiting == []
    assert shift.clock.slept == [1.0, 5.0, 15.0, 35.0]


async def test_retry_after_is_waited_for_where_the_minute_has_room(shift: Night) -> None:
    shift.tell(on="always", **HOOK)
    shift.post.script = [says(429, Retry_After="20")]
    assert await shift.run() == []
    assert shift.clock.slept == [20.0]
    shift.post.script = [says(429, Retry_After="3600")]
    assert len(await shift.run()) == 1
    assert shift.clock.slept == [20.0]


# What may go wrong


def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/c4n4ry"


HOSTS: dict[str, tuple[Any, str]] = {
    "hangs": (hang, "no answer in time"),
    "500": (empty(500), "it answers 500"),
    "redirects": (redirect("http://127.0.0.1:1/c4n4ry"), "it answers 302 (redirects are not followed)"),
    "closes": (reset, "the connection broke (Client"),
    "404": (empty(404), "it answers 404"),
    "private": (None, "127.0.0.1 is not on the public internet; --allow-private permits such hosts"),
    "nobody": (nowhere, "Cannot connect to host 127.0.0.1:"),
    "no-name": ("http://c4n4ry.invalid/x", "Cannot connect to host"),
}


@pytest.mark.parametrize("fault", HOSTS)
async def test_a_host_at_fault_is_one_line_and_changes_no_run(
    shift: Night, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, text = HOSTS[fault]
    if fault == "private":
        shift.settings = Settings(out=shift.out)
    elif fault in ("nobody", "no-name"):
        for name in ("HOOK", "PING"):
            monkeypatch.setenv(name, how if isinstance(how, str) else how())
    else:
        shift.post.always = how
    shift.tell(on="always", ping="env:PING", **HOOK)
    warnings = sorted(set(await shift.run()))
    assert [warning.partition(": ")[2].partition(":")[0] for warning in warnings] == ["ping env", "webhook env"]
    assert all(text in warning for warning in warnings)
    assert fault == "no-name" or "c4n4ry" not in "".join(warnings)
    assert len(shift.waiting) == 1


async def test_a_host_that_hangs_is_given_up_in_time_and_said_to_be_waited_for(shift: Night) -> None:
    shift.post.always = hang
    shift.tell(Pace(request=30.0, each=0.2, quiet=0.05), on="always", **HOOK)
    [text] = await shift.run()
    box = shift.out / ".batch-removebg" / "outbox"
    assert text == f"not told: webhook env:HOOK: no success in time; what is in {box} is sent by the next run"
    notes = [event.text for event in shift.heard if event.kind is Kind.NOTE]
    assert notes == ["telling how it went (webhook env:HOOK), for 0.2 s at most"]
    assert len(shift.waiting) == 1


async def test_a_host_that_hangs_at_the_start_delays_no_run(shift: Night) -> None:
    shift.tell(Pace(request=30.0), ping="env:PING")
    shift.started, shift.post.script = True, [hang]
    assert await shift.run() == []
    assert shift.post.paths == ["/ping/c4n4ry/start", "/ping/c4n4ry"]


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "ends-badly": ("exit 7", ["it ended with 7"]),
    "says-why": (
        "echo a >&2; echo 'no mail for https://me:c4n4ry@mail.example:25/c4n4ry?k=c4n4ry' >&2; exit 7",
        ["it ended with 7: no mail for https://mail.example:25…"],
    ),
    "tells-secrets": ('echo "$HOOK $SIGNING $SHOP_TOKEN $CHAT"; exit 7', ["it ended with 7: … … … …"]),
    "hangs": ("sleep 100 & sleep 100", ["it took longer than 0.3 s"]),
    "reads-nothing": ("exit 0", []),
    "closes-stdin": ("exec 0<&-; exit 0", []),
}


def script(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
@pytest.mark.parametrize("how", COMMANDS)
async def test_a_command_at_fault_is_one_line_without_a_secret(
    shift: Night, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, problems = COMMANDS[how]
    command = script(tmp_path / "tell", lines)
    monkeypatch.setenv("SHOP_TOKEN", "c4n4ry")
    monkeypatch.setenv("CHAT", "json://c4n4ry")
    shift.tell(Pace(command=0.3 if how == "hangs" else 20.0), on="always", command=[command], **HOOK)
    assert await shift.run() == [f"not told: command {command}: {problem}" for problem in problems]


async def test_a_command_that_is_not_there_is_one_line(shift: Night) -> None:
    shift.tell(on="always", command=["nosuchcommand"])
    assert await shift.run() == ["not told: command nosuchcommand: it can't be started (No such file or directory)"]


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
async def test_a_command_gets_the_summary_without_a_shell_and_its_output_is_a_detail(
    shift: Night, tmp_path: Path
) -> None:
    command = script(tmp_path / "tell", 'cat > "$1"; echo done >&2')
    target = tmp_path / "a; b $HOME"
    shift.tell(on="always", command=[command, str(target)])
    assert await shift.run() == []
    assert json.loads(target.read_text()) == summary(shift.out).as_json()
    assert shift.lines == [f"{command}: done"]


async def test_a_writer_that_fails_or_hangs_changes_no_run(shift: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Summary) -> None:
        raise OSError(28, "No space left on device")

    def broken(_: Summary) -> None:
        raise ZeroDivisionError

    shift.extras = Extras(summary=full, metrics=broken)
    assert await shift.run() == [
        "not written: [Errno 28] No space left on device",
        "not written: ZeroDivisionError, a bug",
    ]
    monkeypatch.setattr(night, "_LONGEST", 0.05)
    seen = anyio.Event()
    shift.extras = Extras(summary=lambda _: anyio.from_thread.run(seen.wait))
    assert await shift.run() == ["not written: it takes longer than 0.05 s"]
    seen.set()
