"""Means over square windows, of many planes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Windows:
    """Windows of 2·radius + 1 pixels squared around each pixel of a plane, which end where the plane does."""

    def __init__(self, rows: int, columns: int, radius: int) -> None:
        self._radius = radius
        self._share = 1 / _sums(np.ones((1, rows, columns), np.float32), radius)[0]

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
    return (across[:, ::2] + across[:, 1::2]) / np.float32(4)


def doubled(planes: Floats, rows: int, columns: int) -> Floats:
    """What was halved at its former size again, linear between the pixels: n×rows×columns."""
    return _stretched(_stretched(planes, 1), 2)[:, :rows, :columns]


def _stretched(planes: Floats, axis: int) -> Floats:
    before = np.concatenate([planes.take([0], axis), planes], axis)
    behind = np.concatenate([planes, planes.take([-1], axis)], axis)
    shape = list(planes.shape)
    shape[axis] *= 2
    result = np.empty(shape, np.float32)
    near, far = np.float32(0.75), np.float32(0.25)
    for first, other in ((0, before), (1, behind)):
        lines = np.s_[:, first::2] if axis == 1 else np.s_[:, :, first::2]
        beside = other[:, : planes.shape[1], : planes.shape[2]] if first == 0 else other[:, -planes.shape[1] :, -planes.shape[2] :]
        result[lines] = near * planes + far * beside
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
    size, wide, at = 2 * radius + 1, 1, 0
    total: Floats | None = None
    run = lines
    while wide <= size:
        if size & wide:
            part = run[at : at + length]
            total = part.copy() if total is None else np.add(total, part, out=total)
            at += wide
        if 2 * wide <= size:
            run = run[:-wide] + run[wide:]
        wide *= 2
    assert total is not None  # a size is never 0
    return total
