"""The network: a proxy in, its matte out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.errors import PredictionFailed, SettingsError, SourceError
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import apart, read
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.doubt import disagreement, undecided
from batch_removebg.matting.matte import MOST_BOXES, pixels_of
from batch_removebg.matting.regions import regions
from batch_removebg.model import Box, Matte

from . import weights
from .devices import SMALLER, Device, Precision
from .fetch_weights import Progress
from .runtimes.opening import Runtime, ensure_weights, open_runtime

EMPTY_BELOW = 0.2
"""A map whose peak is lower shows no object: stretched, it would turn the network's noise into a ghost.

Of 12 photographs, also tiny on white, u2netp's lowest peak is 0.973; of 23 plain pictures the highest is 0.34 (0.16 in
bf16), of heavily blurred noise. Stripes and lightly blurred noise are objects to it.
"""
_SOLID = 64  # level of 255 above which the surroundings of the subject are measured
_AROUND = 0.15  # of the subject's sides, added at each
_MOST = 0.6  # share of the picture from which on nothing is gained by a look at a part
_DARKEST = 1e-6  # a black picture is divided by this instead of by its maximum, zero


def _silent(done: int, total: int | None) -> None:
    """A progress that nobody watches."""


def load(
    model: weights.Weights, *, progress: Progress = _silent, device: Device = "auto", precision: Precision = "auto"
) -> Network:
    """A network with its weights, downloaded if they are missing; blocks; raises SettingsError."""
    ensure_weights(model, progress=progress, device=device, precision=precision)
    return opened(model, device, precision)


def opened(
    model: weights.Weights, device: Device = "auto", precision: Precision = "auto", *, batched: bool = False
) -> Network:
    """A network whose weights are known to be there, and right; blocks; raises SettingsError.

    `batched`: for threads enough that a card gets several pictures at a time.
    """
    look = cache(lambda part: _look(part, device, precision, batched))
    return (Escalating if model.better else Zooming if model.zoom else Network)(model, look)


@dataclass(frozen=True, slots=True)
class _Look:
    runtime: Runtime
    model: weights.Weights

    def found(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's map S×S of a picture H×W×3; raises PredictionFailed."""
        output = self.runtime.run(prepare(rgb, self.model))
        found = output.squeeze()
        if found.ndim != 2 or found.shape[0] != found.shape[1]:
            raise PredictionFailed(f"{self.model.name} gives {output.shape} instead of one square map")
        if not np.isfinite(found).all():
            raise PredictionFailed(f"{self.model.name} gives values that are no numbers")
        return np.multiply(0.5, 1 + np.tanh(found / 2)) if self.model.sigmoid else found  # it doesn't overflow


def _look(part: weights.Weights, device: Device, precision: Precision, batched: bool) -> _Look:
    """The network, loaded; one of the user's has a grey picture to look at first."""
    look = _Look(open_runtime(part, device, precision, batched=batched), part)
    if part.own is not None:
        part.require_shape(look.runtime.shape)
        try:
            look.found(np.full((part.size, part.size, 3), 128, np.uint8))
        except PredictionFailed as error:
            what = f"{part.sidecar}: size, layout or output isn't what {part.own.name} has"
            raise SettingsError(f"{what}: {error}") from error
    return look


class Network:
    """One network or several, on runtimes; may be used by several threads at once."""

    def __init__(self, model: weights.Weights, look: Callable[[weights.Weights], _Look]) -> None:
        """`look` loads a part of `model`."""
        self.model, self._look = model, look
        self._looks = [look(part) for part in model.looks or [msgspec.structs.replace(model, better=(), zoom=False)]]
        self.used = str(self._looks[0].runtime.used)  # what it runs on, such as `openvino CPU bf16`

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        """The matte of a picture H×W×3, uint8, upright and sRGB, at the network's own size; raises PredictionFailed."""
        mattes = [stretch(look.found(rgb)) for look in self._looks]
        return replace(combined(mattes), engine=self.used)


