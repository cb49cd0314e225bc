"""Box filters, and grids of half the size, of many planes at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def means(planes: Floats, radius: int) -> Floats:
    """Means over windows of 2·radius + 1 pixels squared, cropped at the border: n×h×w, as `planes`."""
    count, rows, columns = planes.shape
    height, width = rows + 2 * radius, columns + 2 * radius
    padded = np.zeros((count, height, width), np.float32)
    padded[:, radius : radius + rows, radius : radius + columns] = planes
    # One long line is a third faster than many short ones; sums that run over from row to row are not returned.
    line = _neighbours(_neighbours(padded.reshape(-1), 1, 2 * radius + 1), width, 2 * radius + 1)
    sums = np.ndarray(planes.shape, np.float32, line, strides=padded.strides)
    return np.asarray(sums * _share(planes.shape[1:], radius))


def halved(planes: Floats) -> Floats:
    """Means of two by two pixels: n×⌈h/2⌉×⌈w/2⌉; the last row or column of an odd number counts twice."""
    _, rows, columns = planes.shape
    odd = rows % 2 or columns % 2
    even = np.pad(planes, [(0, 0), (0, rows % 2), (0, columns % 2)], mode="edge") if odd else planes
    down = even[:, ::2] + even[:, 1::2]
    total = down[:, :, ::2] + down[:, :, 1::2]
    total *= np.float32(0.25)
    return total


def doubled(planes: Floats, shape: tuple[int, ...]) -> Floats:
    """Planes that `halved` made, enlarged to the size before (`shape`: h, w) by linear interpolation: n×h×w."""
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


@lru_cache(maxsize=4)
def _share(shape: tuple[int, ...], radius: int) -> Floats:
    """The share of one pixel in the window around each: h×w."""
    at = [np.arange(side) for side in shape]
    rows, columns = (np.minimum(a + radius + 1, len(a)) - np.maximum(a - radius, 0) for a in at)
    return np.asarray(np.float32(1) / (rows[:, None] * columns).astype(np.float32))


def _neighbours(line: Floats, step: int, count: int) -> Floats:
    """Sums of `count` (odd) values, each `step` after the one before: one for each value that has all of them."""
    # By doubling: few additions whatever the radius, and exact where differences of a running sum would lose digits.
    length = len(line) - (count - 1) * step
    total, run, wide, at = line[:length], line, 1, 1
    while 2 * wide <= count:
        run = run[: -wide * step] + run[wide * step :]
        wide *= 2
        if count & wide:
            total = total + run[at * step : at * step + length]
            at += wide
    return total
