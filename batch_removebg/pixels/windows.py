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
    odd = rows % 2 or columns % 2
    even = np.pad(planes, [(0, 0), (0, rows % 2), (0, columns % 2)], mode="edge") if odd else planes
    across = even[:, :, ::2] + even[:, :, 1::2]
    total = across[:, ::2] + across[:, 1::2]
    total *= np.float32(0.25)
    return total


def doubled(planes: Floats, shape: tuple[int, ...]) -> Floats:
    """What was halved at its former size (rows and columns), linear between the pixels: n×rows×columns."""
    count, rows, columns = len(planes), *shape
    near, far = planes * np.float32(0.75), planes * np.float32(0.25)
    down = np.empty((count, 2 * planes.shape[1], planes.shape[2]), np.float32)
    np.add(near[:, 1:], far[:, :-1], out=down[:, 2::2])
    np.add(near[:, :-1], far[:, 1:], out=down[:, 1:-1:2])
    down[:, 0], down[:, -1] = planes[:, 0], planes[:, -1]
    down = down[:, :rows]
    near, far = down * np.float32(0.75), down * np.float32(0.25)
    result = np.empty((count, rows, 2 * planes.shape[2]), np.float32)
    np.add(near[:, :, 1:], far[:, :, :-1], out=result[:, :, 2::2])
    np.add(near[:, :, :-1], far[:, :, 1:], out=result[:, :, 1:-1:2])
    result[:, :, 0], result[:, :, -1] = down[:, :, 0], down[:, :, -1]
    return result[:, :, :columns]


def _sums(planes: Floats, radius: int) -> Floats:
    count, rows, columns = planes.shape
    padded = np.zeros((count, rows + 2 * radius, columns + 2 * radius), np.float32)
    padded[:, radius : radius + rows, radius : radius + columns] = planes
    return _neighbours(_neighbours(padded, 1, radius), 2, radius)


def _neighbours(planes: Floats, axis: int, radius: int) -> Floats:
    """Sums of 2·radius + 1 neighbours along an axis, which gets shorter by 2·radius.

    By doubling: a few additions whatever the radius, and exact where differences of a running sum lose digits.
    """

    def cut(run: Floats, start: int, stop: int) -> Floats:
        return run[:, start:stop] if axis == 1 else run[:, :, start:stop]

    size, length = 2 * radius + 1, planes.shape[axis] - 2 * radius
    wide, at = 1, 1
    total, run = cut(planes, 0, length).copy(), planes  # a size is odd: its last bit is set
    while 2 * wide <= size:
        left = run.shape[axis]
        run = cut(run, 0, left - wide) + cut(run, wide, left)
        wide *= 2
        if size & wide:
            total += cut(run, at, at + length)
            at += wide
    return total
