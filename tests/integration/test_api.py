"""The command against a predictions API: our own server, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import main
from tests.integration.conftest import COMMAND, FAST, Run, environment
from tests.support.doubles import photo

Said = Callable[..., tuple[int, str]]
KEY = "r8_this-is-a-key-of-the-test"


@pytest.fixture(scope="module")
def base(real_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server that wants the key."""
    words = [*COMMAND, "serve", *FAST, "--port", "0", "--token-env", "SERVER_KEY"]
    env, folder = environment({"SERVER_KEY": KEY}), tmp_path_factory.mktemp("server")
    with subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on http://127.0.0.1:" in line, line
        yield line.split("listening on ")[1].split(";")[0]
        process.terminate()
        assert process.wait(timeout=20) in (0, 143)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two photos."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes(photo(60 + number, 40))
    return folder


def bill(base: str) -> list[dict[str, Any]]:
    """Every prediction the server has made."""
    request = urllib.request.Request(f"{base}/predictions", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["results"]
    return found


def everything_written(out: Path) -> str:
    """All text under OUT."""
    return "".join(p.read_bytes().decode("latin-1") for p in out.rglob("*") if p.is_file())


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The exit code and stderr of a command that runs here, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str | Path) -> tuple[int, str]:
        return main.run_command(list(map(str, words))), capsys.readouterr().err

    return command


def test_a_hosted_run_uploads_buys_once_and_resumes_for_nothing(
    run: Run, said: Said, tmp_path: Path, photos: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(bill(base))
    words = ["run", photos, "--out", "out", "--provider", "replicate", "--base-url", base]
    done = run(*words, "-v", env={"REPLICATE_API_TOKEN": KEY})
    assert done.returncode == 0, done.stderr
    assert len(bill(base)) == before + 2
    assert "predictions: 2 bought" in done.stderr
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    again, webp = said(*words), said(*words, "--format", "webp")
    assert again[0] == 0
    assert "2 made without one" in webp[1]
    assert len(bill(base)) == before + 2
    for text in (done.stderr, done.stdout, again[1], webp[1], everything_written(tmp_path / "out")):
        assert KEY not in text


def test_a_gateway_run_sends_data_uris(
    said: Said, tmp_path: Path, photos: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(bill(base))
    monkeypatch.setenv("OTHER", KEY)
    words = ["run", photos / "1.jpg", "--out", "out", "--provider", "gateway", "--base-url", base]
    assert said(*words, "--token-env", "OTHER")[0] == 0
    assert len(bill(base)) == before + 1
    assert (tmp_path / "out" / "1.png").is_file()


def test_a_wrong_key_stops_the_run_and_says_where_to_look(
    said: Said, tmp_path: Path, photos: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(bill(base))
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_wrong")
    code, err = said("run", photos, "--out", "out", "--provider", "replicate", "--base-url", base)
    assert code == 4
    assert "401" in err
    assert "--token-env" in err
    assert "2 pending" in err
    assert len(bill(base)) == before
    assert "r8_wrong" not in err + everything_written(tmp_path / "out")


@pytest.mark.parametrize("fault", ["html", "redirect"])
def test_a_base_url_where_no_api_answers_stops_the_run_and_names_the_flag(
    said: Said, photos: Path, fault: str, elsewhere: Callable[[str], str]
) -> None:
    words = ["run", photos, "--out", "out", "--provider", "gateway", "--on-lost", "fail"]
    code, err = said(*words, "--base-url", elsewhere(fault))
    assert code in (3, 4)
    assert "--base-url" in err


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], str]]:
    """A web server that is no predictions API: it answers with a page, or sends its callers away."""
    import http.server
    import threading

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            redirected = self.path.startswith("/redirect")
            self.send_response(301 if redirected else 404)
            if redirected:
                self.send_header("Location", "https://elsewhere.example/")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield lambda fault: f"http://127.0.0.1:{server.server_port}/{fault}/v1"
    server.shutdown()
    thread.join()
    server.server_close()
