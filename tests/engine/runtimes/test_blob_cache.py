"""A compiled network kept from an earlier run is the same network, and never the reason why a run fails."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from batch_removebg.engine.devices import Choice
from batch_removebg.engine.runtimes import blob_cache, openvino
from batch_removebg.engine.runtimes.blob_cache import FOLDER, BlobCache
from batch_removebg.engine.weights import FOLDER_VARIABLE, Weights
from batch_removebg.errors import DiskError, SettingsError
from batch_removebg.storage import atomic

OV32, OV16 = Choice("openvino", "float32"), Choice("openvino", "bf16")
FACTS = {"openvino": "1", "wanted": {"NUM_STREAMS": "2"}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of weights is that of the tests' networks."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return of(tmp_path / "net.onnx", b"weights")


def of(path: Path, data: bytes) -> Weights:
    """A network whose file holds these bytes."""
    path.write_bytes(data)
    return Weights(name=path.stem, sha256="5" * 64, size=16, own=path)


def blobs(weights: Weights) -> list[Path]:
    return sorted((weights.path.parent / FOLDER).glob("*"))


def never() -> bytes:
    pytest.fail("exported a network that can't be kept")


# The place


def test_what_was_kept_is_found_again_for_the_same_weights_and_facts(weights: Weights) -> None:
    assert BlobCache(weights, FACTS).read(bytes) is None
    BlobCache(weights, FACTS).write(lambda: b"blob")
    assert BlobCache(weights, dict(FACTS)).read(bytes) == b"blob"


def test_beside_a_network_of_the_users_own_nothing_is_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "theirs").mkdir()
    own = of(tmp_path / "theirs" / "net.onnx", b"weights")
    BlobCache(own, FACTS).write(lambda: b"blob")
    assert list(own.path.parent.iterdir()) == [own.path]
    assert len(list((tmp_path / "cache" / FOLDER).iterdir())) == 1
    moved = own.path.rename(tmp_path / "net.onnx")
    assert BlobCache(of(moved, b"weights"), FACTS).read(bytes) == b"blob"  # by its content, wherever it lies


@pytest.mark.parametrize("facts", [{}, FACTS | {"openvino": "2"}, FACTS | {"wanted": {"NUM_STREAMS": "4"}}])
def test_where_a_fact_is_another_nothing_is_found(weights: Weights, facts: dict[str, object]) -> None:
    BlobCache(weights, FACTS).write(lambda: b"blob")
    assert BlobCache(weights, facts).read(bytes) is None


def test_other_weights_under_the_same_name_find_nothing(weights: Weights) -> None:
    BlobCache(weights, FACTS).write(lambda: b"blob")
    weights.path.write_bytes(b"others!")
    assert BlobCache(weights, FACTS).read(bytes) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ],
)
def test_a_torn_or_rotten_file_is_no_blob_and_is_replaced(weights: Weights, harm: Callable[[bytes], bytes]) -> None:
    kept = BlobCache(weights, FACTS)
    kept.write(lambda: b"a longer blob")
    [path] = blobs(weights)
    path.write_bytes(harm(path.read_bytes()))
    assert kept.read(bytes) is None
    kept.write(lambda: b"anew")
    assert kept.read(bytes) == b"anew"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes of POSIX")
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(weights: Weights, mode: int) -> None:
    kept = BlobCache(weights, FACTS)
    kept.write(lambda: b"blob")
    (weights.path.parent / FOLDER).chmod(mode)
    assert kept.read(bytes) is None
    kept.write(never)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes of POSIX")
def test_a_folder_of_somebody_else_is_neither_read_nor_written(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = BlobCache(weights, FACTS)
    kept.write(lambda: b"blob")
    monkeypatch.setattr(os, "geteuid", lambda: (weights.path.parent / FOLDER).stat().st_uid + 1)
    assert kept.read(bytes) is None
    kept.write(never)


def test_a_folder_that_can_not_be_made_is_done_without(weights: Weights, caplog: pytest.LogCaptureFixture) -> None:
    (weights.path.parent / FOLDER).write_bytes(b"a file in the way")
    with caplog.at_level(logging.INFO):
        assert BlobCache(weights, FACTS).read(bytes) is None
        BlobCache(weights, FACTS).write(never)
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_nothing_is_exported_for_a_folder_that_is_read_only(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    BlobCache(weights, FACTS).write(never)


def test_a_full_disk_is_no_error_and_leaves_nothing(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise DiskError("the disk is full")

    monkeypatch.setattr(atomic, "write_atomic", full)
    with caplog.at_level(logging.INFO):
        BlobCache(weights, FACTS).write(lambda: b"blob")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert blobs(weights) == []


def test_an_export_that_fails_is_no_error(weights: Weights) -> None:
    BlobCache(weights, FACTS).write(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert blobs(weights) == []


def test_large_weights_are_not_kept_but_where_they_are_made_to_take_another_size(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_cache, "_MAX_WEIGHTS", len(b"weights") - 1)
    BlobCache(weights, FACTS).write(never)
    assert not (weights.path.parent / FOLDER).exists()
    resized = structs.replace(weights, exported=32)
    BlobCache(resized, FACTS).write(lambda: b"blob")
    assert BlobCache(resized, FACTS).read(bytes) == b"blob"


@pytest.mark.parametrize("other", [{"size": 32}, {"output": 1}, {"output": "map"}])
def test_the_same_file_for_another_size_or_output_finds_nothing(weights: Weights, other: dict[str, Any]) -> None:
    BlobCache(weights, FACTS).write(lambda: b"blob")
    assert BlobCache(structs.replace(weights, **other), FACTS).read(bytes) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_a_pipe_in_a_blobs_place_does_not_keep_the_run_waiting(weights: Weights) -> None:
    BlobCache(weights, FACTS).write(lambda: b"blob")
    [path] = blobs(weights)
    path.unlink()
    os.mkfifo(path)
    assert BlobCache(weights, FACTS).read(bytes) is None


def test_a_foreign_file_in_the_folder_is_never_removed(weights: Weights) -> None:
    BlobCache(weights, FACTS).write(lambda: b"blob")
    foreign = weights.path.parent / FOLDER / f"{weights.path.stem}-notes.blob"
    foreign.write_bytes(b"mine")
    os.utime(foreign, (0, 0))
    for number in range(9):
        BlobCache(weights, FACTS | {"number": number}).write(lambda: b"blob")
    assert foreign.read_bytes() == b"mine"


def test_old_blobs_of_the_same_weights_go_and_those_of_others_stay(weights: Weights, tmp_path: Path) -> None:
    other = of(tmp_path / "netp.onnx", b"others")
    BlobCache(other, FACTS).write(lambda: b"other")
    for number in range(9):
        BlobCache(weights, {"openvino": number}).write(lambda: b"blob")
        newest = max(blobs(weights), key=lambda path: (path.stem.startswith("net-"), path.stat().st_mtime_ns))
        os.utime(newest, (number, number))  # a filesystem's clock may stand still between two of them
    assert len(blobs(weights)) == 5
    assert BlobCache(other, FACTS).read(bytes) == b"other"
    assert [n for n in range(9) if BlobCache(weights, {"openvino": n}).read(bytes)] == [5, 6, 7, 8]


# The network


@pytest.fixture
def network(tmp_path: Path) -> Weights:
    """A small real network; OpenVINO has it in two files, of which the first stands for the weights."""
    module = openvino._module()
    if module is None:
        pytest.skip("needs openvino, of the extra `local`")
    ops = module.opset13
    given = ops.parameter([1, 3, 16, 16], np.float32)
    kernel = np.random.default_rng(1).normal(0, 1, (1, 3, 3, 3)).astype(np.float32)
    found = ops.sigmoid(ops.convolution(given, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1]))
    module.save_model(module.Model([found], [given], "net"), str(tmp_path / "net.xml"), compress_to_fp16=False)
    return Weights(name="net", sha256="5" * 64, size=16, own=tmp_path / "net.xml")


def loaded(network: Weights, streams: int = 1) -> openvino.OpenVino:
    with patch.object(openvino, "cores", lambda: streams):
        return openvino.OpenVino(network, OV32)


def tensor() -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The networks that were compiled."""
    seen: list[Weights] = []
    compile_it = openvino._compile

    def noted(module: Any, core: Any, model: Weights, wanted: Any) -> Any:
        seen.append(model)
        return compile_it(module, core, model, wanted)

    monkeypatch.setattr(openvino, "_compile", noted)
    return seen


