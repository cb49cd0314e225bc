"""PNG's filters over bands of rows, and which of them makes a band smallest.

Filter types and their arithmetic are those of the PNG specification (third edition, section 9): each byte minus a
prediction from the byte to the left (a), above (b) and above left (c), modulo 256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

Bytes = npt.NDArray[np.uint8]
"""Rows×bytes of unfiltered scan lines."""

SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4
_BAND = 1 << 18
"""Bytes that are filtered at once: they and what is made of them stay in a core's own cache."""
_FEWEST_BANDS = 12
"""Bands of a small picture, so that each can have the filter that suits it; but none of fewer than 16 rows."""
_TRIED = 32
"""One row in so many is compressed for trial, and not fewer than `_FEWEST` of a band."""
_FEWEST = 2


class Rows:
    """A picture's scan lines as PNG stores them: 8 bits a sample, or 16 with the higher byte first."""

    def __init__(self, pixels: npt.NDArray[np.uint8 | np.uint16]) -> None:
        """`pixels`: H×W or H×W×C, uint8 or uint16; never copied as a whole where it is contiguous."""
        self._pixels = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
        self.height = len(pixels)
        self.bytes_per_pixel = pixels[0, 0].nbytes
        self.bytes_per_row = self._pixels.shape[1] * pixels.itemsize

    def bands(self) -> Iterator[tuple[int, int]]:
        """(first row, one past the last) of each band."""
        rows = max(1, min(_BAND // self.bytes_per_row, max(16, self.height // _FEWEST_BANDS)))
        yield from ((at, min(at + rows, self.height)) for at in range(0, self.height, rows))

    def with_one_above(self, first: int, end: int) -> Bytes:
        """The rows of a band and the one above it, which is all zero for the first."""
        if first == 0:
            return np.concatenate([np.zeros((1, self.bytes_per_row), np.uint8), self._stored(0, end)])
        return self._stored(first - 1, end)

    def _stored(self, first: int, end: int) -> Bytes:
        rows = self._pixels[first:end]
        return (rows if rows.dtype == np.uint8 else rows.astype(">u2")).view(np.uint8)


def filtered(rows: Bytes, kind: int, pixel: int, out: Bytes) -> None:
    """Filter a band: R+1 rows, the first of which is the one above, into `out` (R×(1+bytes), filter type in front).

    `pixel`: bytes of a pixel. Columns in which all is zero, as beside what is cut out, are not looked at.
    """
    out[:, 0] = kind
    body = out[:, 1:]
    first, end = _inhabited(rows, pixel)
    body[:, :first] = 0
    body[:, end:] = 0
    if end > first:
        start = max(0, first - pixel)
        _FILTERS[kind](rows[:, start:end], pixel, body[:, start:end])


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few rows of a band came to; all but `kind` in bytes."""

    kind: int
    """The filter that makes them smallest: `UP` or `PAETH`."""
    packed: int
    """What they were compressed to with it."""
    seen: int
    """All of them but the background to the left and the right."""
    inhabited: int
    """Those that are not zero."""
    total: int


def smaller(rows: Bytes, pixel: int) -> Trial:
    """A trial of a few rows of a band.

    Above wins where the picture is smooth, since its rows then repeat each other; Paeth elsewhere.
    """
    count = min(len(rows) - 1, max(_FEWEST, len(rows) // _TRIED))
    middle = (len(rows) - 1 - count) // 2
    some = rows[middle : middle + count + 1]
    first, end = _inhabited(some, pixel)
    out = np.empty((count, some.shape[1] + 1), np.uint8)
    sizes = {}
    for kind in (UP, PAETH):
        filtered(some, kind, pixel, out)
        sizes[kind] = len(isal_zlib.compress(out.data, 1))
    best = min(sizes, key=sizes.__getitem__)
    tried = some[1:]
    return Trial(best, sizes[best], count * (end - first), int(np.count_nonzero(tried)), tried.size)


def row_by_row(rows: Bytes, pixel: int, out: Bytes) -> None:
    """Filter like `filtered`, each row by whichever filter leaves the smallest sum of absolute differences.

    The heuristic that the specification recommends (section 12.7).
    """
    least = np.abs(rows[1:].view(np.int8)).view(np.uint8).sum(axis=1, dtype=np.uint64)
    out[:, 0] = 0
    out[:, 1:] = rows[1:]
    trial = np.empty_like(out)
    for kind in (SUB, UP, AVERAGE, PAETH):
        filtered(rows, kind, pixel, trial)
        # The absolute value of -128 stays -128 in 8 bits, which read as unsigned is what it should be.
        sums = np.abs(trial[:, 1:].view(np.int8)).view(np.uint8).sum(axis=1, dtype=np.uint64)
        better = sums < least
        out[better] = trial[better]
        least[better] = sums[better]


def _inhabited(rows: Bytes, pixel: int) -> tuple[int, int]:
    """(first, end) of the columns outside of which rows and what is predicted from them are zero."""
    used = np.bitwise_or.reduce(rows, axis=0) != 0
    first = int(used.argmax())
    if not used[first]:
        return 0, 0
    return first, min(len(used) - int(used[::-1].argmax()) + pixel, len(used))


def _sub(rows: Bytes, pixel: int, out: Bytes) -> None:
    here = rows[1:]
    out[:, :pixel] = here[:, :pixel]
    np.subtract(here[:, pixel:], here[:, :-pixel], out=out[:, pixel:])


def _up(rows: Bytes, pixel: int, out: Bytes) -> None:
    np.subtract(rows[1:], rows[:-1], out=out)


def _average(rows: Bytes, pixel: int, out: Bytes) -> None:
    here, above = rows[1:], rows[:-1]
    np.subtract(here[:, :pixel], above[:, :pixel] >> 1, out=out[:, :pixel])
    left, above = here[:, :-pixel], above[:, pixel:]
    mean = left ^ above
    mean >>= 1
    mean += left & above  # (a + b) / 2 rounded down, without a ninth bit
    np.subtract(here[:, pixel:], mean, out=out[:, pixel:])


def _paeth(rows: Bytes, pixel: int, out: Bytes) -> None:
    here, above = rows[1:], rows[:-1]
    np.subtract(here[:, :pixel], above[:, :pixel], out=out[:, :pixel])  # where a and c are 0 it is b
    a, b, c = here[:, :-pixel], above[:, pixel:], above[:, :-pixel]
    # p = a + b - c, hence |p - a| = |b - c|, |p - b| = |a - c|, and |p - c| is their sum, or their difference where c
    # lies between a and b. Only there it can be the smallest; so eight bits are enough throughout.
    to_a = np.maximum(b, c)
    to_a -= np.minimum(b, c)
    to_b = np.maximum(a, c)
    to_b -= np.minimum(a, c)
    nearer = np.minimum(to_a, to_b)
    to_c = np.maximum(to_a, to_b)
    to_c -= nearer
    takes_c = (a > c) != (b > c)
    takes_c &= to_c < nearer
    takes_b = np.negative((to_a > to_b).view(np.uint8))
    predicted = a ^ b
    predicted &= takes_b
    predicted ^= a
    other = predicted ^ c
    other &= np.negative(takes_c.view(np.uint8))
    predicted ^= other
    np.subtract(here[:, pixel:], predicted, out=out[:, pixel:])


_FILTERS: dict[int, Callable[[Bytes, int, Bytes], None]] = {SUB: _sub, UP: _up, AVERAGE: _average, PAETH: _paeth}
