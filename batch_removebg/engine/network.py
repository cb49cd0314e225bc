"""The network: a proxy in, its matte out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.model import Matte, ProxySpec

from . import weights
from .devices import Device, Precision
from .fetch_weights import Progress
from .runtimes.opening import Runtime, open_runtime, require

PROXY = ProxySpec(square=320, encoding="bmp")  # lossless and cheap to encode, since it isn't sent anywhere

EMPTY_BELOW = 0.2
"""A map whose peak is lower shows no object: stretched, it would turn the network's noise into a ghost.

Of 12 photographs, also tiny on white, u2netp's lowest peak is 0.973; of 23 plain pictures the highest is 0.34 (0.16 in
bf16), of heavily blurred noise. Stripes and lightly blurred noise are objects to it.
"""
_DARKEST = 1e-6  # a black picture is divided by this instead of by its maximum, zero


def load(
    name: str, *, progress: Progress = lambda done, total: None, device: Device = "auto", precision: Precision = "auto"
) -> Network:
    """The network of that model, its weights downloaded if they are missing; blocks; raises SettingsError."""
    path = ensure_weights(name, progress=progress, device=device, precision=precision)
    return opened(path, name, device, precision)


def opened(path: Path, name: str, device: Device, precision: Precision) -> Network:
    """The network of that model, whose weights in a file are known to be right; blocks; raises SettingsError."""
    return Network(open_runtime(path, device, precision), weights.known(name))


def ensure_weights(
    name: str, *, progress: Progress = lambda done, total: None, device: Device = "auto", precision: Precision = "auto"
) -> Path:
    """The weights of that model, downloaded if they are missing and a runtime is there; blocks; raises as `load`."""
    weights.known(name)
    require(device, precision)
    return weights.ensure(name, progress=progress)


class Network:
    """U²-Net on a runtime; may be used by several threads at once."""

    def __init__(self, runtime: Runtime, model: weights.Weights) -> None:
        """`runtime` has loaded the network that `model` describes."""
        self._runtime, self._model = runtime, model
        self.used = str(runtime.used)  # what it runs on, such as `openvino CPU bf16`

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The matte of a picture H×W×3, uint8, upright and sRGB, at the network's own size; raises PredictionFailed."""
        return replace(stretch(self._runtime.run(prepare(rgb, self._model))), engine=self.used)


def prepare(rgb: NDArray[np.uint8], model: weights.Weights) -> NDArray[np.float32]:
    """U²-Net's input, 1×3×S×S: the picture resized by Lanczos, divided by its maximum, standardised by channel.

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
    """The map of probabilities, min–max normalised to 0–255; all 0 if it shows no object, unscaled if constant."""
    # The normalisation is U²-Net's own (`normPRED` of its published inference); it would hide that a map is empty.
    low, peak = float(found.min()), float(found.max())
    if peak < EMPTY_BELOW:
        return Matte(np.zeros(found.shape, np.uint8), peak)
    unit = (found - low) / (peak - low) if peak > low else found.clip(0.0, 1.0)
    return Matte(np.rint(unit * 255.0).astype(np.uint8), peak)


def matte(network: Network, proxy: bytes) -> Matte:
    """The matte of an encoded proxy, at the network's size; raises SourceError, PredictionFailed."""
    with naming_the_image():
        pixels = to_8_bits(read(proxy, Limits()).pixels)
        return network.matte(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


@contextmanager
def naming_the_image() -> Iterator[None]:
    """Complete the text of a SourceError about pixels ("is empty") to a sentence."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"the image {error}") from error