def test_a_network_is_compiled_once_and_the_kept_one_sees_the_very_same(
    network: Weights, compilations: list[Weights]
) -> None:
    fresh = loaded(network).run(tensor())
    kept = loaded(network)
    np.testing.assert_array_equal(kept.run(tensor()), fresh)
    assert (kept.used, compilations) == (OV32, [network])


def test_other_options_are_another_network(network: Weights, compilations: list[Weights]) -> None:
    for streams in (1, 2, 1, 2):
        loaded(network, streams)
    assert compilations == [network, network]
    assert len(blobs(network)) == 2


def test_a_kept_network_must_be_what_was_asked_for_too(network: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(network)
    monkeypatch.setitem(openvino._NAMES, "f32", "float16")
    with pytest.raises(SettingsError, match="was asked for float32"):
        loaded(network)


def test_one_that_is_not_what_was_asked_for_is_not_kept(network: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openvino._NAMES, "f32", "float16")
    with pytest.raises(SettingsError, match="was asked for float32"):
        loaded(network)
    assert not (network.path.parent / FOLDER).exists()


def test_a_blob_that_openvino_refuses_is_compiled_anew_and_replaced(
    network: Weights, compilations: list[Weights]
) -> None:
    fresh = loaded(network).run(tensor())
    [path] = blobs(network)
    whole, refused = path.read_bytes(), b"no network, and still its own checksum's"
    path.write_bytes(refused + zlib.crc32(refused).to_bytes(4, "big"))
    np.testing.assert_array_equal(loaded(network).run(tensor()), fresh)
    assert compilations == [network, network]
    assert len(path.read_bytes()) == len(whole)


def test_a_network_is_loaded_where_nothing_can_be_kept(network: Weights, compilations: list[Weights]) -> None:
    (network.path.parent / FOLDER).write_bytes(b"a file in the way")
    np.testing.assert_array_equal(loaded(network).run(tensor()), loaded(network).run(tensor()))
    assert compilations == [network, network]


class Processor:
    """Stands for OpenVINO and its core: what they say of themselves."""

    def __init__(self, version: str = "1-a", name: str = "EPYC", good_at: tuple[str, ...] = ("FP32", "BF16")) -> None:
        self._version = version
        self._properties = {"FULL_DEVICE_NAME": name, "OPTIMIZATION_CAPABILITIES": good_at}

    def get_version(self) -> str:
        return self._version

    def get_property(self, device: str, name: str) -> Any:
        return self._properties[name]


@pytest.mark.parametrize(
    "other", [Processor(version="1-b"), Processor(name="Xeon"), Processor(good_at=("FP32",))], ids=lambda _: ""
)
def test_version_processor_and_what_it_is_good_at_are_part_of_the_key(other: Processor) -> None:
    here = Processor()
    assert openvino._facts(here, here, {}) == openvino._facts(Processor(), Processor(), {})
    assert openvino._facts(here, here, {}) != openvino._facts(other, other, {})
    assert openvino._facts(here, here, {}) != openvino._facts(here, here, {"NUM_STREAMS": "2"})
