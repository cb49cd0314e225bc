"""No one is let in: the key stays with its origin, and foreign URLs lead to the public internet or nowhere."""

from __future__ import annotations

import base64
import logging
import os
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web as server

from batch_removebg.cli import report
from batch_removebg.cli.console import Console
from batch_removebg.cli.progress import listener
from batch_removebg.errors import BatchError, SourceError
from batch_removebg.net import fetch as web
from batch_removebg.run import batch
from batch_removebg.run.night import Extras, told
from batch_removebg.run.notify.notifier import Notifier
from batch_removebg.run.notify.rules import parse
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import FakeClock, photo
from tests.support.fake_api import FakeApi, Handler
from tests.support.receiver import receiver
from tests.support.wire import after, changed, cut_short, plain, raw, redirect, reset

pytestmark = pytest.mark.anyio

KEY = "r8_KeyOfTheShop0123456789abcdefABCDEF"
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    async with FakeApi(key=KEY) as running:
        yield running


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[BatchError]:
    """Every error of this package that is made from now on."""
    made: list[BatchError] = []

    def init(self: BatchError, *args: Any) -> None:
        Exception.__init__(self, *args)
        made.append(self)

    monkeypatch.setattr(BatchError, "__init__", init)
    return made


async def run(tmp_path: Path, api: FakeApi, *inputs: str, **given: Any) -> Summary:
    """A run that prints all it can, over two photos or `inputs`."""
    if not inputs:
        (tmp_path / "in").mkdir()
        for number in range(2):
            (tmp_path / "in" / f"{number}.jpg").write_bytes(photo(40 + number, 30))
    given = {"provider": "replicate", "base_url": api.base, **given}
    settings = Settings(out=tmp_path / "out", **given)
    console = Console(json_lines=False, verbosity=1)
    with listener("json", console) as shown, anyio.fail_after(30):
        summary = await batch.run(
            inputs or [str(tmp_path / "in")], settings, listener=shown, clock=FakeClock(1_900_000_000.0).clock
        )
    console.info(report.closing(summary, settings))
    return summary


def chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error, and all that led to it."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from chain(error.__cause__, seen)
        yield from chain(error.__context__, seen)


def told_by(error: BaseException) -> Iterator[str]:
    """Everything that an error may say, in whichever way it is asked."""
    yield "".join(traceback.format_exception(error))
    for one in chain(error, set()):
        yield from (str(one), repr(one), repr(one.args), repr(getattr(one, "__notes__", [])))


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        yield str(path), path.read_bytes() if path.is_file() else b""


# The ways in which a run may go wrong, and where


def echoing(status: int, kind: str) -> Handler:
    """A server that says the header back."""

    async def answer(request: server.Request) -> server.Response:
        said = request.headers.get("Authorization", "")
        assert KEY in said
        return await plain(f'{{"detail": "no good: {said}"}}', kind, status)(request)  # type: ignore[return-value]

    return answer


def elsewhere(path: str) -> Callable[[FakeApi], Handler]:
    return lambda api: redirect(api.other + path)


def in_a_chain(api: FakeApi) -> Handler:
    """To its own origin first, and from there to the other."""
    api.respond("GET", "/out/second", redirect(f"{api.other}/out/third"))
    return redirect(f"{api.origin}/out/second")


WAYS: dict[str, tuple[str, str, Callable[[FakeApi], Handler]]] = {
    "401-that-echoes": ("POST", "/predictions", lambda _: echoing(401, "application/json")),
    "422-that-echoes": ("POST", "/predictions", lambda _: echoing(422, "application/json")),
    "html-500-that-echoes": ("POST", "/predictions", lambda _: echoing(500, "text/html")),
    "json-500-that-echoes": ("GET", "/predictions/*", lambda _: echoing(500, "application/json")),
    "other-shape-that-echoes": ("GET", "/predictions/*", lambda _: echoing(200, "application/json")),
    "upload-413-that-echoes": ("POST", "/files", lambda _: echoing(413, "application/json")),
    "header-that-echoes": ("POST", "/files", lambda _: raw(f"HTTP/1.1 200 X\nBroken {KEY}\n".encode())),
    "reset": ("POST", "/predictions", lambda _: reset),
    "accepted-and-reset": ("POST", "/predictions", lambda api: after(api.normal, reset)),
    "cut-short": ("GET", "/predictions/*", lambda _: cut_short()),
    "not-http-on-output": ("GET", "/out/*", lambda _: raw(b"SSH-2.0-OpenSSH_9.6\n")),
    "header-that-echoes-on-output": ("GET", "/out/*", lambda _: raw(f"HTTP/1.1 200 X\nBroken {KEY}\n".encode())),
    "not-http": ("POST", "/files", lambda _: raw(b"SSH-2.0-OpenSSH_9.6\n")),
    "redirect-on-api": ("POST", "/predictions", elsewhere("/v1/predictions")),
    "redirect-on-upload": ("POST", "/files", elsewhere("/v1/files")),
    "redirect-on-poll": ("GET", "/predictions/*", elsewhere("/v1/predictions/p1")),
    "redirect-on-output": ("GET", "/out/*", elsewhere("/out/x.png")),
    "redirect-chain-on-output": ("GET", "/out/p*", in_a_chain),
    "prediction-that-failed-with-it": ("GET", "/predictions/*", changed(status="failed", error=f"no access: {KEY}")),
}


