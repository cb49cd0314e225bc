"""The device and precision a network runs on: chosen from what is installed, without loading any of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Literal, get_args

from batch_removebg.errors import INSTALL, SettingsError

MISSING_EXTRA = f"the local engine is not installed; install it with: {INSTALL.format('local')}"
Device = Literal["auto", "cpu", "cuda", "coreml", "directml", "openvino"]
Precision = Literal["auto", "float32", "bf16"]
Exact = Literal["float32", "bf16"]
DEVICES: tuple[Device, ...] = get_args(Device)
"""`cpu` is onnxruntime on the processor, the reference; `openvino` is OpenVINO on the processor."""

AUTO_PRECISION: Exact = "bf16"
"""What `--precision auto` means on processors that compute in it natively; on others it means float32.

In half the time, masks of twelve photographs differ by 0.007 on average (0.028 in the worst).
"""

AUTO_DEVICES: tuple[Device, ...] = ("cuda", "directml", "openvino", "cpu")
"""The order in which `--device auto` tries what is installed; CoreML, which was never measured, must be named.

u2netp takes 419 ms of a core by OpenVINO in float32, 216 in bf16, and 460 by onnxruntime.
"""

PROVIDERS: dict[str, str] = {  # the devices' names in onnxruntime
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}

_BATCH = 8, 512 * 512
"""Pictures of so many pixels that a graphics card gets at a time; of larger ones fewer, for its memory.

An H200 takes 334 of isnet's a second by 8, and 368 by 16, but then each waits twice as long.
"""

_SHOWN = {"cpu": "CPU", "cuda": "CUDA", "coreml": "CoreML", "directml": "DirectML", "openvino": "CPU"}
_REMEDIES = {
    "cuda": "needs an NVIDIA card with its driver, CUDA and cuDNN, and onnxruntime-gpu instead of onnxruntime: "
    "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    "directml": "needs Windows, and onnxruntime-directml instead of onnxruntime: "
    "pip uninstall onnxruntime && pip install onnxruntime-directml",
    "coreml": "needs macOS, where it comes with onnxruntime: pip install onnxruntime",
    "cpu": "needs onnxruntime: pip install onnxruntime",
    "openvino": "needs OpenVINO: pip install openvino",
}


_PLACES = re.compile(r"^(Exception from |Check ').*$", re.MULTILINE)
SMALLER = "choose a smaller network (--class fast)"
NO_MEMORY = f"there isn't memory enough: close other programs, or {SMALLER}"


def at_once(device: Device, size: int) -> int:
    """Pictures size×size that a device is given at a time; `auto` counts as the card that it most likely is."""
    most, pixels = _BATCH
    card = device == "cuda" or (device == "auto" and any(distributions(name="onnxruntime-gpu")))
    return max(1, min(most, most * pixels // size**2)) if card else 1


def ahead(batch: int) -> int:
    """Pictures beyond one a core that keep a device busy which takes so many at a time: two batches run, one fills."""
    return 3 * batch if batch > 1 else 0


def said(error: Exception) -> str:
    """What a runtime says, in one line and without the places in its source."""
    if isinstance(error, MemoryError) or re.search("alloc|memory|serialize", str(error)):  # there is no other sign
        return NO_MEMORY
    return " ".join(_PLACES.sub("", str(error)).split()) or type(error).__name__


@dataclass(frozen=True, slots=True)
class Installed:
    """The runtimes on this machine."""

    providers: tuple[str, ...] | None = None  # what onnxruntime was built with; None if it isn't installed
    openvino: tuple[str, ...] | None = None  # capabilities of its CPU plugin, such as BF16; None if not installed

    def offers(self, device: Device) -> bool:
        """Whether a runtime here should run networks on that device, which is not `auto`."""
        if device == "openvino":
            return self.openvino is not None
        return PROVIDERS[device] in (self.providers or ())


@dataclass(frozen=True, slots=True)
class Choice:
    """A device and a precision that should work; loading the network shows whether they do."""

    device: Device  # never `auto`
    precision: Exact

    def __str__(self) -> str:
        runtime = "openvino" if self.device == "openvino" else "onnxruntime"
        return f"{runtime} {_SHOWN[self.device]} {self.precision}"


def check(device: Device, precision: Precision) -> None:
    """Raise SettingsError for a device and a precision that no runtime offers together."""
    if precision == "bf16" and device not in ("auto", "openvino"):
        why = "only OpenVINO computes in it; choose --device openvino"
        raise SettingsError(f"--precision bf16 with --device {device}: {why}")


def resolve(device: Device, precision: Precision, installed: Installed) -> tuple[Choice, ...]:
    """What to try, best first; raises SettingsError for what was named and is missing, and without any runtime."""
    check(device, precision)
    if installed.providers is None and installed.openvino is None:
        raise SettingsError(MISSING_EXTRA)
    if device == "auto" and precision == "bf16":
        device = "openvino"
    if device == "auto":
        devices = [one for one in AUTO_DEVICES if installed.offers(one)]
    elif installed.offers(device):
        devices = [device]
    else:
        raise SettingsError(f"--device {device} isn't available here: it {_REMEDIES[device]}; or choose --device auto")
    return tuple(Choice(one, _precision(one, precision, installed)) for one in devices)


def _precision(device: Device, precision: Precision, installed: Installed) -> Exact:
    native = device == "openvino" and "BF16" in (installed.openvino or ())
    if precision == "auto":
        return AUTO_PRECISION if native else "float32"
    if precision == "bf16" and not native:
        raise SettingsError(
            "--precision bf16: this processor does not compute in bfloat16 (it needs AVX512-BF16 or AMX); "
            "choose --precision float32 or auto"
        )
    return precision
