"""`bench-engine` measures what is here, downloads nothing, and says what it did not measure and why."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.engine import benchmark, network, weights
from batch_removebg.engine.benchmark import Report, Timing
from batch_removebg.engine.devices import Choice, Device, Installed, Precision
from batch_removebg.engine.runtimes.opening import Runtime
from batch_removebg.errors import SettingsError
from batch_removebg.resources import cores

CPU = "CPUExecutionProvider"
OV16, OV32, CPU32 = Choice("openvino", "bf16"), Choice("openvino", "float32"), Choice("cpu", "float32")
PACES = {1000: 4.0, 2400: 2.0, 4000: 1.0}


class Plain:
    """A runtime that sees nothing, at once."""

    def __init__(self, used: Choice) -> None:
        self.used = used

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros(tensor.shape[2:], np.float32)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Choice]:
    """A machine with both runtimes and u2netp alone; what is opened on it."""
    found: list[Choice] = []

    def look(device: Device) -> Installed:
        return Installed((CPU,), ("BF16", "FP32"))

    def open_runtime(model: weights.Weights, device: Device, precision: Precision, **_: bool) -> Runtime:
        assert precision != "auto"
        found.append(Choice(device, precision))
        return Plain(found[-1])

    def pace(work: Callable[[], object], seconds: float) -> float:
        work()
        return 5.0

    monkeypatch.setattr(weights, "find", lambda model: tmp_path / "x.onnx" if model.name == "u2netp" else None)
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "ensure", lambda *_, **__: pytest.fail("downloaded weights"))
    monkeypatch.setattr(benchmark, "look", look)
    monkeypatch.setattr(network, "open_runtime", open_runtime)
    monkeypatch.setattr(benchmark, "pace", pace)
    monkeypatch.setattr(benchmark, "SIZES", (60, 90))
    return found


def test_every_device_and_precision_that_is_here_is_measured(opened: list[Choice]) -> None:
    said: list[str] = []
    report = benchmark.measure("u2netp", "auto", 1.0, say=said.append)
    assert opened == [CPU32, OV16, OV32]
    assert [row.engine for row in report.rows] == list(map(str, opened))
    assert all(row.pictures == {60: 5.0, 90: 5.0} and row.inference == 5.0 for row in report.rows)
    assert said[0] == "u2netp on onnxruntime CPU float32: the network alone"
    assert len(said) == 9


def test_missing_and_damaged_weights_are_reported_and_not_downloaded(opened: list[Choice], tmp_path: Path) -> None:
    (tmp_path / "isnet.onnx").write_bytes(b"cut short")
    report = benchmark.measure(None, "cpu", 1.0, say=lambda text: None)
    assert [row.model for row in report.rows] == list(weights.MODELS)
    assert report.rows[1].why_not == "not on this machine; download it with: batch-removebg models pull u2net"
    assert report.rows[3].why_not == "its file is damaged; see batch-removebg models verify isnet"
    assert opened == [CPU32]


def test_a_device_that_is_asked_for_and_absent_is_an_error(opened: list[Choice]) -> None:
    with pytest.raises(SettingsError, match=r"^--device cuda isn't available here"):
        benchmark.measure(None, "cuda", 1.0, say=lambda text: None)
    assert opened == []


@pytest.mark.parametrize(
    ("model", "device", "seconds", "said"),
    [
        ("u3net", "auto", 1.0, "unknown model 'u3net'"),
        (None, "auto", 0.0, "--seconds 0: give a finite number above 0"),
        (None, "auto", float("nan"), "--seconds nan: give a finite number above 0"),
        (None, "auto", float("inf"), "--seconds inf: give a finite number above 0"),
        (
            "u2net",
            "auto",
            1.0,
            "--model u2net: not on this machine; download it with: batch-removebg models pull u2net",
        ),
    ],
)
@pytest.mark.usefixtures("opened")
def test_words_that_make_no_sense_are_refused(model: str | None, device: str, seconds: float, said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{said}"):
        benchmark.measure(model, device, seconds, say=lambda text: None)


def test_the_table_tells_each_pace_and_its_share_of_the_networks_own() -> None:
    rows = (Timing("u2netp", "openvino CPU bf16", 8.0, PACES), Timing("u2net", "—", why_not="not on this machine"))
    assert Report(2, 5.0, rows).table().splitlines() == [
        "model   runs on            network alone  1000 px     2400 px     4000 px",
        "u2netp  openvino CPU bf16  8.00           4.00 (50%)  2.00 (25%)  1.00 (12%)",
        "u2net   —                  not on this machine",
        "pictures a second on 2 cores, 5 s a figure; in brackets: share of the limit, which is the network alone",
    ]


def test_the_report_is_plain_data() -> None:
    report = Report(2, 5.0, (Timing("u2netp", "openvino CPU bf16", 8.0, PACES),))
    assert json.loads(json.dumps(asdict(report))) == {
        "cores": 2,
        "seconds": 5.0,
        "rows": [
            {
                "model": "u2netp",
                "engine": "openvino CPU bf16",
                "inference": 8.0,
                "pictures": {"1000": 4.0, "2400": 2.0, "4000": 1.0},
                "why_not": None,
            }
        ],
    }


def test_a_pace_is_what_all_cores_did_over_the_time_it_took() -> None:
    lock, times = threading.Lock(), iter(range(10_000))
    threads: set[int] = set()

    def now() -> float:
        with lock:
            return next(times) / 100  # each look at the clock takes a hundredth of a second

    def work() -> None:
        threads.add(threading.get_ident())

    # Every turn of a thread looks at the clock once, so all of them together do 100 turns a second.
    assert benchmark.pace(work, 10.0, now=now) == pytest.approx(100, rel=0.02)
    assert 1 <= len(threads) <= cores()


def test_an_interrupt_ends_every_thread_after_the_picture_it_is_at() -> None:
    def work() -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        benchmark.pace(work, 1e9, now=lambda: 0.0)  # a clock that stands still: no thread ends by itself
    assert threading.active_count() == before


@pytest.mark.parametrize("size", [60, 1000])
def test_the_picture_is_a_jpeg_of_the_size_that_is_told(size: int) -> None:
    image = Image.open(io.BytesIO(benchmark.photo(size)))
    assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", size)
