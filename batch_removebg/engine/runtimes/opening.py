"""From what a user asked for to a network that is loaded, and really runs where it was asked to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batch_removebg.engine.devices import MISSING_EXTRA, PROVIDERS, Choice, Device, Here, Precision, check, resolve
from batch_removebg.errors import SettingsError

from . import onnx, openvino

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


class Runtime(Protocol):
    """A network that is loaded; may be called from several threads at once."""

    @property
    def used(self) -> Choice:
        """What it really runs on, as the runtime says after loading."""
        ...

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map S×S of a picture 1×3×S×S, both float32; raises PredictionFailed where the runtime gives up."""
        ...


Open = Callable[[Path, Choice], Runtime]


def require(device: Device, precision: Precision) -> None:
    """Raise SettingsError where what is asked for can't be had; `auto` is content with any runtime.

    Nothing is imported for `auto`, which takes a tenth of a second and is in vain where nothing is to be predicted.
    """
    check(device, precision)
    if (device, precision) != ("auto", "auto"):
        resolve(device, precision, look(device))
    elif not any(find_spec(name) for name in ("openvino", "onnxruntime")):
        raise SettingsError(MISSING_EXTRA)


def look(device: Device) -> Here:
    """What is here of the runtimes that the device could need; the others are not even imported.

    Nor is onnxruntime for `auto`, where it has nothing to offer that comes before OpenVINO.
    """
    good_at = openvino.capabilities() if device in ("auto", "openvino") else None
    if device == "openvino":
        return Here(openvino=good_at)
    if good_at is not None and onnx.plain():
        return Here((PROVIDERS["cpu"],), good_at)
    return Here(onnx.providers(), good_at)


def open_runtime(path: Path, device: Device = "auto", precision: Precision = "auto") -> Runtime:
    """The network in the ONNX file at `path`, loaded where it was asked for; with `auto`, in the best place that works.

    Raises DeviceAbsent where the device or precision asked for can't be had, or is not what the runtime then uses;
    SettingsError where no runtime is installed or none can read the file.
    """
    check(device, precision)
    return first(path, resolve(device, precision, look(device)), _open)


def first(path: Path, choices: tuple[Choice, ...], open_one: Open) -> Runtime:
    """The first of the choices that can be loaded; raises what is said of the last one where none can."""
    *before, last = choices
    for choice in before:
        try:
            return open_one(path, choice)
        except SettingsError as error:
            log.info("%s does not work here, and the next is tried: %s", choice, error)
    return open_one(path, last)


def _open(path: Path, choice: Choice) -> Runtime:
    return openvino.OpenVino(path, choice) if choice.device == "openvino" else onnx.OnnxRuntime(path, choice)
