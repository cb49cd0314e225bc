"""Running the server: where it may listen, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest
from local_doubles import MODEL, LeftHalf

from batch_removebg.errors import SettingsError
from batch_removebg.local.server.serve import ServeSettings, serve, serving


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary folders are made in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


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
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_server_and_its_files_go(temp: Path, stop: signal.Signals) -> None:
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        [folder] = temp.glob("batch-removebg-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        os.kill(os.getpid(), stop)

    await serve(ServeSettings(port=0), network=LeftHalf(), model=MODEL, ready=ready)
    [url] = urls
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    assert list(temp.iterdir()) == []


@pytest.mark.anyio
async def test_a_port_that_is_taken_is_named(temp: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"can't listen on 127.0.0.1:{port}: .*; choose another --port"):
            async with serving(ServeSettings(port=port), network=LeftHalf(), model=MODEL):
                pytest.fail("listens on a taken port")
    assert list(temp.iterdir()) == []
