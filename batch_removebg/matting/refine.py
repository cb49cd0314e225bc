"""A small alpha fitted to its photo at full size: the photo itself shows where the edges are.

How alpha follows colour (`models_of`) is evaluated at the photo's pixels (He and Sun, "Fast Guided Filter",
arXiv:1505.00996), but only in tiles that aren't plain 0 or 255 all around.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from batch_removebg.imaging.arrays import Samples, to_8_bits
from batch_removebg.imaging.vips import as_array, as_image

from .box_filter import Floats
from .guided_filter import CLEAR, RADIUS, REACH, models_of
from .matte import Alpha
from .regions import Mask, span

LARGER = 1.5  # how many times its alpha's size a photo must have: a larger alpha has seen the edges itself
SMALL, LARGE = 1 << 18, 1 << 20  # pixels up to which an alpha is refined in any larger photo, and above which never
TILE = 16  # side of what is worked on at once, pixels of the small grid
ENDS = 3  # levels of 255 that count as 0 and as 255: nobody sees them, and they would be two fifths of the mixed pixels
_GAIN = np.float32(255 * 255 / (255 - 2 * ENDS))


def refine(guide: Samples, alpha: Alpha) -> Alpha:
    """The alpha (h×w, 0–255) at the size of its photo (H×W×3 RGB or H×W grey, 8 or 16 bits), with the photo's edges."""
    height, width = guide.shape[:2]
    rows, columns = alpha.shape
    scale = min(height / rows, width / columns)
    if scale <= (LARGER if rows * columns > SMALL else 1) or rows * columns > LARGE:
        return resized(alpha, height, width)
    active = _active(alpha)
    models = np.zeros((4, rows, columns), np.float32)
    if active.any():
        # What the models need: the active tiles and two windows around them.
        down, across = (active.any(axis=axis).repeat(TILE) for axis in (1, 0))
        part = span(down[:rows], 2 * RADIUS), span(across[:columns], 2 * RADIUS)
        small = np.ascontiguousarray(_reduced(guide, rows, columns)[:, *part])
        models[:, *part] = models_of(small, alpha[part].astype(np.float32) / np.float32(255))
    sure = np.where(alpha[::TILE, ::TILE] < 128, 0, 255).astype(np.uint8)
    return _evaluated(models, guide, sure, active)


def reduced(alpha: Alpha, most: float = SMALL) -> Alpha:
    """A network's alpha (h×w) as it is refined best, of so many pixels at most: its edges are soft at any size."""
    rows, columns = alpha.shape
    factor = (most / (rows * columns)) ** 0.5
    if factor >= 1:
        return alpha
    size = max(1, int(columns * factor)), max(1, int(rows * factor))
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))


def resized(alpha: Alpha, height: int, width: int) -> Alpha:
    """The alpha at another size (H×W), by Lanczos; itself where it has that size."""
    if alpha.shape == (height, width):
        return alpha
    return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.LANCZOS))


def _active(alpha: Alpha) -> Mask:
    """Which tiles are computed: all but those that are plain 0 or 255, as is all around them."""
    margin = REACH + 1  # pixels around a tile that its models' trust depends on
    padded = np.pad(alpha, [(margin, -side % TILE + margin) for side in alpha.shape], mode="edge")
    lines = sliding_window_view(padded, TILE + 2 * margin, axis=0)[::TILE]
    low, high = (
        pick.reduce(sliding_window_view(pick.reduce(lines, axis=2), TILE + 2 * margin, axis=1)[:, ::TILE], axis=2)
        for pick in (np.minimum, np.maximum)
    )
    return np.asarray(~((high <= CLEAR) | (low >= 255 - CLEAR)))


def _reduced(guide: Samples, rows: int, columns: int) -> Floats:
    """The photo on the alpha's grid: 3×rows×columns, 0–1."""
    # In two steps: Pillow alone would first copy all of the photo, in half as much time again.
    height, width = guide.shape[:2]
    across, down = max(1, width // columns), max(1, height // rows)
    boxes = Image.fromarray(as_array(as_image(to_8_bits(guide)).shrink(across, down, ceil=True)))
    image = boxes.resize((columns, rows), Image.Resampling.BOX, box=(0, 0, width / across, height / down))
    small = np.asarray(image, np.float32) / np.float32(255)
    return small.transpose(2, 0, 1) if small.ndim == 3 else np.broadcast_to(small, (3, *small.shape))


def _evaluated(models: Floats, guide: Samples, sure: Alpha, active: Mask) -> Alpha:
    """The alpha (H×W, 0–255) that models (4×h×w, see `models_of`; overwritten) give for a photo (H×W×3 or H×W grey).

    Tiles that aren't `active` (tiles down × across) are as `sure` (the same shape) says.
    """
    down, across = (_tiles(full, small) for full, small in zip(guide.shape[:2], models.shape[1:], strict=True))
    widths, heights = ([pixels.stop - pixels.start for pixels, _, _ in tiles] for tiles in (across, down))
    result = np.repeat(np.repeat(sure, widths, axis=1), heights, axis=0)
    models[:3] *= _GAIN / np.float32(np.iinfo(guide.dtype).max)
    models[3] *= _GAIN
    models[3] += np.float32(0.5 + 127.5) - _GAIN / 2
    for row, column in np.argwhere(active).tolist():
        (rows, around_rows, to_rows), (columns, around_columns, to_columns) = down[row], across[column]
        *factors, total = to_rows @ models[:, around_rows, around_columns] @ to_columns.T
        colours = guide[rows, columns]
        for channel, product in enumerate(factors):
            product *= colours[..., channel] if guide.ndim == 3 else colours
            total += product
        np.copyto(result[rows, columns], total.clip(0, 255, out=total), casting="unsafe")
    return result


def _tiles(full: int, small: int) -> list[tuple[slice, slice, Floats]]:
    """By tile along one side: its pixels in the photo, the grid's around it, the (linear) weights of these in those."""
    count = -(-small // TILE)
    bounds = np.ceil(np.minimum(np.arange(count + 1) * TILE, small) * (full / small) - 0.5).astype(int)
    at = ((np.arange(full) + 0.5) * (small / full) - 0.5).clip(0, small - 1)
    before = np.minimum(at.astype(int), max(small - 2, 0))
    share = (at - before).astype(np.float32)
    found = []
    for begin, end in pairwise(bounds.tolist()):
        near, line = before[begin:end], np.arange(end - begin)
        first, last = (int(near[0]), int(near[-1]) + 2) if end > begin else (0, 1)
        weights = np.zeros((end - begin, last - first), np.float32)
        weights[line, near - first] = 1 - share[begin:end]
        weights[line, near - first + 1] = share[begin:end]
        last = min(last, small)
        found.append((slice(begin, end), slice(first, last), weights[:, : last - first]))
    return found
