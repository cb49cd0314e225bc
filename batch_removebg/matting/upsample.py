"""Linear models on a small grid, laid over the pixels of a photo tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples

from .box_filter import Floats
from .matte import Alpha

TILE = 16
"""Side of what is worked on at once, pixels of the small grid."""

ENDS = 3
"""Levels of 255 that count as 0 and as 255: no one sees them, and they would be two fifths of what is mixed."""
_GAIN = np.float32(255 * 255 / (255 - 2 * ENDS))


class Spread:
    """The alpha of a photo, told by models α = r·red + g·green + b·blue + c on a small alpha's grid."""

    def __init__(self, guide: Samples, alpha: Alpha) -> None:
        """Each tile is at first what its first pixel of `alpha` is: subject or background."""
        self._guide = guide
        self._models: Floats = np.zeros((4, *alpha.shape), np.float32)
        self._down = _Axis(guide.shape[0], alpha.shape[0])
        self._across = _Axis(guide.shape[1], alpha.shape[1])
        sure = np.where(alpha[::TILE, ::TILE] < 128, 0, 255).astype(np.uint8)
        lines = np.repeat(sure, self._across.lengths, axis=1)
        self.result: Alpha = np.repeat(lines, self._down.lengths, axis=0)
        self._full = np.float32(np.iinfo(guide.dtype).max)

    def follow(self, models: Floats, part: tuple[slice, slice]) -> None:
        """Take the models of a part of the small grid, in place: factors of red, green, blue (0–1), and a constant.

        4×h×w, for an alpha of 0–1.
        """
        models[:3] *= _GAIN / self._full
        models[3] *= _GAIN
        models[3] += np.float32(0.5 + 127.5) - _GAIN / 2
        self._models[:, *part] = models

    def tile(self, row: int, column: int) -> None:
        """Let the models tell the tile's pixels."""
        (down, rows, to_rows), (across, columns, to_columns) = self._down[row], self._across[column]
        *factors, total = to_rows @ self._models[:, rows, columns] @ to_columns.T
        guide = self._guide[down, across]
        for channel, product in enumerate(factors):
            product *= guide[..., channel] if guide.ndim == 3 else guide
            total += product
        np.copyto(self.result[down, across], total.clip(0, 255, out=total), casting="unsafe")


class _Axis:
    """One direction of the spread: which pixels each tile has, and how they lie between those of the alpha."""

    def __init__(self, full: int, small: int) -> None:
        tiles = -(-small // TILE)
        # A pixel belongs to the tile that its centre lies in.
        bounds = np.ceil(np.minimum(np.arange(tiles + 1) * TILE, small) * (full / small) - 0.5).astype(int)
        self.lengths = np.diff(bounds)
        self._parts = list(self._tiles(bounds, full, small))

    def __getitem__(self, tile: int) -> tuple[slice, slice, Floats]:
        """The tile's pixels at full size, those of the alpha around it, and the first's weights of the second."""
        return self._parts[tile]

    @staticmethod
    def _tiles(bounds: npt.NDArray[np.int_], full: int, small: int) -> Iterator[tuple[slice, slice, Floats]]:
        at = ((np.arange(full) + 0.5) * (small / full) - 0.5).clip(0, small - 1)
        before = np.minimum(at.astype(int), max(small - 2, 0))
        share = (at - before).astype(np.float32)
        for begin, end in pairwise(bounds.tolist()):
            near, line = before[begin:end], np.arange(end - begin)
            first, last = (int(near[0]), int(near[-1]) + 2) if end > begin else (0, 1)
            weights = np.zeros((end - begin, last - first), np.float32)
            weights[line, near - first] = 1 - share[begin:end]
            weights[line, near - first + 1] = share[begin:end]
            yield slice(begin, end), slice(first, min(last, small)), weights[:, : min(last, small) - first]
