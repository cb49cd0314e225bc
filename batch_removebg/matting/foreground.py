"""The subject's own colours where it is mixed with its background.

Blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021): foreground and background are means of
the colours around, weighted by alpha and by 1 − alpha (here squared); then F = F̄ + α·(I − α·F̄ − (1 − α)·B̄). Twice,
over a wide and a narrow window, on a grid of cells; only the last step is at full size, where alpha is mixed.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples, strips

from .box_filter import Floats, doubled, halved, means
from .regions import span

SAMPLES = 700  # along the longer side, at most; a cell is two by two of them
WIDE, NARROW = 12, 1  # radii of the two windows in cells; the wide one is even
FAINT = 1e-4  # weight of the fallback colour: it counts where the cells around show next to nothing of what is averaged
AT_ONCE = 1 << 16  # pixels worked on at once: 8 MB at most, where all of them are mixed


def foreground(pixels: Samples, alpha: Samples) -> Samples:
    """The colours (H×W×3 RGB or H×W grey, 8 or 16 bits), in place if possible, without background spill.

    Changed only where `alpha` (H×W, 8 or 16 bits) is neither 0 nor its maximum.
    """
    most = np.iinfo(alpha.dtype).max
    bands = list(strips(alpha, AT_ONCE))
    mixed = [(alpha[band] != 0) & (alpha[band] != most) for band in bands]
    down = np.concatenate([band.any(axis=1) for band in mixed])
    if not down.any():
        return pixels
    across = np.any([band.any(axis=0) for band in mixed], axis=0)
    stride = -(-max(alpha.shape) // SAMPLES)
    part = span(down, WIDE * 2 * stride), span(across, WIDE * 2 * stride)
    grid = _Grid(pixels, alpha, part, stride)
    result = pixels if pixels.flags.writeable and pixels.flags.c_contiguous else pixels.copy(order="C")
    colours, shares = result.reshape(alpha.size, -1), alpha.ravel()
    # As one value a pixel, which `put` writes four times as fast as three.
    whole = colours.view(f"V{colours[0].nbytes}")
    top = np.float32(np.iinfo(pixels.dtype).max)
    width = alpha.shape[1]
    for band, chosen in zip(bands, map(np.flatnonzero, mixed), strict=True):
        if not len(chosen):
            continue
        before, behind = grid.at(band.start, band.stop, chosen)
        chosen += band.start * width
        share = shares.take(chosen).astype(np.float32)
        share *= np.float32(1 / most)
        own = colours.take(chosen, axis=0).T.astype(np.float32, order="C")
        # F = F̄ + α·(I − B̄ − α·(F̄ − B̄))
        own -= behind
        behind -= before
        behind *= share
        own += behind
        own *= share
        own += before
        changed = np.ascontiguousarray(np.rint(own.clip(0, top, out=own), out=own).T.astype(pixels.dtype))
        np.put(whole, chosen, changed.view(whole.dtype))
    return result


class _Grid:
    """Smooth foreground and background colours, in cells of two by two samples."""

    def __init__(self, pixels: Samples, alpha: Samples, part: tuple[slice, slice], stride: int) -> None:
        """`part`: the rows and columns used, one pixel in `stride` of them as a sample."""
        window = tuple(slice(span.start, span.stop, stride) for span in part)
        colours = pixels[window].reshape(*pixels[window].shape[:2], -1).transpose(2, 0, 1).astype(np.float32, order="C")
        share = alpha[window].astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        self._cell = 2 * stride
        self._origin = part[0].start + stride / 2, part[1].start + stride / 2
        self._planes = _fused(colours, share)
        self._width = alpha.shape[1]
        _, self._rows, self._columns = self._planes.shape
        self._across = self._between(np.arange(self._width), self._origin[1], self._columns)

    def at(self, first: int, end: int, chosen: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Foreground and background (channels×n) of pixels `chosen` by number, counted row by row from row `first`."""
        upper, down = self._between(np.arange(first, end), self._origin[0], self._rows)
        lower = np.minimum(upper + 1, self._rows - 1)
        planes = self._planes[:, upper]
        planes += (self._planes[:, lower] - planes) * down[:, None]
        slopes = np.diff(planes, axis=2, append=planes[:, :, -1:])
        line = chosen // self._width
        left, across = (table.take(chosen - line * self._width) for table in self._across)
        left += line * self._columns
        total = slopes.reshape(len(planes), -1).take(left, axis=1)
        total *= across
        total += planes.reshape(len(planes), -1).take(left, axis=1)
        return total[: len(total) // 2], total[len(total) // 2 :]

    def _between(self, places: npt.NDArray[np.intp], origin: float, cells: int) -> tuple[npt.NDArray[np.intp], Floats]:
        """The cell at or before each place, and its distance from there to the next cell (0–1)."""
        at = ((places - origin) / self._cell).clip(0, cells - 1)
        cell = at.astype(np.intp)
        return cell, (at - cell).astype(np.float32)


def _fused(colours: Floats, share: Floats) -> Floats:
    """Foreground and background of each cell (2·channels×rows×columns), from samples and their alpha (h×w, 0–1)."""
    count = len(colours)
    # Squared, since the purest pixels say most; with alpha itself, errors are a fifteenth larger.
    before, behind = share * share, np.square(1 - share)
    # A plane at a time to save memory: there are four times as many samples as cells.
    planes = itertools.chain(
        (share, before, behind), colours, (plane * before for plane in colours), (plane * behind for plane in colours)
    )
    cells = np.concatenate([halved(plane[None]) for plane in planes])
    alpha, weights, own = cells[0], cells[1:3], cells[3 : 3 + count]
    # For the wide window a grid of half the size is fine enough.
    _, *rest = halved(cells)
    ends = _weighted(WIDE // 2, np.stack(rest[2 + count :]), np.stack(rest[:2]), np.stack(rest[2 : 2 + count]))
    ends = doubled(ends, alpha.shape)
    ends[:count] += alpha * (own - alpha * ends[:count] - (1 - alpha) * ends[count:])
    return _weighted(NARROW, ends * np.repeat(weights, count, axis=0), weights, ends)


def _weighted(radius: int, parts: Floats, weights: Floats, otherwise: Floats) -> Floats:
    """Means of colours, given times `weights` (2×h×w): 2·channels×h×w; `otherwise` where weights are next to none."""
    total = means(parts, radius).reshape(2, -1, *parts.shape[1:])
    total += np.float32(FAINT) * otherwise.reshape(-1, *total.shape[1:])
    total /= means(weights, radius)[:, None] + np.float32(FAINT)
    return total.reshape(parts.shape)
