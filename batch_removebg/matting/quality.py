"""How far a cutout is to be trusted, told from the alpha that was bought, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from .matte import Alpha

EMPTY, FULL, FAINT, FRAGMENTED, CUT_OFF = FLAGS = ("empty", "full", "faint", "fragmented", "cut-off")
"""What can be wrong with a cutout, worth a look by a person."""

LONGEST = 512
"""Longest side that an alpha is looked at with, pixels; a larger one is reduced."""
UNDECIDED = 26, 229
"""Levels of 255, the first and the last, at which an alpha has not made up its mind: from 0.1 to 0.9."""
SPECK = 1e-3
"""Share of the frame that is a component at least."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a flag begins.

    Looked for on the u2netp masks of 12 photographs, 64 composed ones and plain pictures: the peaks of photographs are
    0.97 and more, of sound masks at most a third is undecided and 4 parts are the most.
    """

    empty: float = 1e-3
    """Coverage below which there is nothing."""
    full: float = 0.98
    """Coverage above which nothing was taken away."""
    unseen: float = 0.2
    """Peak below which the network saw nothing at all, whatever the alpha says since it was stretched."""
    faint: float = 0.9
    """Peak below which it was not sure that there is anything."""
    undecided: float = 0.4
    """Share undecided, of all that is subject or undecided, from which on the alpha is faint."""
    fragments: int = 6
    """Components from which on it is more likely clutter than a subject."""
    contact: float = 0.02
    """Share of a side of the frame that the subject covers, from which on it touches it."""
    sides: int = 1
    """Sides touched, the bottom left out, from which on the subject is cut off by the frame."""


DEFAULT = Thresholds()


@dataclass(frozen=True, slots=True)
class Quality:
    """What an alpha looks like."""

    coverage: float
    """Mean alpha, 0–1."""
    peak: float | None
    """The network's own maximum before its map was stretched, 0–1; None where only the alpha is known."""
    undecided: float
    """Share of the frame whose alpha lies between 0.1 and 0.9."""
    components: int
    """Areas of more than half an alpha that hang together, of 0.1 % of the frame at least."""
    touches: tuple[str, ...]
    """Sides of the frame that the subject reaches over a length of 2 % at least: top, right, bottom, left."""


def measure(alpha: Alpha, peak: float | None = None, thresholds: Thresholds = DEFAULT) -> Quality:
    """The quality of an alpha (H×W, 0–255) as it was bought; `peak` is 0–1, None where nobody tells it."""
    small = _small(alpha)
    solid = small >= 128
    return Quality(
        coverage=round(float(alpha.mean(dtype=np.float64)) / 255, 4),
        peak=None if peak is None else round(peak, 4),
        undecided=round(float(((small >= UNDECIDED[0]) & (small <= UNDECIDED[1])).mean()), 4),
        components=int((areas(solid) >= max(1.0, SPECK * solid.size)).sum()),
        touches=_touches(solid, thresholds.contact),
    )


def flags(quality: Quality, thresholds: Thresholds = DEFAULT) -> tuple[str, ...]:
    """What is worth a look, of `FLAGS` and in their order; nothing else is told of an empty cutout."""
    peak = 1.0 if quality.peak is None else quality.peak
    if quality.coverage < thresholds.empty or peak < thresholds.unseen:
        return (EMPTY,)
    decided = max(0.0, quality.coverage - quality.undecided / 2)
    told = {
        FULL: quality.coverage > thresholds.full,
        FAINT: peak < thresholds.faint or quality.undecided > thresholds.undecided * (quality.undecided + decided),
        FRAGMENTED: quality.components >= thresholds.fragments,
        CUT_OFF: len([side for side in quality.touches if side != "bottom"]) >= thresholds.sides,
    }
    return tuple(flag for flag, so in told.items() if so)


def areas(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The sizes in pixels of what hangs together in a mask (H×W) by sides and corners, in no order.

    By runs: neighbours in a row that are set are one node, joined with those of the row above that they meet.
    """
    height, width = mask.shape
    flat = np.zeros((height, width + 2), np.int8)  # a gap at both ends, so that no run goes on in the next row
    flat[:, 1:-1] = mask
    turns = np.flatnonzero(np.diff(flat.ravel()))
    starts, ends = turns[::2], turns[1::2]
    reach = width + 2
    first = np.searchsorted(ends + reach, starts, "left")  # a corner is enough: what ends where this one starts
    past = np.searchsorted(starts + reach, ends, "right")
    number = np.maximum(past - first, 0)
    lower = np.repeat(np.arange(len(starts)), number)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(number) - number - first, number)
    labels = _joined(len(starts), lower, upper)
    return np.bincount(labels, ends - starts)[np.unique(labels)].astype(np.int64) if len(starts) else labels


def _joined(count: int, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each node the least that it hangs together with."""
    labels = np.arange(count)
    while (labels[one] != labels[other]).any():
        lesser, greater = np.minimum(labels[one], labels[other]), np.maximum(labels[one], labels[other])
        np.minimum.at(labels, greater, lesser)
        while (labels[labels] != labels).any():
            labels = labels[labels]
    return labels


def _touches(solid: npt.NDArray[np.bool_], contact: float) -> tuple[str, ...]:
    sides = {"top": solid[0], "right": solid[:, -1], "bottom": solid[-1], "left": solid[:, 0]}
    return tuple(side for side, line in sides.items() if line.mean() > contact)


def _small(alpha: Alpha) -> Alpha:
    factor = -(-max(alpha.shape) // LONGEST)
    return alpha if factor == 1 else np.asarray(Image.fromarray(alpha).reduce(factor))
