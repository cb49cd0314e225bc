"""Running the server: where it may listen, and that it leaves nothing behind."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import tempfile
import time
from pathlib import Path

import aiohttp
import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.engine.fetch_weights import Progress
from batch_removebg.engine.runtimes import opening
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import SettingsError
from batch_removebg.server import listen
from batch_removebg.server.listen import ServeSettings, serve, serving, sweep
from tests.support.local_doubles import Here, LeftHalf


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary folders are made in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without weights."""
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(listen, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))


def silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "", "example.org", "127.0.0.1.example.org"])
@pytest.mark.parametrize("token", [None, ""])
def test_other_machines_are_let_in_with_a_key_only(host: str, token: str | None) -> None:
    with pytest.raises(SettingsError, match="can be reached from other machines, so a key is needed"):
        ServeSettings(host=host, token=token)
    assert ServeSettings(host=host, token="s3cret").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    assert ServeSettings(host=host).token is None


def test_the_key_does_not_show_in_the_settings() -> None:
    assert "s3cret" not in repr(ServeSettings(token="s3cret"))


@pytest.mark.anyio
@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_server_and_its_files_go(temp: Path, stop: signal.Signals) -> None:
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        [folder] = temp.glob("batch-removebg-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        os.kill(os.getpid(), stop)

    await serve(ServeSettings(port=0), ready=ready, progress=silent)
    [url] = urls
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    assert list(temp.iterdir()) == []


@pytest.mark.anyio
@pytest.mark.usefixtures("light")
async def test_cancelling_stops_the_server_and_its_files_go(temp: Path) -> None:
    with anyio.CancelScope() as scope:
        await serve(ServeSettings(port=0), ready=lambda url: scope.cancel(), progress=silent)
    assert scope.cancelled_caught
    assert list(temp.iterdir()) == []


@pytest.mark.anyio
async def test_a_signal_while_weights_are_downloaded_ends_the_download(
    temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def endless(model: Weights, progress: Progress, **asked: str) -> None:
        nonlocal looks
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            looks += 1
            progress(0, None)
            time.sleep(0.001)

    monkeypatch.setattr(opening, "ensure_weights", endless)
    with anyio.fail_after(20):
        await serve(ServeSettings(port=0), ready=lambda url: pytest.fail("serves without weights"), progress=silent)
    assert looks > 0


def left_by_a_killed_server(folder: Path) -> Path:
    """What is there after `kill -9`, whose lock the system has released."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "picture").write_bytes(b"cat")
    (folder / "lock").touch()
    (folder / "holder.json").write_text('{"pid": 1}')
    return folder


@pytest.mark.anyio
async def test_a_start_sweeps_what_a_killed_server_has_left(temp: Path) -> None:
    left = left_by_a_killed_server(temp / "batch-removebg-abcd")
    async with serving(ServeSettings(port=0), engine=Here(LeftHalf)):
        assert not left.exists()


@pytest.mark.anyio
async def test_a_start_leaves_the_folder_of_a_server_that_runs(temp: Path) -> None:
    async with serving(ServeSettings(port=0), engine=Here(LeftHalf)):
        [first] = temp.iterdir()
        async with serving(ServeSettings(port=0), engine=Here(LeftHalf)):
            assert first in temp.iterdir()
            assert sorted(path.name for path in first.iterdir()) == ["holder.json", "inputs", "lock", "outputs"]
    assert list(temp.iterdir()) == []


def test_a_sweep_touches_nothing_that_is_not_surely_ours(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_killed_server(temp / "other-name")
    (left_by_a_killed_server(temp / "batch-removebg-unmarked") / "holder.json").unlink()
    (temp / "batch-removebg-link").symlink_to(temp / "other-name")
    (temp / "batch-removebg-file").write_bytes(b"")
    before = sorted(temp.rglob("*"))
    sweep(Clock())
    assert sorted(temp.rglob("*")) == before
    left_by_a_killed_server(temp / "batch-removebg-of-another")
    monkeypatch.setattr(os, "getuid", lambda: -1)
    sweep(Clock())
    assert (temp / "batch-removebg-of-another" / "inputs" / "picture").exists()


@pytest.mark.anyio
async def test_a_data_folder_takes_the_files_and_is_swept(temp: Path) -> None:
    data = temp / "data"
    left = left_by_a_killed_server(data / "batch-removebg-abcd")
    async with serving(ServeSettings(port=0, data_dir=data), engine=Here(LeftHalf)):
        [folder] = data.iterdir()
        assert folder != left
        assert list(temp.iterdir()) == [data]
    assert list(data.iterdir()) == []


@pytest.mark.anyio
async def test_every_request_leaves_a_line_refused_ones_too_and_no_key() -> None:
    said: list[str] = []
    settings = ServeSettings(port=0, token="s3cret")
    asked = ["/v1/account?token=s3cret", "/healthz", "/v1/outputs/0123456789/output.png"]
    async with (
        serving(settings, engine=Here(LeftHalf), asked=said.append) as base,
        aiohttp.ClientSession(headers={"Authorization": "Bearer wrong-s3cret"}) as session,
    ):
        for path in asked:
            async with session.get(base.removesuffix("/v1") + path) as answer:
                await answer.read()
    with anyio.fail_after(5):
        while len(said) < 3:
            await anyio.lowlevel.checkpoint()
    shown = [re.sub(r"^\S+T\S+Z | \d+ ms$", "", line) for line in said]
    assert shown == [
        "127.0.0.1 GET /v1/account 401",
        "127.0.0.1 GET /healthz 200",
        "127.0.0.1 GET /v1/outputs/…/output.png 404",
    ]


@pytest.mark.parametrize("keep", [0.0, -1.0, math.nan])
def test_files_are_kept_for_a_while_at_least(keep: float) -> None:
    with pytest.raises(SettingsError, match="give seconds above 0, or forever"):
        ServeSettings(keep=keep)


@pytest.mark.anyio
async def test_an_error_of_the_block_passes_by_as_it_is(temp: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serving(ServeSettings(port=0), engine=Here(LeftHalf)):
            raise KeyError("mine")


@pytest.mark.anyio
async def test_a_host_that_does_not_exist_is_named(temp: Path) -> None:
    settings = ServeSettings(host="no such host", port=0, token="s3cret")
    with pytest.raises(SettingsError, match="can't listen on no such host:0: "):
        async with serving(settings, engine=Here(LeftHalf)):
            pytest.fail("listens nowhere")


@pytest.mark.anyio
async def test_a_port_that_is_taken_is_named(temp: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            SettingsError, match=f"can't listen on 127.0.0.1:{port}: Address already in use; choose another"
        ):
            async with serving(ServeSettings(port=port), engine=Here(LeftHalf)):
                pytest.fail("listens on a taken port")
    assert list(temp.iterdir()) == []
