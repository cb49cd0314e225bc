"""Where the subject lies on its canvas: planned in plain numbers, before any pixel is touched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from batch_removebg.matting.quality import CUT_OFF, EMPTY

from .measures import Length, Size
from .options import Geometry

_NOISE = 1e-6  # pixels: subjects of a group have the same canvas
_SIDES = ("top", "right", "bottom", "left")  # as in `Margin`
_PAIRS = (("left", "right"), ("top", "bottom"))  # across and down
SMALL = "small"
"""A fault that a layout may have beside two of a cutout's: the subject is smaller than was asked for."""


class Subject(NamedTuple):
    """What is laid out, in pixels of the photo."""

    box: tuple[int, int, int, int]  # left, top, right, bottom
    centroid: tuple[float, float] | None = None  # of its alpha, where that is asked for
    touches: tuple[str, ...] = ()  # of `_SIDES`: where the photo's frame cuts it off
    shown: tuple[slice, slice] = (slice(0), slice(0))  # columns and rows of all that isn't clear
    area: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas and the subject's box on it, in pixels."""

    canvas: Size
    factor: float = 1.0  # pixels of the canvas for one of the photo
    at: tuple[int, int] = (0, 0)  # the box's left and top
    size: Size = (0, 0)  # the box's; 0 by 0 where there is no subject
    most: float = 0.0  # the factor without `scale`, enlarged or not; 0 where there is no subject
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class _Axis(NamedTuple):
    """One direction: what the subject measures, and what has to stay free."""

    length: int
    centroid: float  # from the box's start
    before: Length
    after: Length
    fill: float
    align: str  # one of `Align`; or `start` or `end`, where the photo's frame cuts the subject off (both: start)

    def most(self, side: float) -> float:
        """How long the subject may be on a canvas of that side."""
        return max(1.0, min(self.fill * side, side - self.before.of(side) - self.after.of(side)))

    def side(self, length: float) -> float:
        """How long the canvas must be for a subject of that length."""
        free = 1 - self.before.share - self.after.share
        return max(length / self.fill, (length + self.before.px + self.after.px) / free)

    def start(self, side: int, length: int, factor: float) -> int:
        """Where a subject of that length begins."""
        first, last = self.before.of(side), side - self.after.of(side) - length
        at = {"start": first, "end": last}.get(self.align, (first + last) / 2)
        if self.align == "bottom":
            at = side - max(self.after.of(side), side * (1 - self.fill) / 2) - length
        elif self.align == "centroid":
            at = (first + last + length) / 2 - self.centroid * factor
        # Halves always up, so that a base line is the same row for subjects of any height.
        return min(max(0, math.floor(max(first, min(last, at)) + 0.5)), side - length)


def layout(subject: Subject | None, size: Size, geometry: Geometry) -> Layout:
    """Canvas and place of a subject in a photo of that size (None: it is empty).

    The factor is the largest that `fill`, margins and `scale` allow, and 1 without a canvas. At sides where the
    subject is cut off it lies at the canvas's edge, whatever margins and `align` say.
    """
    if subject is None:
        return Layout(geometry.canvas or size, notes=("there is no subject to lay out",), flags=(EMPTY,))
    axes, room = (_axis(subject, geometry, 0), _axis(subject, geometry, 1)), 1.0
    if geometry.canvas:
        room = min(axis.most(side) / axis.length for axis, side in zip(axes, geometry.canvas, strict=True))
    wanted = min(room, geometry.scale or room)
    factor = wanted if geometry.enlarge else min(wanted, geometry.unenlarged)
    lengths = tuple(max(1, math.floor(axis.length * factor + 0.5)) for axis in axes)
    canvas = geometry.canvas or _canvas(axes, lengths, geometry.aspect)
    notes, flags = list[str](), list[str]()
    if geometry.canvas and geometry.canvas_least and factor < wanted:
        share = min(1.0, max(factor / wanted, geometry.canvas_least / max(canvas)))
        wanted, (width, height) = wanted * share, canvas
        canvas = math.ceil(width * share - _NOISE), math.ceil(height * share - _NOISE)
        if canvas != geometry.canvas:
            made = "made {}x{} instead of {}x{}".format(*canvas, *geometry.canvas)
            notes.append(f"source too small: {made}; --enlarge allows it")
    across, down = (axis.start(canvas[nth], lengths[nth], factor) for nth, axis in enumerate(axes))
    if subject.touches and canvas != lengths:
        pairs = (pair for pair, *both in zip(_PAIRS, canvas, lengths, strict=True) if both[0] != both[1])
        free = [pair for pair in pairs if {*pair} <= {*subject.touches}]
        edge = "; at ".join("the {} edge, not at the {}, where the cut is seen".format(*pair) for pair in free)
        where = f"({', '.join(subject.touches)}): it lies at {edge or 'that edge'}"
        notes.append(f"the photo's frame cuts the subject off {where}")
        flags.append(CUT_OFF)
    if factor < wanted * (1 - 1e-9):
        whole = max(axis.length / side for axis, side in zip(axes, canvas, strict=True))
        fill, wish = whole * factor, whole * wanted
        notes.append(f"source too small: fill {fill:.0%} instead of {wish:.0%}; --enlarge allows it")
        flags.append(SMALL)
    if factor > 1:
        notes.append(f"enlarged {factor:.3g} ×")
    return Layout(canvas, factor, (across, down), (lengths[0], lengths[1]), room, tuple(notes), tuple(flags))


def largest(size: Size, geometry: Geometry) -> Size:
    """The largest picture that can come of a photo of that size."""
    return layout(Subject((0, 0, *size)), size, geometry).canvas if geometry.trim else size


def _axis(subject: Subject, geometry: Geometry, nth: int) -> _Axis:
    """Across (0) or down (1)."""
    sides = _PAIRS[nth]
    first, last = (side in subject.touches for side in sides)
    before, after = (Length() if side in subject.touches else geometry.margin[_SIDES.index(side)] for side in sides)
    start, end = subject.box[nth], subject.box[nth + 2]
    centroid = subject.centroid[nth] - start if subject.centroid else (end - start) / 2
    fill = 1.0 if first and last else geometry.fill or 1.0
    align = "centre" if (nth, geometry.align) == (0, "bottom") else geometry.align
    align = "start" if first else "end" if last else align
    return _Axis(end - start, centroid, before, after, fill, align)


def _canvas(axes: tuple[_Axis, _Axis], lengths: tuple[int, ...], aspect: tuple[float, float] | None) -> Size:
    width, height = (axis.side(length) for axis, length in zip(axes, lengths, strict=True))
    if aspect is not None:
        ratio = aspect[0] / aspect[1]
        width, height = max(width, height * ratio), max(height, width / ratio)
    return math.floor(width + 0.5), math.floor(height + 0.5)
