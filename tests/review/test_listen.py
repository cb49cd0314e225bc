"""The command prints one address and serves it until a signal; what can't be reviewed is refused in words."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batch_removebg.cli.main import run_command
from batch_removebg.errors import SettingsError
from batch_removebg.review.listen import ReviewSettings
from tests.support.bench import Bench, bench

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


@pytest.fixture
async def out(bench: Bench) -> Path:
    bench.add("a.jpg")
    assert (await bench.run()).exit_code == 0
    return bench.out


def command(out: Path, *more: str, name: str = "review") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "batch_removebg", name, str(out), *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_a_taken_port_gives_the_next_free_one_which_is_said_and_a_signal_ends_it(out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = command(out, "--port", str(port))
        assert server.stdout
        address = server.stdout.readline()
        assert address.startswith("http://127.0.0.1:")
        assert not address.startswith(f"http://127.0.0.1:{port}/")
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=20)
    assert f"port {port} is taken; this is at {address.split(':')[2].split('/')[0]}" in said
    assert address.strip().partition("token=")[2] not in said
    assert server.returncode == 0


async def test_the_address_alone_is_on_stdout_and_no_browser_is_opened_without_a_terminal(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    (tmp_path / "browser").write_text(f"#!/bin/sh\ntouch {opened}\n")
    (tmp_path / "browser").chmod(0o755)
    monkeypatch.setenv("BROWSER", str(tmp_path / "browser"))
    server = command(out, "--port", "0")
    assert server.stdout
    assert "/?token=" in server.stdout.readline()
    server.send_signal(signal.SIGINT)
    rest, _ = server.communicate(timeout=20)
    assert (rest, opened.exists()) == ("", False)


@pytest.mark.parametrize("words", [["review"], ["report", "--to", "new"]])
def test_a_folder_without_a_ledger_is_no_out(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([words[0], str(tmp_path / "nothing"), *words[1:]]) == 2
    assert "holds no ledger.jsonl; give the --out of a run" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("line", "said"), [(b"no line\n", "is damaged"), (b'{"v":9,"t":"","event":"saved"}\n', "upgrade it")]
)
@pytest.mark.parametrize("words", [["review"], ["report", "--to", "new"]])
async def test_a_damaged_or_a_newer_ledger_is_refused(
    out: Path,
    words: list[str],
    line: bytes,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with (out / "ledger.jsonl").open("ab") as file:
        file.write(line)
    server = command(out, *words[1:], name=words[0])
    printed, why = server.communicate(timeout=30)
    assert (server.returncode, printed) == (4, "")
    assert said in why


def test_other_machines_need_a_key_and_a_key_that_is_not_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="so a key is needed"):
        ReviewSettings(tmp_path, host="0.0.0.0")  # nothing listens
    assert "their key" not in repr(ReviewSettings(tmp_path, host="0.0.0.0", key="their key"))
    assert run_command(["review", str(tmp_path), "--token-env", "NO_SUCH_KEY"]) == 2
    assert "NO_SUCH_KEY: that environment variable is not set" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="--port 99999"):
        ReviewSettings(tmp_path, port=99_999)
