"""What hangs together in a mask, found by growth: all of its bits are shifted and masked as one long whole number.

Python's integers take some twenty microseconds for a step over 320 pixels squared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

GAP = 1
"""Pixels between two areas that still hang together."""


def apart(mask: Mask, start: Mask) -> Mask:
    """What of a mask (h×w) does not hang together with where it meets `start` (h×w), and the pixels around: h×w.

    Ways longer than about twice the mask's height and width together are not followed to their end.
    """
    width = mask.shape[1] + GAP + 1  # so that what grows beyond a row's end does not come into the next
    allowed, held = _bits(mask, width), _bits(mask & start, width)
    for _ in range(sum(mask.shape)):
        before, held = held, _grown(held, width, GAP + 1) & allowed
        if held == before:
            break
    return _mask(_grown(allowed & ~held, width, 1) & ~held, mask.shape, width)


def _grown(bits: int, width: int, times: int) -> int:
    for _ in range(times):
        bits |= bits << 1 | bits >> 1
        bits |= bits << width | bits >> width
    return bits


def _bits(mask: Mask, width: int) -> int:
    wide = np.pad(mask, ((0, 0), (0, width - mask.shape[1])))
    return int.from_bytes(np.packbits(wide, bitorder="little").tobytes(), "little")


def _mask(bits: int, shape: tuple[int, ...], width: int) -> Mask:
    rows, columns = shape
    count = rows * width
    data = (bits & ((1 << count) - 1)).to_bytes(-(-count // 8), "little")
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
    return flat.reshape(rows, width)[:, :columns].astype(bool)
