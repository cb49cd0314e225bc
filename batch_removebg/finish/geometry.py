"""A cut laid out on its canvas: the subject is found by its alpha, and moved bit for bit, or resampled once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from batch_removebg.imaging.arrays import Samples
from batch_removebg.imaging.vips import as_array, as_image
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
    subject, mask = find(cut.mask, geometry)
    plan = layout(subject, (width, height), geometry)
    picture = replace(cut.picture, notes=cut.picture.notes + plan.notes, flags=cut.picture.flags + plan.flags)
    if subject is None:
        return _on_canvas(Cut(picture, mask[:0, :0]), plan, (0, 0))
    # What is fainter around the box comes with it, as far as there is room.
    rows, top, tall = _window(_any(mask, 1), subject.box[1::2], plan, 1)
    columns, left, broad = _window(_any(mask, 0), subject.box[0::2], plan, 0)
    pixels, part = picture.pixels[rows, columns], mask[rows, columns]
    if part.shape != (tall, broad):
        pixels, part = resampled(pixels, part, broad, tall)
    return _on_canvas(Cut(replace(picture, pixels=pixels), part), plan, (left, top))


def find(mask: Samples, geometry: Geometry) -> tuple[Subject | None, Samples]:
    """The subject in a mask (H×W), and the mask without specks; None where nothing reaches the trim level."""
    white = white_of(mask)
    solid = mask >= max(1, geometry.trim_level * (white // 255))
    if geometry.specks and (specks := _specks(solid, geometry.specks)) is not None:
        mask = np.where(specks, mask.dtype.type(0), mask)
        solid &= ~specks
    if not solid.any():
        return None, mask
    down, across = span(_any(solid, 1), 0), span(_any(solid, 0), 0)
    box = across.start, down.start, across.stop, down.stop
    sides = {"top": mask[0], "right": mask[:, -1], "bottom": mask[-1], "left": mask[:, 0]}
    touches = tuple(side for side, line in sides.items() if (line > white // 2).mean() > CONTACT)
    centroid = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if geometry.align == "centroid":
        columns, rows = (mask.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
        centroid = _mean_place(columns), _mean_place(rows)
    return Subject(box, centroid, touches), mask


def _specks(solid: Mask, least: float) -> Mask | None:
    """Which pixels (H×W) lie in or next to pieces smaller than that share of all; None where there are none."""
    side = -(-max(solid.shape) // _CELLS)
    whole = np.pad(solid, [(0, -length % side) for length in solid.shape])
    down, across = (length // side for length in whole.shape)
    counts = whole.reshape(down, side, -1).sum(axis=1, dtype=np.uint16)
    counts = counts.reshape(down, across, side).sum(axis=2, dtype=np.uint32)
    near = sliding_window_view(np.pad(counts > 0, 1), (3, 3)).any(axis=(2, 3))
    labels = as_array(as_image(near.view(np.uint8)).labelregions()).ravel()
    sizes = np.bincount(labels, counts.ravel())
    small = ((sizes < least * sizes.sum()) & (sizes < sizes.max()))[labels].reshape(near.shape) & near
    if not small.any():
        return None
    height, width = solid.shape
    specks: Mask = small.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return specks


def _any(values: npt.NDArray[Any], axis: int) -> Mask:
    return np.asarray(values.any(axis=axis))


def _window(shows: Mask, box: tuple[int, ...], plan: Layout, axis: int) -> tuple[slice, int, int]:
    """Of one direction: what of the photo shows on the canvas, where there it begins, and its length there."""
    seen, (start, end), at, length = span(shows, 0), box, plan.at[axis], plan.size[axis]
    before = min(start - seen.start, int(at / plan.factor))
    after = min(seen.stop - end, int((plan.canvas[axis] - at - length) / plan.factor))
    first, last = at - round(before * plan.factor), at + length + round(after * plan.factor)
    return slice(start - before, end + after), first, last - first


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
