"""The network itself: a picture in, the alpha it sees out."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from batch_removebg.errors import PredictionFailed, SettingsError

from . import weights
from .pull import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DARKEST = 1e-6  # a black picture is divided by this instead of by its maximum, zero
_ERRORS_ONLY = 3  # of onnxruntime's severities


@dataclass(frozen=True, slots=True)
class Matte:
    """What the network makes of one picture."""

    alpha: NDArray[np.uint8]
    """S×S, 0 (background) to 255, stretched so that both ends are reached."""
    peak: float
    """The map's maximum before it was stretched, 0–1: near 0 where the network saw no object at all."""


class Network(Protocol):
    """What provider and server need of an engine."""

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The alpha of a picture H×W×3; may be called from several threads at once."""
        ...


def load(name: str, *, progress: Progress, threads: int | None = None) -> Engine:
    """The engine of that model, its weights brought where they are not here; blocks.

    Raises SettingsError (WeightsMissing for the weights; also for an unknown name or a missing extra).
    """
    return Engine(bring(name, progress=progress), weights.known(name), threads)


def bring(name: str, *, progress: Progress) -> Path:
    """The weights' file of that model, once it is sure that the runtime is here to run it; blocks; raises as `load`."""
    weights.known(name)
    _runtime()
    return weights.ensure(name, progress=progress)


class Engine:
    """U²-Net on onnxruntime's CPU provider; may be called from several threads at once."""

    def __init__(self, path: Path, model: weights.Weights, threads: int | None = None) -> None:
        """`threads` that one run may use; by default as many as there are cores.

        Raises SettingsError where the runtime is not installed or can't read the weights.
        """
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = _ERRORS_ONLY
        options.enable_mem_pattern = False  # on u2netp it costs 190 MB and no time is won
        # An idle core must wait asleep: other pictures are being decoded and encoded meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _foreign_errors() as error:
            raise SettingsError(f"onnxruntime can't load the weights in {path}: {error}") from error
        self._model = model
        # A run uses every core by itself; two at once take twice the memory, some 300 MB each, and no less time.
        self._one_at_a_time = threading.Lock()
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The alpha of a picture H×W×3, uint8, upright and sRGB, at the network's own size.

        Raises PredictionFailed where the runtime gives up.
        """
        tensor = prepare(rgb, self._model)
        try:
            with self._one_at_a_time:
                [found] = self._session.run([self._output], {self._input: tensor})
        except _foreign_errors() as error:
            raise PredictionFailed(f"onnxruntime gave up: {error}") from error
        return stretch(found[0, 0])


def prepare(rgb: NDArray[np.uint8], model: weights.Weights) -> NDArray[np.float32]:
    """What U²-Net wants to see: 1×3×S×S; resized by Lanczos, divided by its maximum, standardised by channel.

    Source: the `normalize` step of U²-Net's published inference (RescaleT, ToTensorLab with flag 0).
    """
    if rgb.shape[:2] != (model.size, model.size):
        rgb = np.asarray(Image.fromarray(rgb).resize((model.size, model.size), Image.Resampling.LANCZOS))
    unit = rgb.astype(np.float32) / max(float(rgb.max()), _DARKEST)
    standard = (unit - np.array(model.mean, np.float32)) / np.array(model.deviation, np.float32)
    return np.ascontiguousarray(standard.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)


def stretch(found: NDArray[np.float32]) -> Matte:
    """The map of probabilities, min–max normalised to 0–255; a constant one is taken at its word."""
    low, peak = float(found.min()), float(found.max())
    unit = (found - low) / (peak - low) if peak > low else found.clip(0.0, 1.0)
    return Matte(np.rint(unit * 255.0).astype(np.uint8), peak)


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(weights.MISSING_EXTRA) from error
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _foreign_errors() -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime, which share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError)
