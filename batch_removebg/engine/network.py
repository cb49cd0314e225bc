"""The network itself: a picture in, the alpha it sees out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from batch_removebg.model import Matte

from . import runtimes, weights
from .devices import Device, Precision
from .fetch_weights import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY_BELOW = 0.2
"""A map whose peak lies below this shows no object: stretched, it would be a ghost made of the network's noise.

Measured with u2netp, in float32 (and in bf16): the lowest peak of 12 photographs, each whole and as an object of 80×60
on 1600×1200 white, is 0.973 (0.973). Of 23 plain pictures (white, black, colours, gradients, noise, wood, planks,
checks) the highest is 0.34 (0.16): heavily blurred noise in float32; of the 22 others 0.058 (0.16). Stripes and lightly
blurred noise have peaks of 0.86 to 1.0: to the network they are objects, and no threshold tells them apart.
"""
_DARKEST = 1e-6  # a black picture is divided by this instead of by its maximum, zero


class Network(Protocol):
    """What provider and server need of an engine."""

    @property
    def used(self) -> str:
        """What it runs on, such as `openvino CPU bf16`."""
        ...

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The alpha of a picture H×W×3; may be called from several threads at once."""
        ...


def load(name: str, *, progress: Progress, device: Device = "auto", precision: Precision = "auto") -> Engine:
    """The engine of that model, its weights brought where they are not here; blocks.

    Raises SettingsError (WeightsMissing for the weights, DeviceAbsent for a device or precision that can't be had;
    also for an unknown name or a missing extra).
    """
    path = bring(name, progress=progress, device=device, precision=precision)
    return Engine(runtimes.open_runtime(path, device, precision), weights.known(name))


def bring(name: str, *, progress: Progress, device: Device = "auto", precision: Precision = "auto") -> Path:
    """The weights' file of that model, once it is sure that something can run it; blocks; raises as `load`."""
    weights.known(name)
    runtimes.require(device, precision)
    return weights.ensure(name, progress=progress)


class Engine:
    """U²-Net on a runtime; may be called from several threads at once."""

    def __init__(self, runtime: runtimes.Runtime, model: weights.Weights) -> None:
        """`runtime` has loaded the network that `model` describes."""
        self._runtime = runtime
        self._model = model

    @property
    def used(self) -> str:
        """What it runs on, such as `openvino CPU bf16`."""
        return str(self._runtime.used)

    @property
    def size(self) -> int:
        """Width and height of what the network looks at, in pixels."""
        return self._model.size

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The alpha of a picture H×W×3, uint8, upright and sRGB, at the network's own size.

        Raises PredictionFailed where the runtime gives up.
        """
        return replace(stretch(self._runtime.run(prepare(rgb, self._model))), engine=self.used)


def prepare(rgb: NDArray[np.uint8], model: weights.Weights) -> NDArray[np.float32]:
    """What U²-Net wants to see: 1×3×S×S; resized by Lanczos, divided by its maximum, standardised by channel.

    Source: the `normalize` step of U²-Net's published inference (RescaleT, ToTensorLab with flag 0).
    """
    if rgb.shape[:2] != (model.size, model.size):
        rgb = np.asarray(Image.fromarray(rgb).resize((model.size, model.size), Image.Resampling.LANCZOS))
    planes = rgb.transpose(2, 0, 1).astype(np.float32, order="C")
    mean, deviation = (np.array(three, np.float32)[:, None, None] for three in (model.mean, model.deviation))
    planes *= 1 / (max(float(rgb.max()), _DARKEST) * deviation)
    planes -= mean / deviation
    return planes[np.newaxis]


def stretch(found: NDArray[np.float32]) -> Matte:
    """The map of probabilities, min–max normalised to 0–255; a constant one as it is, and one without an object all 0.

    The normalisation is U²-Net's own (`normPRED` of its published inference), and hides that a map is empty.
    """
    low, peak = float(found.min()), float(found.max())
    if peak < EMPTY_BELOW:
        return Matte(np.zeros(found.shape, np.uint8), peak)
    unit = (found - low) / (peak - low) if peak > low else found.clip(0.0, 1.0)
    return Matte(np.rint(unit * 255.0).astype(np.uint8), peak)
