"""Connected regions of masks (h×w, bool)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

GAP = 1  # pixels between two regions that `apart` still takes as connected


def span(line: npt.NDArray[np.bool_], margin: int) -> slice:
    """From the first to the last of the set values (one at least), and `margin` values around them, cropped."""
    found = np.flatnonzero(line)
    return slice(max(0, int(found[0]) - margin), min(len(line), int(found[-1]) + margin + 1))


def areas(mask: Mask) -> npt.NDArray[np.int64]:
    """Sizes in pixels of the regions connected by sides or corners, in no order."""
    return regions(mask)[0]


def regions(mask: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The regions connected by sides or corners: their sizes in pixels, and their left, top, right and bottom, n×4."""
    height, width = mask.shape
    starts, ends, names = _runs(mask)
    _, run_of = np.unique(names, return_inverse=True)
    sizes = np.bincount(run_of, ends - starts).astype(np.int64)
    rows, columns = np.divmod(starts, width + 2)
    boxes = np.tile((width, height, 0, 0), (len(sizes), 1))
    np.minimum.at(boxes[:, :2], run_of, np.stack((columns, rows), axis=1))
    np.maximum.at(boxes[:, 2:], run_of, np.stack((columns + ends - starts, rows + 1), axis=1))
    return sizes, boxes


def around(mask: Mask, row: int, column: int) -> Mask:
    """The region that a set pixel belongs to (h×w), connected as those of `regions`."""
    starts, ends, names = _runs(mask)
    reach = mask.shape[1] + 2
    here = np.searchsorted(starts, row * reach + column, "right") - 1
    turns = np.zeros(len(mask) * reach + 1, np.int8)
    same = names == names[here]
    turns[starts[same]], turns[ends[same]] = 1, -1
    found = np.cumsum(turns[:-1], dtype=np.int8).reshape(-1, reach)
    return found[:, : mask.shape[1]].astype(bool)


def _runs(mask: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Starts and ends of the runs of set pixels, in rows of two pixels more, and the lowest run of each one's region.

    A start is the place of the pixel before the run's first.
    """
    # The set pixels in a row without a gap are one node, joined with the runs of the row above that it meets.
    height, width = mask.shape
    flat = np.zeros((height, width + 2), np.int8)  # a gap at both ends, so that no run continues in the next row
    flat[:, 1:-1] = mask
    turns = np.flatnonzero(np.diff(flat.ravel()))
    starts, ends = turns[::2], turns[1::2]
    reach = width + 2
    first = np.searchsorted(ends + reach, starts, "left")  # a corner suffices: a run that ends where this one starts
    past = np.searchsorted(starts + reach, ends, "right")
    number = np.maximum(past - first, 0)
    lower = np.repeat(np.arange(len(starts)), number)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(number) - number - first, number)
    return starts, ends, _joined(len(starts), lower, upper)


def _joined(count: int, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each node the lowest number of those connected with it; `one` and `other` are the ends of the edges."""
    labels = np.arange(count)
    while (labels[one] != labels[other]).any():
        lesser, greater = np.minimum(labels[one], labels[other]), np.maximum(labels[one], labels[other])
        np.minimum.at(labels, greater, lesser)
        while (labels[labels] != labels).any():
            labels = labels[labels]
    return labels


def grown(region: Mask, others: Mask, within: Mask, steps: int) -> Mask:
    """A region (h×w) grown into what is `within` by as many pixels at most; what is nearer to `others` is theirs."""
    width = region.shape[1] + 2
    own, theirs, left = _bits(region, width), _bits(others, width), _bits(within, width)
    for _ in range(steps):
        left &= ~(own | theirs)
        more, taken = _grown(own, width, 1) & left, _grown(theirs, width, 1) & left
        if not more:
            break
        own, theirs = own | more, theirs | taken & ~more
    return _mask(own, width, region.shape)


def apart(mask: Mask, start: Mask) -> Mask:
    """The part of a mask that isn't connected with `start` (h×w), and the pixels around it: h×w.

    Paths longer than about twice the mask's height and width together aren't followed to their end.
    """
    # By growth from where the two meet, with a mask's bits in one integer: 20 µs a step over 320 pixels squared.
    width = mask.shape[1] + GAP + 1  # so that growth beyond a row's end doesn't reach the next row
    allowed, reached = _bits(mask, width), _bits(mask & start, width)
    for _ in range(sum(mask.shape)):
        before, reached = reached, _grown(reached, width, GAP + 1) & allowed
        if reached == before:
            break
    return _mask(_grown(allowed & ~reached, width, 1) & ~reached, width, mask.shape)


def _grown(bits: int, width: int, times: int) -> int:
    for _ in range(times):
        bits |= bits << 1 | bits >> 1
        bits |= bits << width | bits >> width
    return bits


def _bits(mask: Mask, width: int) -> int:
    wide = np.pad(mask, ((0, 0), (0, width - mask.shape[1])))
    return int.from_bytes(np.packbits(wide, bitorder="little").tobytes(), "little")


def _mask(bits: int, width: int, shape: tuple[int, ...]) -> Mask:
    count = shape[0] * width
    data = (bits & ((1 << count) - 1)).to_bytes(-(-count // 8), "little")
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
    return flat.reshape(-1, width)[:, : shape[1]].astype(bool)
