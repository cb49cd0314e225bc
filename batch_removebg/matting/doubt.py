"""Parts of a cutout that may be wrong: where looks disagree or are undecided, and small pieces that lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from batch_removebg.model import Box

from .matte import Alpha
from .regions import Mask, regions

SIZE = 320  # pixels squared at which alphas are examined
BAND = 7  # of these pixels: what is undecided and narrower is an edge, or hair
DECIDED = 0.15  # alpha up to which, and from 1 less this on, a pixel is decided
LEAST = 1e-3  # share of the subject below which a region is a speck
PIECE = 0.05  # share of the subject below which a piece that lies apart is more likely a wrong one

Regions = tuple[tuple[float, Box], ...]
"""Each region's share of the subject, and its box; the largest first."""


def disagreement(looks: Sequence[Alpha]) -> float:
    """0 where two of the looks agree on what the subject is, 1 where none do: 1 less the highest IoU of two."""
    pairs = combinations([_small(look) >= 0.5 for look in looks], 2)
    return round(1 - max(float((one & other).sum() / max(1, (one | other).sum())) for one, other in pairs), 4)


def undecided(looks: Iterable[Alpha]) -> Regions:
    """Where the mean of looks (H×W, of any size) says neither subject nor background."""
    mean = np.mean([_small(look) for look in looks], axis=0)
    unsure = abs(mean - 0.5) < 0.5 - DECIDED
    return _regions(~_shrunk(~_shrunk(unsure)), mean >= 0.5)


def loose(alpha: Alpha) -> Regions:
    """Small pieces that lie apart from the subject."""
    solid = _small(alpha) >= 0.5
    return tuple((share, box) for share, box in _regions(solid, solid) if share < PIECE)


def _small(alpha: Alpha) -> npt.NDArray[np.float32]:
    small = Image.fromarray(alpha).resize((SIZE, SIZE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def _shrunk(mask: Mask) -> Mask:
    """Without the pixels that are within half a band of another's, the frame's edge aside."""
    for axis in 0, 1:
        wide = np.pad(mask, [(BAND // 2,) * 2 if axis == along else (0, 0) for along in (0, 1)], constant_values=True)
        mask = np.logical_and.reduce(sliding_window_view(wide, BAND, axis), axis=-1)
    return mask


def _regions(mask: Mask, subject: Mask) -> Regions:
    sizes, boxes = regions(mask)
    shares = np.minimum(1.0, sizes / max(1, int(subject.sum())))
    largest = [at for at in np.argsort(-shares, kind="stable") if shares[at] >= LEAST]
    return tuple((float(shares[at]), _box(*(boxes[at] / SIZE).tolist())) for at in largest)


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return round(left, 3), round(top, 3), round(right - left, 3), round(bottom - top, 3)
