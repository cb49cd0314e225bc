"""Load a network on the device that the user asked for, and nowhere else."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import msgspec

from batch_removebg.engine import weights
from batch_removebg.engine.devices import MISSING_EXTRA, Choice, Device, Installed, Precision, resolve, said
from batch_removebg.engine.fetch_weights import Progress
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import SettingsError, WeightsMissing

from . import onnx, openvino

log = logging.getLogger(__name__)

Runtime = onnx.OnnxRuntime | openvino.OpenVino


def require(device: Device, precision: Precision) -> None:
    """Raise SettingsError if the device or precision isn't available; `auto` needs any runtime."""
    # For `auto` nothing is imported: that takes a tenth of a second, wasted where the run has nothing to predict.
    if (device, precision) != ("auto", "auto"):
        resolve(device, precision, look(device))
    elif not any(find_spec(name) for name in ("openvino", "onnxruntime")):
        raise SettingsError(MISSING_EXTRA)


def ensure_weights(model: Weights, *, progress: Progress, device: Device, precision: Precision) -> None:
    """Download the weights of a network where they are missing and a runtime is there; blocks; raises SettingsError."""
    require(device, precision)
    try:
        weights.ensure(model, progress=progress)
    except WeightsMissing as error:
        other = "" if model.class_ == "fast" else "\n  or choose the smallest network: --class fast"
        if model.better:
            alone = weights.here(msgspec.structs.replace(model, better=())) == "yes"
            other = "\n  or leave out --escalate" if alone else other and f"{other}, without --escalate"
        raise WeightsMissing(f"{error}{other}") from error


def look(device: Device) -> Installed:
    """The installed runtimes among those that the device could need; no other is imported."""
    return Installed(
        onnx.providers() if device != "openvino" else None,
        openvino.capabilities() if device in ("auto", "openvino") else None,
    )


def open_runtime(
    model: Weights, device: Device = "auto", precision: Precision = "auto", *, batched: bool = False
) -> Runtime:
    """A single network on the device or, with `auto`, the best that works; raises SettingsError."""
    *before, last = resolve(device, precision, look(device))
    for choice in before:
        try:
            return _open(model, choice, batched)
        except SettingsError as error:
            log.info("%s does not work here, so the next is tried: %s", choice, error)
    return _open(model, last, batched)


def _open(model: Weights, choice: Choice, batched: bool = False) -> Runtime:
    try:
        if choice.device == "openvino":
            return openvino.OpenVino(model, choice)
        return onnx.OnnxRuntime(model, choice, batched=batched)
    except SettingsError:
        raise
    except Exception as error:  # theirs have no base class, nor have those of the libraries beneath them
        raise SettingsError(f"{choice} can't load the weights in {model.path}: {said(error)}") from error
