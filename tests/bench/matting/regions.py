"""Areas of a picture: the band around an edge, and the largest connected area. Millions of pixels in a moment."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tests.bench.matting.drawing import Floats

Mask = NDArray[np.bool_]
EDGE = 0.02
"""Least difference of alpha between neighbours that counts as an edge: a soft edge of 50 pixels still is one."""
RADIUS = 5


def edges(alpha: Floats) -> Mask:
    """The pixels (H×W) whose alpha differs from that of one of their four neighbours by `EDGE` or more."""
    found = np.zeros(alpha.shape, bool)
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        apart = np.abs(alpha[first] - alpha[second]) >= EDGE
        found[first] |= apart
        found[second] |= apart
    return found


def near(mask: Mask, radius: int = RADIUS) -> Mask:
    """The pixels (H×W) that lie within so many pixels of one that is set, by Euclid."""
    height, width = mask.shape
    result = mask.copy()
    for down in range(radius + 1):
        half = math.isqrt(radius * radius - down * down)
        row = mask.copy()
        reach = 0
        while reach < half:  # doubling: a span of n takes log n steps
            more = min(half - reach, reach + 1)
            before = row.copy()
            if more < width:
                row[:, more:] |= before[:, :-more]
                row[:, :-more] |= before[:, more:]
            reach += more
        if down < height:
            result[down:] |= row[: height - down]
            result[: height - down] |= row[down:]
    return result


def band(alpha: Floats, radius: int = RADIUS) -> Mask:
    """Where edges are judged: within `radius` pixels of an edge."""
    return near(edges(alpha), radius)


def largest(mask: Mask) -> Mask:
    """The largest area (H×W) whose pixels hang together by their sides; of equal ones that which begins first.

    By runs: the pixels of a row that are set side by side are one node, so that a large picture has few of them.
    """
    height, width = mask.shape
    wide = width + 1  # an empty column keeps a row's last run from touching the next row's first
    flat = np.zeros(height * wide + 1, np.int8)
    flat[1:].reshape(height, wide)[:, :width] = mask
    turns = np.flatnonzero(np.diff(flat))
    if not len(turns):
        return np.zeros_like(mask)
    starts, ends = turns[::2], turns[1::2]
    labels = _joined(len(starts), *_touching(starts, ends, wide))
    sizes = np.bincount(labels, ends - starts)
    keep = labels == sizes.argmax()
    lengths = np.diff(np.stack([starts[keep], ends[keep]], 1).ravel(), prepend=0, append=height * wide)
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(height, wide)[:, :width]


def _touching(starts: NDArray[np.int64], ends: NDArray[np.int64], wide: int) -> tuple[NDArray[np.int64], ...]:
    """Pairs of runs in neighbouring rows that share a column."""
    first = np.searchsorted(ends - wide, starts, "right")
    past = np.searchsorted(starts - wide, ends, "left")
    number = np.maximum(past - first, 0)
    upper = np.repeat(np.arange(len(starts)), number)
    begun = np.repeat(np.cumsum(number) - number, number)
    return upper, np.repeat(first, number) + np.arange(len(upper)) - begun


def _joined(number: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label of each node: the least node that it hangs together with."""
    labels = np.arange(number)
    while True:
        a, b = labels[one], labels[other]
        if (a == b).all():
            return labels
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while (labels[labels] != labels).any():
            labels = labels[labels]
