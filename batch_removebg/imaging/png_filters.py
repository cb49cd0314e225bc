"""Two of PNG's filters over bands of rows, and which of them makes a band smaller.

A byte less what those to the left (a), above (b), above left (c) predict, modulo 256 (PNG, third edition, section 9).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .arrays import Samples, joined

Bytes = npt.NDArray[np.uint8]  # rows×bytes of unfiltered scan lines

UP, PAETH = 2, 4
_BAND = 1 << 18  # bytes that are filtered at once: they and the results stay in a core's own cache
_FEWEST_BANDS = 12  # so that each can have the filter that suits it; but none of fewer than 16 rows
_TRIED = 32  # one row in so many is compressed for trial, and not fewer than `_FEWEST` of a band
_FEWEST = 2
_SMOOTH = 0.25  # bytes compressed ÷ bytes that aren't background, below which ISA-L falls far behind zlib-ng, …
_MOSTLY = 0.4  # … so the share of such bands must be less than this to use it, …
_FULL = 0.36  # … and the share of nonzero bytes more than this; its files are 1.03 to 1.14 × Pillow's (145 pictures)


class ScanLines:
    """A picture's rows as PNG stores them (16 bits: the higher byte first); as a whole it is never copied."""

    def __init__(self, pixels: Samples, alpha: Samples | None) -> None:
        """`pixels`: H×W or H×W×C; `alpha`: H×W, becomes the last channel."""
        self._pixels, self._alpha = pixels, alpha
        self._count = len(pixels)
        self.pixel = pixels[0, 0].nbytes + (0 if alpha is None else alpha.itemsize)  # bytes of one
        self._most = max(1, min(_BAND // (pixels.shape[1] * self.pixel), max(16, self._count // _FEWEST_BANDS)))

    def bands(self) -> Iterator[tuple[int, int]]:
        """(first, end) of the rows that are filtered at once."""
        return ((at, min(at + self._most, self._count)) for at in range(0, self._count, self._most))

    def rows(self, first: int, end: int) -> Bytes:
        """Rows `first` to `end`, behind the one above them."""
        some = slice(max(0, first - 1), end)
        values = joined(self._pixels[some], None if self._alpha is None else self._alpha[some])
        stored = np.ascontiguousarray(values if values.dtype == np.uint8 else values.astype(">u2"))
        lines = stored.reshape(len(stored), -1).view(np.uint8)
        return lines if first else np.concatenate([np.zeros_like(lines[:1]), lines])


def filtered(rows: Bytes, kind: int, pixel: int, out: Bytes) -> None:
    """Filter R+1 rows, the first of which is the one above, into `out` (R×(1+bytes)); `pixel`: bytes of one."""
    out[:, 0] = kind
    body = out[:, 1:]
    first, end = _inhabited(rows, pixel)  # the rest, as beside a subject, is skipped
    body[:, :first] = 0
    body[:, end:] = 0
    if end > first:
        start = max(0, first - pixel)
        (_up if kind == UP else _paeth)(rows[:, start:end], pixel, body[:, start:end])


def trials(lines: ScanLines) -> tuple[list[int], bool]:
    """Each band's better filter, and whether ISA-L compresses the picture nearly as well as zlib-ng.

    By a few rows in the middle of each band. ISA-L falls behind on smooth pictures, and on those that are mostly empty.
    """
    up, paeth, seen, inhabited, total = np.array([_tried(lines, *band) for band in lines.bands()]).T
    smooth = seen[np.minimum(up, paeth) < _SMOOTH * seen].sum()
    suits = smooth < _MOSTLY * seen.sum() and inhabited.sum() >= _FULL * total.sum()
    return np.where(up <= paeth, UP, PAETH).tolist(), bool(suits)


def _tried(lines: ScanLines, first: int, end: int) -> tuple[int, int, int, int, int]:
    """Bytes of a few rows: compressed after `UP` and after `PAETH`, without background at the sides, nonzero, all."""
    count = min(end - first, max(_FEWEST, (end - first + 1) // _TRIED))
    middle = first + (end - first - count) // 2
    some = lines.rows(middle, middle + count)
    out = np.empty((count, some.shape[1] + 1), np.uint8)
    sizes = []
    for kind in (UP, PAETH):
        filtered(some, kind, lines.pixel, out)
        sizes.append(len(isal_zlib.compress(out.data, 1)))
    first, end = _inhabited(some, lines.pixel)
    return sizes[0], sizes[1], count * (end - first), int(np.count_nonzero(some[1:])), some[1:].size


def _inhabited(rows: Bytes, pixel: int) -> tuple[int, int]:
    """(first, end) of the columns outside of which rows and predictions from them are zero."""
    used = np.bitwise_or.reduce(rows, axis=0) != 0
    first = int(used.argmax())
    if not used[first]:
        return 0, 0
    return first, min(len(used) - int(used[::-1].argmax()) + pixel, len(used))


def _up(rows: Bytes, _: int, out: Bytes) -> None:
    np.subtract(rows[1:], rows[:-1], out=out)


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
