"""How far a cutout is from the truth.

SAD, gradient and connectivity error follow Rhemann, Rother, Wang, Gelautz, Kohli and Rott, "A perceptually motivated
online benchmark for image matting", CVPR 2009, over the whole picture, and are given in thousands, as is usual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tests.bench.matting.drawing import Floats
from tests.bench.matting.regions import Mask, band, largest

SIGMA = 1.4
"""Of the Gaussian whose derivative the gradients are taken with, pixels."""
STEP, IGNORED = 0.1, 0.15
"""Of the connectivity error: between thresholds, and the distance to what is connected that does not count (θ)."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one picture; 0 is the truth. Alphas are 0…1, colours 0…255."""

    mae: float
    """Mean absolute error of alpha, over all pixels."""
    sad: float
    """Sum of absolute errors of alpha / 1000."""
    gradient: float
    """Sum of squared differences of the alphas' gradients / 1000."""
    connectivity: float
    """Sum of differences of the alphas' connectedness / 1000."""
    band: float
    """Mean absolute error of alpha within 5 px of an edge of the truth (`regions.band`)."""
    composite: float
    """Mean absolute error of the result on white and on black against αF + (1−α)·ground, over all pixels."""
    cut: float
    """The same, with the photograph's own pixels for F where α is 1: what the cut alone adds, no grain, no JPEG."""
    beyond: float
    """The part of the composite error that lies farther than 5 px from the truth's edges, which no finer edge mends."""


NAMES = tuple(field.name for field in fields(Score))


@dataclass
class Truth:
    """A picture's alpha (H×W, uint16, 65535 is opaque), its foreground and the photograph itself (H×W×3, uint8)."""

    alpha16: NDArray[np.uint16]
    colour: NDArray[np.uint8]
    photo: NDArray[np.uint8]

    @cached_property
    def alpha(self) -> Floats:
        """0…1."""
        return self.alpha16.astype(np.float32) / np.float32(65535)

    @cached_property
    def band(self) -> Mask:
        """Where edges are judged; all of the picture where it has none."""
        found = band(self.alpha)
        return found if found.any() else np.ones_like(found)

    @cached_property
    def slope(self) -> Floats:
        """The length of alpha's gradient."""
        return steepness(self.alpha)

    @cached_property
    def laid(self) -> Floats:
        """αF, H×W×3."""
        return self.colour * self.alpha[..., None]

    @cached_property
    def laid_as_photographed(self) -> Floats:
        """αF with the photograph's pixels where it is opaque."""
        return np.where((self.alpha16 == 65535)[..., None], self.photo, self.laid).astype(np.float32)


def score(truth: Truth, result: NDArray[np.uint8]) -> Score:
    """Of a result (H×W×4, uint8, colours not multiplied); raises ValueError where it has another size."""
    if result.shape != (*truth.alpha16.shape, 4):
        raise ValueError(f"the result is {result.shape}, the truth {truth.alpha16.shape}")
    alpha = result[..., 3].astype(np.float32) / np.float32(255)
    apart = np.abs(alpha - truth.alpha)
    mean = float(apart.mean(dtype=np.float64))
    laid = result[..., :3] * alpha[..., None]
    veil = 255 * (alpha - truth.alpha)
    photographed = laid - truth.laid_as_photographed
    laid -= truth.laid
    far = ~truth.band
    return Score(
        mae=mean,
        sad=mean * apart.size / 1000,
        gradient=gradient_error(alpha, truth.slope),
        connectivity=connectivity_error(alpha, truth.alpha),
        band=float(apart[truth.band].mean(dtype=np.float64)),
        composite=_over_both(laid, veil),
        cut=_over_both(photographed, veil),
        beyond=_over_both(laid * far[..., None], veil * far),
    )


def _over_both(apart: Floats, veil: Floats) -> float:
    """On black one sees the difference of the premultiplied colours; on white that of the alphas as well."""
    black = np.abs(apart).mean(dtype=np.float64)
    white = np.abs(apart - veil[..., None]).mean(dtype=np.float64)
    return float(black + white) / 2


def gradient_error(alpha: Floats, slope: Floats) -> float:
    """Σ (|∇α| − |∇α*|)² / 1000; `slope` is that of the truth."""
    apart = steepness(alpha) - slope
    return float(np.square(apart, out=apart).sum(dtype=np.float64)) / 1000


def steepness(alpha: Floats) -> Floats:
    """|∇α| by derivatives of a Gaussian; the kernels' squares add up to 1, borders are continued."""
    radius = math.ceil(3 * SIGMA)
    at = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (at / SIGMA) ** 2)
    fall = -at * bell
    bell, fall = bell / np.linalg.norm(bell), fall / np.linalg.norm(fall)
    across = _filtered(_filtered(alpha, bell, 0), fall, 1)
    down = _filtered(_filtered(alpha, fall, 0), bell, 1)
    return np.hypot(across, down, out=across)


def _filtered(plane: Floats, weights: NDArray[np.float64], axis: int) -> Floats:
    radius = len(weights) // 2
    padded = np.pad(plane, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
    total = np.zeros_like(plane)
    part = np.empty_like(plane)
    for offset, weight in enumerate(weights):
        window = slice(offset, offset + plane.shape[axis])
        total += np.multiply(padded[window] if axis == 0 else padded[:, window], np.float32(weight), out=part)
    return total


def connectivity_error(alpha: Floats, truth: Floats) -> float:
    """Σ |φ(α) − φ(α*)| / 1000.

    φ = 1 − d·[d ≥ θ], where d = α − l, and l is the highest threshold at which the pixel still hangs together with the
    largest area that both alphas reach.
    """
    rows = np.flatnonzero((alpha > 0).any(axis=1) | (truth > 0).any(axis=1))
    if not len(rows):
        return 0.0
    alpha, truth = alpha[rows[0] : rows[-1] + 1], truth[rows[0] : rows[-1] + 1]
    both = np.minimum(alpha, truth)
    level = np.zeros_like(alpha)
    joined = np.ones(alpha.shape, bool)
    for number in range(1, round(1 / STEP) + 1):
        threshold = np.float32(number * STEP)
        joined &= largest(both >= threshold)
        level[joined] = threshold
    first, second = (d * (d >= IGNORED) for d in (alpha - level, truth - level))
    return float(np.abs(first - second).sum(dtype=np.float64)) / 1000
