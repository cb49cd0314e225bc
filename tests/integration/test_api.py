"""The real command against a predictions API: our own server, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST, ROOT, Run

pytestmark = pytest.mark.usefixtures("real_weights")
PHOTOS = ROOT / "samples" / "photos"
KEY = "r8_this-is-a-key-of-the-test"


@pytest.fixture
def base(start: Callable[..., subprocess.Popen[str]]) -> Iterator[str]:
    """Base URL of a server that wants the key."""
    process = start("serve", *FAST, "--port", "0", "--token-env", "SERVER_KEY", env={"SERVER_KEY": KEY})
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "listening on http://127.0.0.1:" in line, line
    yield line.split("listening on ")[1].split(";")[0]
    process.terminate()
    assert process.wait(timeout=20) in (0, 143)


def bill(base: str) -> list[dict[str, Any]]:
    """Every prediction the server has made."""
    request = urllib.request.Request(f"{base}/predictions", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["results"]
    return found


def everything_written(out: Path) -> str:
    """All text under OUT."""
    return "".join(p.read_bytes().decode("latin-1") for p in out.rglob("*") if p.is_file())


def test_a_hosted_run_uploads_buys_once_and_resumes_for_nothing(run: Run, tmp_path: Path, base: str) -> None:
    words = ["run", PHOTOS, "--out", "out", "--provider", "replicate", "--base-url", base]
    done = run(*words, "-v", env={"REPLICATE_API_TOKEN": KEY})
    assert done.returncode == 0, done.stderr
    assert len(bill(base)) == 5
    assert "predictions: 5 bought" in done.stderr
    again = run(*words, env={"REPLICATE_API_TOKEN": KEY})
    assert again.returncode == 0
    assert len(bill(base)) == 5
    webp = run(*words, "--format", "webp", env={"REPLICATE_API_TOKEN": KEY})
    assert "5 made without one" in webp.stderr
    assert len(bill(base)) == 5
    for text in (done.stderr, done.stdout, again.stderr, webp.stderr, everything_written(tmp_path / "out")):
        assert KEY not in text


def test_a_gateway_run_sends_data_uris(run: Run, tmp_path: Path, base: str) -> None:
    words = ["run", PHOTOS / "coffee.jpg", "--out", "out", "--provider", "gateway", "--base-url", base]
    done = run(*words, "--token-env", "OTHER", env={"OTHER": KEY})
    assert done.returncode == 0, done.stderr
    assert len(bill(base)) == 1
    assert (tmp_path / "out" / "coffee.png").is_file()


def test_a_wrong_key_stops_the_run_and_says_where_to_look(run: Run, tmp_path: Path, base: str) -> None:
    words = ["run", PHOTOS, "--out", "out", "--provider", "replicate", "--base-url", base]
    done = run(*words, env={"REPLICATE_API_TOKEN": "r8_wrong"})
    assert done.returncode == 4
    assert "401" in done.stderr
    assert "--token-env" in done.stderr
    assert "5 pending" in done.stderr
    assert bill(base) == []
    assert "r8_wrong" not in done.stderr + everything_written(tmp_path / "out")


@pytest.mark.parametrize("fault", ["html", "redirect"])
def test_a_base_url_where_no_api_answers_stops_the_run_and_names_the_flag(
    run: Run, tmp_path: Path, fault: str, elsewhere: Callable[[str], str]
) -> None:
    words = [
        "run",
        PHOTOS,
        "--out",
        "out",
        "--provider",
        "gateway",
        "--base-url",
        elsewhere(fault),
        "--on-lost",
        "fail",
    ]
    done = run(*words)
    assert done.returncode in (3, 4)
    assert "--base-url" in done.stderr


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
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield lambda fault: f"http://127.0.0.1:{server.server_port}/{fault}/v1"
    server.shutdown()
    thread.join()
    server.server_close()
