"""An alpha at full size, and strokes on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from batch_removebg.errors import OutputBroken, SettingsError
from batch_removebg.finish.cut import full_size
from batch_removebg.imaging.arrays import to_8_bits
from batch_removebg.imaging.decode import read
from batch_removebg.imaging.format import Limits
from batch_removebg.matting.matte import Alpha, decode_matte, encode_matte, read_output
from batch_removebg.matting.regions import Mask, around, grown, span
from batch_removebg.model import Matte

MOST_POINTS, MOST_OPERATIONS = 10_000, 500  # of one touch-up
_SOLID = 128  # level of 255 from which on alpha belongs to a blob
_SOFTEST = 512  # pixels that a blob's soft edge is wide at most
_TILE = 64  # pixels of a side of what is painted at once

Coordinate = Annotated[float, Meta(ge=-1e6, le=1e6)]
Point = tuple[Coordinate, Coordinate]
"""x, y in pixels of the upright source, whose first pixel has its centre at 0.5, 0.5."""
_Floats = npt.NDArray[np.float64]


class Stroke(Struct, frozen=True, tag_field="kind", tag="stroke", forbid_unknown_fields=True):
    """A disc drawn along a line."""

    keep: bool  # or erase
    size: Annotated[float, Meta(ge=1, le=2000)]  # its diameter, pixels
    hardness: Annotated[float, Meta(ge=0, le=1)]  # 1: sharp to the rim; 0: a cosine from the centre to the rim
    points: Annotated[tuple[Point, ...], Meta(min_length=1, max_length=MOST_POINTS)]


class Blob(Struct, frozen=True, tag_field="kind", tag="blob", forbid_unknown_fields=True):
    """Of the parts that lie apart the one at a point."""

    only: bool  # it stays alone; else it is cleared
    at: Point


Operation = Stroke | Blob


def operations_of(given: Any) -> tuple[Operation, ...]:
    """What a browser sent, checked; raises SettingsError, which says what is wrong with which operation."""
    if isinstance(given, list) and len(given) > MOST_OPERATIONS:
        raise SettingsError(f"{len(given)} operations: save after {MOST_OPERATIONS} at most, then go on")
    try:
        found = msgspec.convert(given, tuple[Operation, ...])
    except msgspec.ValidationError as error:
        raise SettingsError(f"the touch-up makes no sense: {error}") from error
    points = sum(len(one.points) for one in found if isinstance(one, Stroke))
    if points > MOST_POINTS:
        raise SettingsError(f"strokes of {points} points: save after {MOST_POINTS} at most, then go on")
    return found


def alpha_at_full_size(data: bytes, matte: Matte, limits: Limits, refine: str = "auto") -> Matte:
    """The alpha (H×W) of an upright source as pictures have it, before dust and spill; raises SourceError."""
    return Matte(full_size(read(data, limits), matte, refine))


def own_alpha(data: bytes, limits: Limits) -> Matte:
    """The alpha (H×W) of a provider's cutout; raises OutputBroken where it has none."""
    alpha = read_output(data, limits).alpha
    if alpha is None:
        raise OutputBroken("the cutout has no alpha")
    return Matte(to_8_bits(alpha))


def touched_up(
    kept: bytes | None, data: bytes, matte: Matte | None, limits: Limits, refine: str, operations: Sequence[Operation]
) -> bytes:
    """The file of the alpha after the operations; raises SettingsError as `applied`, SourceError, OutputBroken.

    `kept`: that of an earlier edit, to go on with; else the alpha is fitted to the source `data`, or, without a
    `matte`, it is that of the cutout `data`.
    """
    if kept is not None:
        before = decode_matte(kept)
    else:
        before = own_alpha(data, limits) if matte is None else alpha_at_full_size(data, matte, limits, refine)
    return encode_matte(Matte(applied(before.alpha, operations)))


def applied(alpha: Alpha, operations: Sequence[Operation]) -> Alpha:
    """The alpha (H×W, 0–255) after all operations in order; raises SettingsError where a blob isn't there."""
    alpha = alpha.copy()
    for one in operations:
        if isinstance(one, Stroke):
            _paint(alpha, one)
        else:
            _choose(alpha, one)
    return alpha


