"""What is asked for and what is here decide where a network runs; the table is exact, and nothing falls back unsaid."""

from __future__ import annotations

from typing import get_args

import pytest

from batch_removebg.engine import devices
from batch_removebg.engine.devices import Choice, Device, Installed, Precision, resolve
from batch_removebg.errors import SettingsError

CPU = "CPUExecutionProvider"
PLAIN = Installed((CPU, "AzureExecutionProvider"))
CARD = Installed(("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU))
WINDOWS = Installed(("DmlExecutionProvider", CPU), ("FP32", "INT8"))
MAC = Installed(("CoreMLExecutionProvider", CPU))
OLD = Installed((CPU,), ("FP32", "INT8"))
NEW = Installed((CPU,), ("BF16", "FP32", "INT8"))
BOTH = Installed(("CUDAExecutionProvider", CPU), ("BF16", "FP32"))
ALONE = Installed(None, ("BF16", "FP32"))

CPU32, OV32, OV16 = Choice("cpu", "float32"), Choice("openvino", "float32"), Choice("openvino", "bf16")
CUDA, DML, COREML = (Choice(device, "float32") for device in ("cuda", "directml", "coreml"))


@pytest.mark.parametrize(
    ("installed", "device", "precision", "tried"),
    [
        (PLAIN, "auto", "auto", [CPU32]),
        (PLAIN, "auto", "float32", [CPU32]),
        (PLAIN, "cpu", "auto", [CPU32]),
        (OLD, "auto", "auto", [OV32, CPU32]),
        (OLD, "openvino", "auto", [OV32]),
        (OLD, "cpu", "auto", [CPU32]),
        (NEW, "auto", "auto", [OV16, CPU32]),
        (NEW, "auto", "float32", [OV32, CPU32]),
        (NEW, "auto", "bf16", [OV16]),
        (NEW, "openvino", "auto", [OV16]),
        (NEW, "openvino", "float32", [OV32]),
        (NEW, "openvino", "bf16", [OV16]),
        (NEW, "cpu", "auto", [CPU32]),
        (CARD, "auto", "auto", [CUDA, CPU32]),
        (CARD, "cuda", "auto", [CUDA]),
        (BOTH, "auto", "auto", [CUDA, OV16, CPU32]),
        (BOTH, "auto", "bf16", [OV16]),
        (WINDOWS, "auto", "auto", [DML, OV32, CPU32]),
        (WINDOWS, "directml", "float32", [DML]),
        (MAC, "auto", "auto", [CPU32]),
        (MAC, "coreml", "auto", [COREML]),
        (ALONE, "auto", "auto", [OV16]),
        (ALONE, "openvino", "float32", [OV32]),
    ],
)
def test_what_is_asked_for_and_here_is_tried_in_this_order(
    installed: Installed, device: Device, precision: Precision, tried: list[Choice]
) -> None:
    assert list(resolve(device, precision, installed)) == tried


@pytest.mark.parametrize(
    ("installed", "device", "precision", "said"),
    [
        (PLAIN, "cuda", "auto", "--device cuda isn't available here: .*pip install onnxruntime-gpu"),
        (PLAIN, "directml", "auto", "--device directml isn't available here: .*pip install onnxruntime-directml"),
        (PLAIN, "coreml", "auto", "--device coreml isn't available here: it needs macOS"),
        (PLAIN, "openvino", "auto", "--device openvino isn't available here: .*pip install openvino"),
        (PLAIN, "auto", "bf16", "--device openvino isn't available here: .*pip install openvino"),
        (OLD, "openvino", "bf16", "--precision bf16: this processor does not compute in bfloat16"),
        (OLD, "auto", "bf16", "--precision bf16: this processor does not compute in bfloat16"),
        (ALONE, "cpu", "auto", "--device cpu isn't available here: .*pip install onnxruntime"),
        (CARD, "coreml", "auto", "--device coreml"),
    ],
)
def test_what_is_asked_for_and_absent_is_an_error_that_says_what_to_install(
    installed: Installed, device: Device, precision: Precision, said: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{said}"):
        resolve(device, precision, installed)


@pytest.mark.parametrize("device", [device for device in devices.DEVICES if device not in ("auto", "openvino")])
def test_bf16_on_a_runtime_without_it_is_refused_wherever_that_runs(device: Device) -> None:
    with pytest.raises(SettingsError, match=f"^--precision bf16 with --device {device}: only OpenVINO"):
        resolve(device, "bf16", BOTH)


def test_nothing_installed_is_a_missing_extra() -> None:
    with pytest.raises(SettingsError, match=r"pip install '\.\[local\]'"):
        resolve("auto", "auto", Installed())


def test_the_default_precision_is_one_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "AUTO_PRECISION", "float32")
    assert resolve("auto", "auto", NEW) == (OV32, CPU32)
    assert resolve("openvino", "bf16", NEW) == (OV16,)


@pytest.mark.parametrize(
    ("choice", "shown"),
    [(OV16, "openvino CPU bf16"), (CPU32, "onnxruntime CPU float32"), (DML, "onnxruntime DirectML float32")],
)
def test_a_choice_names_runtime_device_and_precision(choice: Choice, shown: str) -> None:
    assert str(choice) == shown


def test_the_words_are_those_of_the_types() -> None:
    assert get_args(Device) == devices.DEVICES
    assert set(devices.AUTO_DEVICES) | {"auto", "coreml"} == set(devices.DEVICES)
