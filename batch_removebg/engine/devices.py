"""Where a network can run and in which precision: decided from what is installed here, without loading any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from batch_removebg.errors import DeviceAbsent, SettingsError

MISSING_EXTRA = "the local engine is not installed; install it with: pip install 'batch-removebg[local]'"
Device = Literal["auto", "cpu", "cuda", "coreml", "directml", "openvino"]
Precision = Literal["auto", "float32", "bf16"]
Exact = Literal["float32", "bf16"]
DEVICES: tuple[Device, ...] = get_args(Device)
"""`cpu` is onnxruntime on the processor, the reference; `openvino` is OpenVINO on the same."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

AUTO_PRECISION: Exact = "bf16"
"""What `--precision auto` takes where the processor computes in it natively; elsewhere it is float32.

Half the time of float32. Over twelve photographs the mask differs from float32's by 0.007 in the mean of means, 0.028
in the worst, and 0.75 % of the pixels (4.1 % in the worst) change sides at one half. The error is spread over the whole
network: with the last layers alone in float32 it is no smaller.
"""

AUTO_DEVICES: tuple[Device, ...] = ("cuda", "directml", "openvino", "cpu")
"""The order in which `--device auto` tries what is here.

A runtime for CUDA or DirectML is nobody's by accident: it is a package of its own. CoreML comes with every onnxruntime
for macOS and has never been measured, so it is taken only where it is asked for. On a processor OpenVINO takes
419 ms of a core for a picture in float32, onnxruntime 460 (u2netp, medians), and it alone has bf16: 216 ms.
"""

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""The devices as onnxruntime calls them."""

_SHOWN = {"cpu": "CPU", "cuda": "CUDA", "coreml": "CoreML", "directml": "DirectML"}
_REMEDIES = {
    "cuda": "needs an NVIDIA card with its driver, CUDA and cuDNN, and onnxruntime-gpu instead of onnxruntime: "
    "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    "directml": "needs Windows, and onnxruntime-directml instead of onnxruntime: "
    "pip uninstall onnxruntime && pip install onnxruntime-directml",
    "coreml": "needs macOS, where it comes with onnxruntime: pip install onnxruntime",
    "cpu": "needs onnxruntime: pip install onnxruntime",
    "openvino": "needs OpenVINO: pip install openvino",
}


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine offers."""

    providers: tuple[str, ...] | None = None
    """Execution providers that onnxruntime was built with; None where it is not installed."""
    openvino: tuple[str, ...] | None = None
    """What OpenVINO says its CPU plugin is good at, such as FP32 and BF16; None where it is not installed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A device and a precision that should work here; whether they do shows when the network is loaded."""

    device: Device
    """Never `auto`."""
    precision: Exact

    @property
    def provider(self) -> str:
        """The device as onnxruntime calls it."""
        return PROVIDERS[self.device]

    def __str__(self) -> str:
        if self.device == "openvino":
            return f"openvino CPU {self.precision}"
        return f"onnxruntime {_SHOWN[self.device]} {self.precision}"


def check(device: str, precision: str) -> None:
    """Raise SettingsError for words that are none of ours, and for pairs that exist nowhere."""
    if device not in DEVICES:
        raise SettingsError(f"--device {device}: choose one of {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise SettingsError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}")
    if precision == "bf16" and device not in ("auto", "openvino"):
        raise SettingsError(
            f"--precision bf16 with --device {device}: only OpenVINO computes in it here; choose --device openvino"
        )


def resolve(device: Device, precision: Precision, here: Here) -> tuple[Choice, ...]:
    """What is to be tried, the best first: one choice for a device that was named, one or more for `auto`.

    Raises DeviceAbsent where what was asked for is not here, SettingsError where nothing is.
    """
    check(device, precision)
    if here.providers is None and here.openvino is None:
        raise SettingsError(MISSING_EXTRA)
    if device != "auto":
        _require(device, here)
        return (Choice(device, _precision(device, precision, here)),)
    if precision == "bf16":
        _require("openvino", here)
        return (Choice("openvino", _precision("openvino", precision, here)),)
    return tuple(Choice(one, _precision(one, precision, here)) for one in AUTO_DEVICES if _offered(one, here))


def _precision(device: Device, precision: Precision, here: Here) -> Exact:
    native = device == "openvino" and "BF16" in (here.openvino or ())
    if precision == "auto":
        return AUTO_PRECISION if native else "float32"
    if precision == "bf16" and not native:
        raise DeviceAbsent(
            "--precision bf16: this processor does not compute in bfloat16 (that takes AVX512-BF16 or AMX); "
            "choose --precision float32 or auto"
        )
    return precision


def _require(device: Device, here: Here) -> None:
    if not _offered(device, here):
        raise DeviceAbsent(f"--device {device} is not to be had here: it {_REMEDIES[device]}; or choose --device auto")


def _offered(device: Device, here: Here) -> bool:
    if device == "openvino":
        return here.openvino is not None
    return PROVIDERS[device] in (here.providers or ())
