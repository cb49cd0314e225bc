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
        rows, columns = (_counts(side, radius) for side in shape)
        self._share = np.float32(1) / (rows[:, None] * columns)

    def means(self, planes: Floats) -> Floats:
        """Of each plane (n×rows×columns): n×rows×columns."""
        return np.asarray(_sums(planes, self._radius) * self._share)


def halved(planes: Floats) -> Floats:
    """Means of two pixels squared: n×⌈rows/2⌉×⌈columns/2⌉; an odd one at the border stands for two."""
    _, rows, columns = planes.shape
    odd = rows % 2 or columns % 2
    even = np.pad(planes, [(0, 0), (0, rows % 2), (0, columns % 2)], mode="edge") if odd else planes
    down = even[:, ::2] + even[:, 1::2]
    total = down[:, :, ::2] + down[:, :, 1::2]
    total *= np.float32(0.25)
    return total


def doubled(planes: Floats, shape: tuple[int, ...]) -> Floats:
    """What was halved at its former size (rows and columns), linear between the pixels: n×rows×columns."""
    count, rows, columns = len(planes), *shape
    near, far = planes * np.float32(0.75), planes * np.float32(0.25)
    across = np.empty((count, planes.shape[1], 2 * planes.shape[2]), np.float32)
    np.add(near[:, :, 1:], far[:, :, :-1], out=across[:, :, 2::2])
    np.add(near[:, :, :-1], far[:, :, 1:], out=across[:, :, 1:-1:2])
    across[:, :, 0], across[:, :, -1] = planes[:, :, 0], planes[:, :, -1]
    across = across[:, :, :columns]
    near, far = across * np.float32(0.75), across * np.float32(0.25)
    result = np.empty((count, 2 * planes.shape[1], columns), np.float32)
    np.add(near[:, 1:], far[:, :-1], out=result[:, 2::2])
    np.add(near[:, :-1], far[:, 1:], out=result[:, 1:-1:2])
    result[:, 0], result[:, -1] = across[:, 0], across[:, -1]
    return result[:, :rows]


def _counts(side: int, radius: int) -> Floats:
    """Pixels of each window along a side."""
    at = np.arange(side)
    return (np.minimum(at + radius + 1, side) - np.maximum(at - radius, 0)).astype(np.float32)


def _sums(planes: Floats, radius: int) -> Floats:
    count, rows, columns = planes.shape
    height, width = rows + 2 * radius, columns + 2 * radius
    padded = np.zeros((count, height, width), np.float32)
    padded[:, radius : radius + rows, radius : radius + columns] = planes
    # As one line, which is a third quicker than many short ones; what runs over from row to row is left out below.
    line = _neighbours(_neighbours(padded.reshape(-1), 1, 2 * radius + 1), width, 2 * radius + 1)
    return np.ndarray(planes.shape, np.float32, line, strides=padded.strides)


def _neighbours(line: Floats, step: int, count: int) -> Floats:
    """Sums of each value and those that follow it in steps, `count` in all, an odd number: shorter by the last ones.

    By doubling: a few additions whatever the radius, and exact where differences of a running sum lose digits.
    """
    length = len(line) - (count - 1) * step
    total, run, wide, at = line[:length], line, 1, 1
    while 2 * wide <= count:
        run = run[: -wide * step] + run[wide * step :]
        wide *= 2
        if count & wide:
            total = total + run[at * step : at * step + length]
            at += wide
    return total
