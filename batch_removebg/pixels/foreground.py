"""The subject's own colours where it is mixed with its background.

Blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021): foreground and background are first
means of the colours around, weighted by alpha and by 1 − alpha (here: by their squares), and what a pixel's colour
differs from their mixture is then the foreground's: F = F̄ + α·(I − α·F̄ − (1 − α)·B̄). Twice, over a wide and over a
narrow window. Means over windows are smooth, so they are taken on a grid of cells, and only the last step at full size,
where alpha is mixed.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .windows import Floats, Windows, halved

Depth = TypeVar("Depth", np.uint8, np.uint16)

SAMPLES = 512
"""Along the longer side, at least (and not twice as many) where a picture has them; four are a cell."""
WIDE, NARROW = 12, 1
"""Radii of the two windows, cells."""
FAINT = 1e-4
"""Weight of a cell where there is nothing of what is asked for."""
AT_ONCE = 1 << 17
"""Pixels of the rows that are worked on at once: 20 MB at most, where all of them are mixed."""


def foreground(pixels: npt.NDArray[Depth], alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[Depth]:
    """The colours (H×W×3 RGB or H×W grey, 8 or 16 bits) without what shines through of the background.

    Of the same shape and depth; `alpha` is H×W, 8 or 16 bits. Where alpha is at its end, 0 or the maximum, each pixel
    is returned bit for bit; `pixels` themselves where it is nowhere else.
    """
    most = np.iinfo(alpha.dtype).max
    mixed = (alpha != 0) & (alpha != most)
    if not mixed.any():
        return pixels
    grid = _Grid(pixels, alpha, _bounds(mixed))
    result = pixels.copy()
    top = np.float32(np.iinfo(pixels.dtype).max)
    strip = max(1, AT_ONCE // alpha.shape[1])
    for begin in range(0, len(alpha), strip):
        rows, columns = np.nonzero(mixed[begin : begin + strip])
        if not len(rows):
            continue
        rows += begin
        share = (alpha[rows, columns].astype(np.float32) / np.float32(most))[:, None]
        before, behind = grid.at(rows, columns)
        own = pixels[rows, columns].reshape(len(rows), -1) - share * before - (1 - share) * behind
        own *= share
        own += before
        np.rint(own.clip(0, top, out=own), out=own)
        result[rows, columns] = own.astype(pixels.dtype).reshape(-1, *pixels.shape[2:])
    return result


def _bounds(mixed: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns, in pixels, of what the mixed pixels need to see."""
    margin = WIDE * 2 * _stride(mixed.shape)

    def span(seen: npt.NDArray[np.bool_]) -> slice:
        found = np.flatnonzero(seen)
        return slice(max(0, int(found[0]) - margin), min(len(seen), int(found[-1]) + margin + 1))

    return span(np.asarray(mixed.any(axis=1))), span(np.asarray(mixed.any(axis=0)))


def _stride(shape: tuple[int, ...]) -> int:
    return max(1, max(shape) // SAMPLES)


class _Grid:
    """Smooth foreground and background colours, by cells of two samples squared."""

    def __init__(
        self, pixels: npt.NDArray[Depth], alpha: npt.NDArray[np.unsignedinteger], part: tuple[slice, slice]
    ) -> None:
        """`part`: the rows and columns that are looked at."""
        stride = _stride(alpha.shape)
        window = tuple(slice(span.start, span.stop, stride) for span in part)
        colours = pixels[window].reshape(*pixels[window].shape[:2], -1).transpose(2, 0, 1).astype(np.float32)
        share = alpha[window].astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        self._cell = 2 * stride
        self._origin = part[0].start + stride / 2, part[1].start + stride / 2
        fused = _fused(colours, share)
        self._rows, self._columns = fused.shape[1:]
        self._colours = np.ascontiguousarray(fused.reshape(len(fused), -1).T)

    def at(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Foreground and background of those pixels (n): n×channels each; between cells by their distance."""
        upper, down = self._between(rows, self._origin[0], self._rows)
        left, across = self._between(columns, self._origin[1], self._columns)
        below = np.minimum(upper + 1, self._rows - 1) * self._columns
        upper *= self._columns
        right = np.minimum(left + 1, self._columns - 1)
        mixture: Floats = self._colours[upper + left] * ((1 - down) * (1 - across))
        mixture += self._colours[upper + right] * ((1 - down) * across)
        mixture += self._colours[below + left] * (down * (1 - across))
        mixture += self._colours[below + right] * (down * across)
        half = mixture.shape[1] // 2
        return mixture[:, :half], mixture[:, half:]

    def _between(self, places: npt.NDArray[np.intp], origin: float, cells: int) -> tuple[npt.NDArray[np.intp], Floats]:
        """The cell at or before each place, and how far on towards the next it lies (n×1, 0–1)."""
        at = ((places - origin) / self._cell).clip(0, cells - 1).astype(np.float32)
        cell = at.astype(np.intp)
        return cell, (at - cell)[:, None]


def _fused(colours: Floats, share: Floats) -> Floats:
    """Foreground and background of each cell (2·channels×rows×columns), from samples and their alpha (h×w, 0–1)."""
    count = len(colours)
    # Squared, since the purest pixels tell most; by alpha itself, errors are a fifteenth larger.
    before, behind = share * share, np.square(1 - share)
    cells = halved(np.concatenate([[share, before, behind], colours, colours * before, colours * behind]))
    alpha, weights, own, parts = cells[0], cells[1:3, None], cells[3 : 3 + count], cells[3 + count :]
    ends = _weighted(WIDE, parts.reshape(2, count, *alpha.shape), weights, own)
    ends[0] += alpha * (own - alpha * ends[0] - (1 - alpha) * ends[1])
    return _weighted(NARROW, ends * weights, weights, ends).reshape(2 * count, *alpha.shape)


def _weighted(radius: int, parts: Floats, shares: Floats, otherwise: Floats) -> Floats:
    """Means of colours that are multiplied by their weights (2×channels×h×w); `otherwise` where these are nothing."""
    windows = Windows(shares.shape[2:], radius)
    total = windows.means(parts.reshape(-1, *parts.shape[2:])).reshape(parts.shape)
    weight = windows.means(shares[:, 0])[:, None]
    return np.asarray((total + np.float32(FAINT) * otherwise) / (weight + np.float32(FAINT)))
