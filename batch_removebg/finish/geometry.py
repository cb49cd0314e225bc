"""A cut laid out on its canvas: the subject is found by its alpha, and moved bit for bit, or resampled once."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples
from batch_removebg.imaging.vips import as_array, as_image
from batch_removebg.matting.dust import cleaned
from batch_removebg.matting.quality import CONTACT
from batch_removebg.matting.regions import Mask, span

from .cut import Cut, white_of
from .layout import Layout, Subject, layout
from .options import Geometry
from .resample import resampled

_CELLS = 512  # along the longest side, by which pieces are told apart: up to two empty ones between them join them


def placed(cut: Cut, geometry: Geometry) -> Cut:
    """The cut on its canvas, as `geometry` says; the one given stays as it is."""
    if not geometry.trim:
        return cut
    height, width = cut.mask.shape
    how = geometry.trim_level, geometry.specks, geometry.align == "centroid"
    if how not in cut.found:
        cut.found[how] = find(cut.mask, geometry)
    subject, mask = cut.found[how]
    plan = layout(subject, (width, height), geometry)
    picture = replace(cut.picture, notes=cut.picture.notes + plan.notes, flags=cut.picture.flags + plan.flags)
    if subject is None:
        return _on_canvas(Cut(picture, mask[:0, :0]), plan, (0, 0))
    # What is fainter around the box comes with it, as far as there is room.
    rows, top, tall = _window(subject, plan, 1)
    columns, left, broad = _window(subject, plan, 0)
    pixels, part = picture.pixels[rows, columns], mask[rows, columns]
    if part.shape != (tall, broad):
        pixels, part = resampled(pixels, part, broad, tall)
    made = _on_canvas(Cut(replace(picture, pixels=pixels), part), plan, (left, top))
    return replace(made, factor=plan.most, area=subject.area)


def find(mask: Samples, geometry: Geometry) -> tuple[Subject | None, Samples]:
    """The subject in a mask (H×W), and the mask without specks; None where nothing reaches the trim level."""
    white = white_of(mask)
    level = max(1, geometry.trim_level * (white // 255))
    if geometry.specks and (specks := _specks(mask, level, geometry.specks)) is not None:
        mask = mask * ~specks
        if mask.dtype == np.uint8:
            mask = cleaned(mask.view(np.uint8), level)  # of what is faint around them
    most = mask.max(axis=0), mask.max(axis=1)  # in half the time of `any`
    if most[0].max() < level:
        return None, mask
    (left, right), (top, bottom) = (_ends(line >= level) for line in most)
    area = int(np.count_nonzero(mask > white // 2))
    shown = [_ends(line > 0) for line in most]
    sides = {"top": mask[0], "right": mask[:, -1], "bottom": mask[-1], "left": mask[:, 0]}
    touches = tuple(side for side, line in sides.items() if (line > white // 2).mean() > CONTACT)
    centroid = (left + right) / 2, (top + bottom) / 2
    if geometry.align == "centroid":
        columns, rows = (mask.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
        centroid = _mean_place(columns), _mean_place(rows)
    return Subject((left, top, right, bottom), centroid, touches, (shown[0], shown[1]), area), mask


def _specks(mask: Samples, level: int, least: float) -> Mask | None:
    """Which pixels (H×W) lie in or next to pieces smaller than that share of all; None where there are none."""
    height, width = mask.shape
    side = -(-max(height, width) // _CELLS)
    whole = np.pad(mask, ((0, -height % side), (0, -width % side)))
    near = np.pad(_by_cells(whole, side, np.maximum) >= level, 1)
    near = near[:-2] | near[1:-1] | near[2:]
    near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
    labels = as_array(as_image(near.view(np.uint8)).labelregions())
    sizes = np.bincount(labels.ravel(), _by_cells((whole >= level).astype(np.uint16), side, np.add).ravel())
    small = ((sizes < least * sizes.sum()) & (sizes < sizes.max()))[labels] & near
    if not small.any():
        return None
    specks: Mask = small.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return specks


def _by_cells(values: Samples, side: int, pick: np.ufunc) -> Samples:
    """What `pick` makes of all values in each square of that side, which must divide the array's."""
    # By slices, which numpy does ten times as fast as along an axis that is short.
    rows: Samples = reduce(pick, (values[at::side] for at in range(side)))
    cells: Samples = reduce(pick, (rows[:, at::side] for at in range(side)))
    return cells


def _ends(line: Mask) -> tuple[int, int]:
    found = span(line, 0)
    return found.start, found.stop


def _window(subject: Subject, plan: Layout, axis: int) -> tuple[slice, int, int]:
    """Of one direction: what of the photo shows on the canvas, where there it begins, and its length there."""
    (first, last), at, length = subject.shown[axis], plan.at[axis], plan.size[axis]
    start, end = subject.box[axis], subject.box[axis + 2]
    before = min(start - first, int(at / plan.factor))
    after = min(last - end, int((plan.canvas[axis] - at - length) / plan.factor))
    begin, stop = at - round(before * plan.factor), at + length + round(after * plan.factor)
    return slice(start - before, end + after), begin, stop - begin


def _on_canvas(part: Cut, plan: Layout, at: tuple[int, int]) -> Cut:
    (width, height), (left, top) = plan.canvas, at
    pixels = np.zeros((height, width, *part.picture.pixels.shape[2:]), part.picture.pixels.dtype)
    mask = np.zeros((height, width), part.mask.dtype)
    rows, columns = (slice(start, start + count) for start, count in zip((top, left), part.mask.shape, strict=True))
    mask[rows, columns] = part.mask
    pixels[rows, columns] = part.picture.pixels[: part.mask.shape[0], : part.mask.shape[1]]
    return Cut(replace(part.picture, pixels=pixels), mask)


def _mean_place(weights: npt.NDArray[np.float64]) -> float:
    return float(weights @ (np.arange(len(weights)) + 0.5) / weights.sum())
