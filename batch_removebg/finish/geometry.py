"""A cut laid out on its canvas: the subject is found by its alpha, and moved bit for bit, or resampled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from batch_removebg.imaging.arrays import Samples
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.vips import as_array, as_image
from batch_removebg.matting.dust import cleaned
from batch_removebg.matting.matte import read_output
from batch_removebg.matting.quality import CONTACT
from batch_removebg.matting.regions import Mask, span
from batch_removebg.model import Matte

from .cut import Cut, cut_again, cut_out, pasted, white_of
from .layout import Layout, Subject, layout
from .measures import Size
from .options import Finish, Geometry
from .resample import resampled, shrunk

_CELLS = 512  # along the longest side, by which pieces are told apart: up to two empty ones between them join them


def placed(cut: Cut, geometry: Geometry, require_room: Callable[[Size], None] | None = None) -> Cut:
    """The cut on its canvas, as `geometry` says; the one given stays as it is. Raises what `require_room` does."""
    if not geometry.trim:
        return cut
    height, width = cut.mask.shape
    how = geometry.trim_level, geometry.specks, geometry.align == "centroid"
    if how not in cut.found:
        cut.found[how] = find(cut.mask, geometry)
    subject, mask = cut.found[how]
    plan = layout(subject, (width, height), geometry)
    if require_room is not None:
        require_room(plan.canvas)
    picture = replace(cut.picture, notes=cut.picture.notes + plan.notes, flags=cut.picture.flags + plan.flags)
    if subject is None:
        return pasted(Cut(picture, np.zeros_like(mask)), plan.canvas, 0, 0)
    # What is fainter around the box comes with it, as far as there is room.
    rows, top, tall = _window(subject, plan, 1)
    columns, left, broad = _window(subject, plan, 0)
    pixels, part = picture.pixels[rows, columns], mask[rows, columns]
    if part.shape != (tall, broad):
        pixels, part = resampled(pixels, part, broad, tall)
    made = pasted(Cut(replace(picture, pixels=pixels), part), plan.canvas, left, top)
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
    columns, rows = (span(line >= level, 0) for line in most)
    shown = span(most[0] > 0, 0), span(most[1] > 0, 0)
    area = int(np.count_nonzero(mask > white // 2))
    sides = {"top": mask[0], "right": mask[:, -1], "bottom": mask[-1], "left": mask[:, 0]}
    touches = tuple(side for side, line in sides.items() if (line > white // 2).mean() > CONTACT)
    centroid = None
    if geometry.align == "centroid":
        weights = (mask.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
        across, down = (float(np.average(np.arange(len(line)) + 0.5, weights=line)) for line in weights)
        centroid = across, down
    return Subject((columns.start, rows.start, columns.stop, rows.stop), centroid, touches, shown, area), mask


def _specks(mask: Samples, level: int, least: float) -> Mask | None:
    """Which pixels (H×W) lie in or next to pieces smaller than that share of all; None where there are none."""
    side = -(-max(mask.shape) // _CELLS)
    taken = shrunk((mask >= level).view(np.uint8), side)
    held = np.pad(taken > 0, 1).view(np.uint8)  # no window fits into what is narrower than it
    near = as_image(held).rank(3, 3, 8).crop(1, 1, *taken.shape[::-1])  # the largest of nine
    labels = as_array(near.labelregions())
    sizes = np.bincount(labels.ravel(), taken.ravel())
    small = ((sizes < least * sizes.sum()) & (sizes < sizes.max()))[labels] & (as_array(near) > 0)
    if not small.any():
        return None
    specks: Mask = small.repeat(side, axis=0).repeat(side, axis=1)[: mask.shape[0], : mask.shape[1]]
    return specks


def _window(subject: Subject, plan: Layout, axis: int) -> tuple[slice, int, int]:
    """Of one direction: what of the photo shows on the canvas, where there it begins, and its length there."""
    shown, at, length = subject.shown[axis], plan.at[axis], plan.size[axis]
    start, end = subject.box[axis], subject.box[axis + 2]
    before = min(start - shown.start, int(at / plan.factor))
    after = min(shown.stop - end, int((plan.canvas[axis] - at - length) / plan.factor))
    begin, stop = at - round(before * plan.factor), at + length + round(after * plan.factor)
    return slice(start - before, end + after), begin, stop - begin


class Extent(NamedTuple):
    """How large a subject is in its photo, by which the items of a group are given one scale; pixels of the photo."""

    box: tuple[int, ...]  # left, top, right, bottom; nothing where there is no subject
    touches: tuple[str, ...]  # the sides of the photo that cut it off
    area: float  # the sum of its alpha, 0–1
    size: tuple[int, int]  # the photo's width and height


def extent(data: bytes, matte: Matte, finish: Finish, limits: Limits) -> Extent:
    """The extent of what a matte takes for the subject of a source; raises SourceError."""
    return _extent(cut_out(read(data, limits), matte, replace(finish, edges="keep")).mask, finish)


def extent_of_cutout(data: bytes, finish: Finish, limits: Limits) -> Extent:
    """The extent of what a provider's cutout shows; raises OutputBroken."""
    return _extent(cut_again(read_output(data, limits), replace(finish, mask_only=False)).mask, finish)


def _extent(mask: Samples, finish: Finish) -> Extent:
    subject, mask = find(mask, finish.geometry)
    area = round(float(mask.sum(dtype="float64")) / white_of(mask), 1)
    box, touches = (subject.box, subject.touches) if subject else ((), ())
    return Extent(box, touches, area, (mask.shape[1], mask.shape[0]))