LASTING = {"html-500-that-echoes"}
"""Goes on until the items fail by it; with the others the server recovers, or 12 answers are enough to fail by."""


@pytest.mark.parametrize("way", WAYS)
async def test_the_key_is_nowhere_but_at_its_origin(
    way: str,
    api: FakeApi,
    tmp_path: Path,
    raised: list[BatchError],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    method, pattern, how = WAYS[way]
    api.respond(method, pattern, how(api), times=30 if way in LASTING else 12)
    await run(tmp_path, api)
    assert api.requests
    assert all(seen.key == f"Bearer {KEY}" for seen in api.requests if "/predictions" in seen.path)
    assert all(KEY not in repr(seen) for seen in api.foreign)
    assert len(api.foreign) == (2 if way.startswith("redirect") and way.endswith("output") else 0)
    printed = capsys.readouterr()
    assert "results" in printed.err
    assert KEY not in printed.out + printed.err + caplog.text
    assert [path for path, data in files(tmp_path / "out") if KEY in path or KEY.encode() in data] == []
    assert way.startswith("redirect") or raised
    assert [text for error in raised for text in told_by(error) if KEY in text] == []


async def test_the_key_is_in_no_repr(api: FakeApi, tmp_path: Path) -> None:
    settings = Settings(out=tmp_path, provider="replicate", base_url=api.base)
    endpoint = settings.endpoint()
    assert endpoint.key == KEY
    async with web.open_session(public_only=False) as session:
        own = web.OwnApi(web.origin(api.base), session, f"Bearer {KEY}")
        from batch_removebg.providers.replicate import Replicate

        shown = [settings, settings.shown(), endpoint, own, Replicate(session, endpoint), session]
        assert [text for text in map(repr, shown) if KEY in text] == []


async def test_the_key_is_in_no_traceback_of_a_crash(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    bug = """
import sys, aiohttp
from batch_removebg.cli.main import run_command
def request(*args, **kwargs): raise RuntimeError("a bug")
aiohttp.ClientSession.request = request
sys.exit(run_command(sys.argv[1:]))
"""
    words = ["run", "a.jpg", "--out", "out", "--provider", "replicate", "--base-url", api.base, "-v"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with anyio.fail_after(50):
        done = await anyio.run_process([sys.executable, "-c", bug, *words], cwd=tmp_path, env=env, check=False)
    assert done.returncode == 1
    assert b"RuntimeError: a bug" in done.stderr
    assert KEY.encode() not in done.stdout + done.stderr
    assert [path for path, data in files(tmp_path / "out") if KEY.encode() in data] == []


# Who is told

CANARY = "c4n4ryOfTheShop"


HOSTS: dict[str, Handler | None] = {
    "takes-it": None,
    "500-that-echoes": plain(f"no good: {CANARY}", "text/plain", 500),
    "redirect-that-echoes": redirect(f"http://127.0.0.1:1/{CANARY}"),
    "not-http-that-echoes": raw(f"HTTP/1.1 200 X\nBroken {CANARY}\n".encode()),
    "reset": reset,
    "no-name": None,
    "no-port": None,
    "private": None,
}


@pytest.mark.parametrize("host", HOSTS)
async def test_the_urls_of_those_who_are_told_are_nowhere(
    host: str,
    api: FakeApi,
    tmp_path: Path,
    raised: list[BatchError],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "a.jpg").write_bytes(photo())
    async with receiver() as post:
        post.always = HOSTS[host]
        origin = {"no-name": "http://nobody.invalid", "no-port": "http://127.0.0.1:1"}.get(host, post.url)
        url = f"{origin.replace('//', f'//u:{CANARY}@')}/{CANARY}?key={CANARY}"
        monkeypatch.setenv("URL", url)
        secret = "whsec_" + base64.b64encode(CANARY.encode() * 2).decode()
        monkeypatch.setenv("SIGNING", secret)
        table = {"on": "always", "webhook": "env:URL", "webhook-secret": "env:SIGNING", "ping": "env:URL"}
        console = Console(verbosity=1)
        extras = Extras(notifier=Notifier(parse(table), report.closing, console.detail))
        given: dict[str, Any] = {"provider": "replicate", "base_url": api.base, "allow_private": host != "private"}
        settings = Settings(out=tmp_path / "out", **given)
        with listener("json", console) as shown, anyio.fail_after(30):
            clock = FakeClock(1_900_000_000.0, idle=0.02).clock
            summary = await told([str(tmp_path / "a.jpg")], settings, extras, listener=shown, clock=clock)
    printed = capsys.readouterr()
    assert (summary.exit_code, "not told: ping env:URL" in printed.err) == (0, host != "takes-it")
    assert bool(list((tmp_path / "out").rglob("outbox/*"))) is (host != "takes-it")
    for text in (CANARY, secret):
        assert text not in printed.out + printed.err + caplog.text + repr((settings, extras))
        assert [path for path, data in files(tmp_path / "out") if text in path or text.encode() in data] == []
        assert [each for error in raised for each in told_by(error) if text in each] == []


# Addresses


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs behave as with an API on the public internet."""
    monkeypatch.setattr(Settings, "public_only", property(lambda self: not self.allow_private))


async def fetch(url: str, own: web.OwnApi | None = None) -> bytes:
    async with web.open_session(public_only=True) as session:
        return (await web.get(session, url, fetching=web.FetchPolicy(public_only=True), own=own)).body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "shop.example"])
async def test_a_private_address_is_not_asked(api: FakeApi, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    if host == "shop.example":  # a public name with a private address

        def getaddrinfo(name: str, port: int, *_: object, **__: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # Short and decimal spellings are no URL to aiohttp: either way they are refused.
    with pytest.raises(SourceError, match=r"is not on the public internet; --allow-private|this is no URL"):
        await fetch(f"{api.other.replace('127.0.0.1', host)}/out/x.png")
    assert api.foreign == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_redirect_to_a_private_address_is_not_followed(api: FakeApi, host: str) -> None:
    api.respond("GET", "/out/a", redirect(f"{api.other.replace('127.0.0.1', host)}/out/x.png"))
    async with web.open_session(public_only=False) as session:
        own = web.OwnApi(web.origin(api.origin), session, f"Bearer {KEY}")
        with pytest.raises(SourceError, match="--allow-private"):
            await fetch(f"{api.origin}/out/a", own)
    assert len(api.requests) == 1
    assert api.foreign == []


@pytest.mark.usefixtures("guarded")
async def test_an_output_at_a_private_address_is_fetched_only_where_allowed(api: FakeApi, tmp_path: Path) -> None:
    api.respond("GET", "/out/*", redirect(f"{api.other}/out/x.png"))
    summary = await run(tmp_path, api)
    assert (summary.saved, [group.kind for group in summary.failures], api.foreign) == (0, ["output"], [])
    assert "--allow-private" in summary.failures[0].examples[0][1]
    summary = await run(tmp_path, api, str(tmp_path / "in"), allow_private=True, retry_failed=True)
    assert (summary.saved, len(api.foreign)) == (2, 2)


@pytest.mark.usefixtures("guarded")
async def test_a_source_at_a_private_address_is_fetched_only_where_allowed(api: FakeApi, tmp_path: Path) -> None:
    url = f"{api.other}/out/x.png"
    summary = await run(tmp_path, api, url, fetch_sources=True)
    assert (summary.failed, summary.failures[0].kind, api.foreign, api.bill) == (1, "source", [], [])
    summary = await run(tmp_path, api, url, fetch_sources=True, allow_private=True, retry_failed=True)
    assert (summary.saved, len(api.foreign) > 0, len(api.bill)) == (1, True, 1)