class Escalating(Network):
    """A network, and better ones for what it is in doubt about; each is loaded when the first such picture comes."""

    _loading = Lock()

    def matte(self, rgb: NDArray[np.uint8], *larger: NDArray[np.uint8]) -> Matte:
        """See Network, with the picture for each better one; `engine` names the network too, where it is such a one."""
        found = super().matte(rgb)
        for better, shown in zip(self.model.better, larger, strict=True):
            if self.model.doubtful(found):
                network = self._better(better)
                found = replace(network.matte(shown), engine=f"{network.used} {better.version}")
        return found

    def _better(self, model: weights.Weights) -> Network:
        try:
            with self._loading:
                return Network(model, self._look)  # at once, where its parts are loaded
        except SettingsError as error:
            raise SettingsError(str(error).replace(SMALLER, "leave out --escalate")) from error


class Zooming(Network):
    """A network that looks again at what it has found, and a little around that, so that it sees more of it."""

    def matte(self, rgb: NDArray[np.uint8], *whole: NDArray[np.uint8]) -> Matte:
        """See Network, with the picture in its own shape too; of a part where that is much less than all."""
        found = super().matte(rgb)
        if (part := around(found.alpha)) is None:
            return found
        closer = super().matte(np.ascontiguousarray(whole[0][pixels_of(part, *whole[0].shape[:2])]))
        if not closer.alpha.any():
            return found
        left, top, across, down = part
        suspect = ((left + x * across, top + y * down, w * across, h * down) for x, y, w, h in closer.suspect)
        return replace(closer, part=part, suspect=tuple(suspect))


def around(alpha: NDArray[np.uint8]) -> Box | None:
    """The subject's surroundings, pieces of less than 1 % of the largest left out; None where that is most of it."""
    sizes, boxes = regions(alpha >= _SOLID)
    if not len(sizes):
        return None
    found = boxes[sizes * 100 >= sizes.max()] / (*alpha.shape[::-1], *alpha.shape[::-1])
    low, high = found[:, :2].min(axis=0), found[:, 2:].max(axis=0)
    spare = _AROUND * (high - low)
    low, high = (low - spare).clip(0, 1), (high + spare).clip(0, 1)
    (left, top), (width, height) = low.tolist(), (high - low).tolist()
    return (left, top, width, height) if width * height < _MOST else None


def combined(mattes: Sequence[Matte]) -> Matte:
    """The median of several looks at each pixel, at the size of the largest; their highest peak, and their doubt."""
    if len(mattes) == 1:
        return mattes[0]
    size = max(matte.alpha.shape for matte in mattes)
    alphas = [np.asarray(Image.fromarray(each.alpha).resize(size, Image.Resampling.BICUBIC)) for each in mattes]
    median = np.rint(np.median(alphas, axis=0)).astype(np.uint8)
    suspect = tuple(box for _, box in undecided(alphas))[:MOST_BOXES]
    return Matte(median, max(each.peak or 0.0 for each in mattes), doubt=disagreement(alphas), suspect=suspect)


def prepare(rgb: NDArray[np.uint8], model: weights.Weights) -> NDArray[np.float32]:
    """The network's input, 1×3×S×S or 1×S×S×3: the picture resized by Lanczos, divided by its maximum, standardised.

    Source: the `normalize` step of U²-Net's published inference (RescaleT, ToTensorLab with flag 0).
    """
    if rgb.shape[:2] != (model.size, model.size):
        rgb = np.asarray(Image.fromarray(rgb).resize((model.size, model.size), Image.Resampling.LANCZOS))
    planes = rgb.transpose(2, 0, 1).astype(np.float32, order="C")
    mean, deviation = (np.array(three, np.float32)[:, None, None] for three in (model.mean, model.deviation))
    planes *= 1 / (max(float(rgb.max()), _DARKEST) * deviation)
    planes -= mean / deviation
    return planes[np.newaxis] if model.layout == "NCHW" else planes.transpose(1, 2, 0)[np.newaxis]


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
        pictures = [to_8_bits(read(each, Limits()).pixels) for each in apart(proxy)]
        return network.matte(*(each if each.ndim == 3 else np.repeat(each[..., None], 3, axis=2) for each in pictures))


@contextmanager
def naming_the_image() -> Iterator[None]:
    """Complete the text of a SourceError about pixels ("is empty") to a sentence."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"the image {error}") from error
