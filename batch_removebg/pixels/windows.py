"""Means over square windows, and grids of half the size, of many planes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Windows:
    """Windows of 2·radius + 1 pixels squared around each pixel of a plane, which end where the plane does."""

    def __init__(self, shape: tuple[int, ...], radius: int) -> None:
        """`shape`: rows and columns of a plane."""
        self._radius = radius
        self._share = np.float32(1) / _sums(np.ones((1, *shape), np.float32), radius)[0]

    def means(self, planes: Floats) -> Floats:
        """Of each plane (n×rows×columns): n×rows×columns."""
        total = _sums(planes, self._radius)
        total *= self._share
        return total


def halved(planes: Floats) -> Floats:
    """Means of two pixels squared: n×⌈rows/2⌉×⌈columns/2⌉; an odd one at the border stands for two."""
    _, rows, columns = planes.shape
    even = np.pad(planes, [(0, 0), (0, rows % 2), (0, columns % 2)], mode="edge")
    across = even[:, :, ::2] + even[:, :, 1::2]
    total = across[:, ::2] + across[:, 1::2]
    total *= np.float32(0.25)
    return total


def doubled(planes: Floats, shape: tuple[int, ...]) -> Floats:
    """What was halved at its former size (rows and columns), linear between the pixels: n×rows×columns."""
    rows, columns = shape
    down = _interleaved(planes.transpose(1, 0, 2))[:rows].transpose(1, 0, 2)
    return _interleaved(down.transpose(2, 0, 1))[:columns].transpose(1, 2, 0)


def _interleaved(lines: Floats) -> Floats:
    """Two for one along the first axis, a quarter of the way to its neighbours on either side."""
    result = np.empty((2 * len(lines), *lines.shape[1:]), np.float32)
    near, far = lines * np.float32(0.75), lines * np.float32(0.25)
    np.add(near[1:], far[:-1], out=result[2::2])
    np.add(near[:-1], far[1:], out=result[1:-1:2])
    result[0], result[-1] = lines[0], lines[-1]
    return result


def _sums(planes: Floats, radius: int) -> Floats:
    count, rows, columns = planes.shape
    padded = np.zeros((rows + 2 * radius, count, columns + 2 * radius), np.float32)
    padded[radius : radius + rows, :, radius : radius + columns] = planes.transpose(1, 0, 2)
    down = _neighbours(padded, rows, radius).transpose(1, 0, 2)
    return _neighbours(down.transpose(2, 0, 1), columns, radius).transpose(1, 2, 0)


def _neighbours(lines: Floats, length: int, radius: int) -> Floats:
    """Sums of 2·radius + 1 neighbours along the first axis, `length` of them.

    By doubling: a few additions whatever the radius, and exact where differences of a running sum lose digits.
    """
    size, wide, at = 2 * radius + 1, 1, 1
    total, run = lines[:length].copy(), lines  # a size is odd: its last bit is set
    while 2 * wide <= size:
        run = run[:-wide] + run[wide:]
        wide *= 2
        if size & wide:
            total += run[at : at + length]
            at += wide
    return total