def _paint(alpha: Alpha, stroke: Stroke) -> None:
    # Alpha may only rise, or fall, to the stroke's coverage, which is that of the nearest point of its line.
    for place, distance in _distances(stroke, alpha.shape):
        levels = (_coverage(distance, stroke) * 255 + 0.5).astype(np.uint8)
        if stroke.keep:
            np.maximum(alpha[place], levels, out=alpha[place])
        else:
            np.minimum(alpha[place], 255 - levels, out=alpha[place])


def _coverage(distance: _Floats, stroke: Stroke) -> _Floats:
    """How far the disc covers pixels at such distances from its centre, 0–1."""
    radius = stroke.size / 2
    soft = radius * (1 - stroke.hardness)
    if soft < 1:  # the rim is a pixel wide at least
        return (radius + 0.5 - distance).clip(0, 1)
    return (1 + np.cos(np.pi * ((distance - (radius - soft)) / soft).clip(0, 1))) / 2


def _distances(stroke: Stroke, shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, slice], _Floats]]:
    """Tile by tile within the stroke's reach: the place in a picture, and each pixel's distance from its line."""
    line = np.array(stroke.points)
    starts, ways = (line, np.zeros_like(line)) if len(line) == 1 else (line[:-1], np.diff(line, axis=0))
    reach, half = stroke.size / 2 + 0.5, _TILE / math.sqrt(2)
    low, high = np.floor(line.min(axis=0) - reach), np.ceil(line.max(axis=0) + reach)
    (left, top), (right, bottom) = np.maximum(low, 0).astype(int), np.minimum(high, shape[::-1]).astype(int)
    for row in range(top, bottom, _TILE):
        # Of thousands of segments those that come near this row of tiles at all.
        ends = starts[:, 1], starts[:, 1] + ways[:, 1]
        near = (np.minimum(*ends) <= row + _TILE + reach) & (np.maximum(*ends) >= row - reach)
        for column in range(left, right, _TILE) if near.any() else ():
            middle = _apart(column + _TILE / 2, row + _TILE / 2, starts[near].T, ways[near].T)
            if (least := middle.min()) > (reach + half) ** 2:
                continue
            nearest = middle <= (math.sqrt(least) + 2 * half) ** 2  # no other is the nearest to any pixel of the tile
            place = slice(row, min(row + _TILE, bottom)), slice(column, min(column + _TILE, right))
            y, x = np.ogrid[place]
            segments = zip(starts[near][nearest], ways[near][nearest], strict=True)
            yield place, np.sqrt(reduce(np.minimum, (_apart(x + 0.5, y + 0.5, *one) for one in segments)))


def _apart(x: Any, y: Any, start: _Floats, way: _Floats) -> _Floats:
    """The squared distances of points from a straight line that leads so far from its start, or of one from several."""
    across, down = x - start[0], y - start[1]
    length = np.maximum(way[0] ** 2 + way[1] ** 2, 1e-12)
    part = ((across * way[0] + down * way[1]) / length).clip(0, 1)
    return np.asarray((across - part * way[0]) ** 2 + (down - part * way[1]) ** 2)


def _choose(alpha: Alpha, blob: Blob) -> None:
    column, row = (math.floor(value) for value in blob.at)
    height, width = alpha.shape
    if not (0 <= row < height and 0 <= column < width and alpha[row, column] >= _SOLID):
        raise SettingsError(f"there is nothing of the subject at {column}, {row}: click on what shall stay or go")
    place, mask = _blob(alpha, row, column)
    part = alpha[place] * mask
    if blob.only:
        alpha[...] = 0
        alpha[place] = part
    else:
        alpha[place] -= part


def _blob(alpha: Alpha, row: int, column: int) -> tuple[tuple[slice, slice], Mask]:
    """The part of an alpha that is solid at a pixel, grown into its soft edges: where it lies, and its mask there."""
    there = around(alpha > 0, row, column)  # with all that its soft edges touch
    rows, columns = (span(np.any(there, axis), 0) for axis in (1, 0))
    place, there = (rows, columns), there[rows, columns]
    solid = there & (alpha[place] >= _SOLID)
    own = around(solid, row - rows.start, column - columns.start)
    others = solid & ~own
    return place, there if not others.any() else grown(own, others, there, _SOFTEST)
