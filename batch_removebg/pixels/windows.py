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
