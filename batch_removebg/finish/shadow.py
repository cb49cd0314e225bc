"""A shadow under the subject, worked out in linear light on a small grid, so that every size looks alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples, strips, to_8_bits
from batch_removebg.imaging.colour import convert, from_srgb, mode_of
from batch_removebg.imaging.vips import as_array, as_image
from batch_removebg.matting.regions import span

from .cut import Cut, Layer, white_of
from .kinds import Shadow

Plane = npt.NDArray[np.float32]  # opacity in linear light, or an alpha: h×w, 0–1
Drawn = tuple[Plane, int, int]  # and where its first row and column are, from the subject's; pixels of the grid

_TALL, _WIDE = 512, 1024  # pixels of the subject on the grid at most
_DEPTH = 0.35  # how far back on the floor is up in the picture: the camera looks down by 20 degrees
_THINNEST = 0.06  # of its height, that a subject casts where the light comes from the side: it isn't flat
_FEET = 0.2  # of its height, within which what is lowest in a column stands on the floor
_STEEP = 1.5  # rows to a column: the most that an edge on the floor rises
_TOUCH = 0.04  # of its height above the floor, where contact ends
_REACH = 3  # standard deviations after which a blur ends
_UNSEEN = 1e-4  # opacity that no picture shows
_SEAM = 0.004  # of its height, that a reflection reaches up under the subject
_NEAR = 0.008  # of its height, the deviation of what is dark where it stands, beside a cast shadow
_FINER = 3  # parts of a column that are cast one by one: else there were stripes
_BLURS = 4  # of a cast shadow, from sharp to soft


@dataclass(frozen=True, slots=True)
class _Subject:
    """What stands on the floor, on the grid; rows and columns count from its box."""

    alpha: Plane
    foot: npt.NDArray[np.float64]  # by column: the row where the floor begins
    touch: npt.NDArray[np.float64]  # by column: 1 where it stands on the floor, 0 where it is above
    ground: float  # the lowest of these rows, without what is thin and sticks out
    step: int  # pixels of the picture to one of the grid
    top: int  # in the picture
    left: int


def shade(cut: Cut, shadow: Shadow, *, fixed: bool = False) -> tuple[Cut, Layer | None]:
    """The cut on a canvas that has grown for its shadow, unless that is `fixed`, and the shadow within it.

    None where no shadow shows. Where a shadow grows the canvas, or is clipped by it, the picture's notes say so.
    """
    subject = _subject(cut.mask)
    if subject is None:
        return cut, None
    if len(set(shadow.colour)) > 1 and cut.picture.pixels.ndim == 2:
        pixels, icc, _ = convert(cut.picture.pixels, cut.picture.icc)
        cut = replace(cut, picture=replace(cut.picture, pixels=pixels, icc=icc))
    if shadow.kind == "reflection":
        layer = _reflection(cut, subject, shadow)
    else:
        opacity, top, left = _enlarged(_DRAWN[shadow.kind](subject, shadow), subject, cut.mask.dtype)
        pixels, icc = cut.picture.pixels, cut.picture.icc
        colour = np.array(from_srgb(shadow.colour, icc, mode_of(pixels)), pixels.dtype) * (white_of(pixels) // 255)
        shape = opacity.shape + pixels.shape[2:]
        layer = Layer(np.broadcast_to(colour if pixels.ndim == 3 else colour[0], shape), opacity, top, left)
    return _placed(cut, layer, fixed=fixed)


def _subject(mask: Samples) -> _Subject | None:
    """None where nothing is opaque."""
    white = white_of(mask)
    rows, columns = (np.flatnonzero(mask.max(axis=axis) > white // 25) for axis in (1, 0))
    if not len(rows) or mask.max() <= white // 2:
        return None
    top, left, height, width = rows[0], columns[0], rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    step = max(1, -(-int(height) // _TALL), -(-int(width) // _WIDE))
    box = mask[top : top + height, left : left + width]
    even = np.pad(box, [(0, -side % step) for side in box.shape])
    alpha = as_array(as_image(even).shrink(step, step)).astype(np.float32) / np.float32(white)
    opaque = alpha > 0.5
    if not opaque.any():  # thinner than the grid shows
        opaque = np.greater_equal(alpha, alpha.max())
    foot, touch = _floor(opaque)
    return _Subject(alpha, foot, touch, float(foot.max()), step, int(top), int(left))


def _floor(opaque: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """By column, the row where the floor begins, and how much of the subject touches it there (0–1)."""
    height, width = opaque.shape
    at, filled = np.arange(width), np.asarray(opaque.any(axis=0))
    bottom = height - opaque[::-1].argmax(axis=0)  # below the lowest opaque row of each column
    foot, touch = np.zeros(width), np.zeros(width)
    # What stands side by side, with nothing between, may stand nearer to the camera, or farther off.
    for columns in np.split(at, np.flatnonzero(np.diff(filled)) + 1):
        if filled[columns[0]]:
            own = bottom[columns]
            lowest, tall = np.quantile(own, 0.99), height - int(np.argmax(opaque[:, columns].any(axis=1)))
            # What rises steeply is the subject's side. What is high above is held by other parts.
            steepest = (own - _STEEP * abs(columns[:, None] - columns)).max(axis=1)
            near: npt.NDArray[np.bool_] = (abs(own - lowest) <= _FEET * tall) & (steepest - own <= _TOUCH * tall)
            sigma = 0.01 * tall
            ends = math.ceil(_REACH * sigma)
            line = np.pad(np.interp(columns, columns[near], own[near]), ends, mode="edge")
            foot[columns] = _blurred(line[None], sigma, 0)[0, ends:-ends]
            touch[columns] = np.where(near, 1 - abs(foot[columns] - own) / (_TOUCH * tall), 0).clip(0)
    return np.interp(at, at[filled], foot[filled]), touch


def _blurred(plane: npt.NDArray[Any], across: float, down: float) -> Plane:
    """A plane through a Gaussian of these standard deviations; it wraps around, so that there must be room."""
    height, width = plane.shape
    exponent = (down * np.fft.fftfreq(height)[:, None]) ** 2 + (across * np.fft.rfftfreq(width)) ** 2
    damped = np.exp(-2 * np.pi**2 * exponent)
    return np.fft.irfft2(np.fft.rfft2(plane) * damped, plane.shape).astype(np.float32)


def _sigma(subject: _Subject, shadow: Shadow) -> float:
    return max(1.0, shadow.softness * subject.ground)  # less would show the grid


def _drop(subject: _Subject, shadow: Shadow) -> Drawn:
    sigma, angle, far = _sigma(subject, shadow), math.radians(shadow.azimuth), shadow.length * subject.ground
    room = math.ceil(_REACH * sigma)
    plane = _blurred(np.pad(subject.alpha, room), sigma, sigma) * np.float32(shadow.opacity)
    return plane, round(math.cos(angle) * far) - room, round(-math.sin(angle) * far) - room


def _contact(subject: _Subject, shadow: Shadow) -> Drawn:
    """A dark line where the subject touches the floor, in a faint one around it, both wider than high."""
    sigma = _sigma(subject, shadow)
    room = math.ceil(_REACH * 6 * sigma)
    shape = len(subject.alpha) + 2 * room, len(subject.foot) + 2 * room
    plane = 0.7 * _line(subject, sigma, shape, -room, -room) + 0.3 * _line(subject, 3 * sigma, shape, -room, -room)
    return np.float32(shadow.opacity) * plane, -room, -room


def _line(subject: _Subject, sigma: float, shape: tuple[int, int], top: int, left: int) -> Plane:
    """Where the subject touches the floor, blurred, 1 where most, on a plane that begins at `top` and `left`."""
    columns = np.arange(len(subject.foot)) + 0.5 - left
    plane = _blurred(_scattered(subject.touch, subject.foot - top, columns, shape), 2 * sigma, sigma)
    return np.asarray(plane / max(plane.max(), np.float32(1e-6)))


def _cast(subject: _Subject, shadow: Shadow) -> Drawn:
    """The silhouette laid on the floor, away from the light: blurred more and fainter, the higher what casts it is."""
    tall = subject.ground
    azimuth, length = math.radians(shadow.azimuth), 1 / math.tan(math.radians(shadow.elevation))
    aside, back = -math.sin(azimuth) * length, -math.cos(azimuth) * length * _DEPTH
    back = math.copysign(max(abs(back), _THINNEST), back)
    slope = np.gradient(subject.foot).clip(-_STEEP, _STEEP) if len(subject.foot) > 1 else np.zeros(1)
    at = (np.arange(_FINER * len(slope)) + 0.5) / _FINER
    foot, slope = (np.interp(at, np.arange(len(slope)) + 0.5, line) for line in (subject.foot, slope))
    # A pixel weighs what the map enlarges it by: what is opaque casts an opaque shadow.
    alpha = subject.alpha.repeat(_FINER, axis=1) * abs(back + aside * slope) / _FINER
    above = (foot - np.arange(len(alpha))[:, None] - 0.5).clip(0)
    rows, columns = foot - back * above, at + aside * above
    sigma = _sigma(subject, shadow)
    room = math.ceil(_REACH * max(sigma, 2 * _NEAR * tall, 2)) + 1
    top, left = math.floor(rows.min()) - room, math.floor(columns.min()) - room
    shape = math.ceil(rows.max()) + room - top, math.ceil(columns.max()) + room - left
    hits = _scattered(alpha, rows - top, columns - left, shape).clip(1)
    share = (above / tall).clip(0, 1)
    plane = np.zeros(shape, np.float32)
    for nth in range(_BLURS):
        part = (1 - abs(share * (_BLURS - 1) - nth)).clip(0) * (1 - shadow.falloff * share) * alpha
        wide = max(1.0, sigma * nth / (_BLURS - 1))
        plane += _blurred(_scattered(part, rows - top, columns - left, shape) / hits, wide, wide)
    # The floor is dark where the subject stands on it, from wherever the light comes.
    touching = np.float32(0.5) * _line(subject, max(1.0, _NEAR * tall), shape, top, left)
    return np.float32(shadow.opacity) * (1 - (1 - plane.clip(0, 1)) * (1 - touching)), top, left


def _scattered(
    values: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]
) -> npt.NDArray[Any]:
    """Values at places between pixels (0.5: the middle of the first), shared out among the four around each."""
    shown = values > 0
    values, rows, columns = values[shown], rows[shown] - 0.5, columns[shown] - 0.5
    row, column = rows.astype(int), columns.astype(int)
    down, across = rows - row, columns - column
    total = np.zeros(shape[0] * shape[1])
    for lower, vertical in ((0, 1 - down), (1, down)):
        for right, horizontal in ((0, 1 - across), (1, across)):
            place = (row + lower) * shape[1] + column + right
            total += np.bincount(place, values * vertical * horizontal, len(total))
    return total.reshape(shape)


def _float(subject: _Subject, shadow: Shadow) -> Drawn:
    """A pool of shade on the floor, under a subject that hangs above it."""
    sigma, width = _sigma(subject, shadow), subject.alpha.shape[1]
    wide, high = 0.4 * width, max(1.0, shadow.length * subject.ground / 2)
    centre = np.average(np.arange(width) + 0.5, weights=subject.alpha.sum(axis=0))
    room = math.ceil(high + _REACH * sigma), math.ceil(wide + _REACH * 2 * sigma)
    top, left = round(subject.ground + shadow.gap * subject.ground) - room[0], round(centre) - room[1]
    down, across = (np.arange(2 * side) + 0.5 - side for side in room)
    pool = (1 - np.hypot(across / wide, down[:, None] / high)).clip(0) > 0
    return np.float32(shadow.opacity) * _blurred(pool, 2 * sigma, sigma), top, left


_DRAWN = {"drop": _drop, "contact": _contact, "cast": _cast, "float": _float}


def _enlarged(drawn: Drawn, subject: _Subject, dtype: np.dtype[Any]) -> tuple[Samples, int, int]:
    """An opacity as deep as the picture, at the picture's size, and its first row and column in the picture."""
    plane, top, left = drawn
    shown: npt.NDArray[np.bool_] = plane >= min(_UNSEEN, plane.max())
    rows, columns = (span(np.asarray(shown.any(axis=axis)), 2) for axis in (1, 0))
    plane, top, left = plane[rows, columns], top + rows.start, left + columns.start
    # Pictures are mixed as they are stored: black of this opacity leaves as much light there as is worked out here.
    light = 1 - plane.clip(0, 1)
    stored = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    deep = np.rint((1 - stored) * 65535).astype(np.uint16)
    if subject.step > 1:
        deep = as_array(as_image(deep).resize(subject.step, kernel="cubic"))
    opacity = deep if dtype == np.uint16 else to_8_bits(deep)
    return opacity, subject.top + top * subject.step, subject.left + left * subject.step


def _reflection(cut: Cut, subject: _Subject, shadow: Shadow) -> Layer:
    """The subject upside down below the floor's line, fading out."""
    pixels, mask, step, at = cut.picture.pixels, cut.mask, subject.step, np.arange(len(subject.foot))
    columns = np.arange(subject.left, min(mask.shape[1], subject.left + len(at) * step))
    foot = np.interp((columns - subject.left + 0.5) / step - 0.5, at, subject.foot) * step + subject.top
    tall = subject.ground * step
    # It begins higher, and a little inside the subject, so that no ground shows through the soft edge there.
    gap, length, seam = shadow.gap * tall, max(1.0, shadow.length * tall), _SEAM * tall
    top = math.floor(foot.min() + gap - seam)
    opacity = np.zeros((math.ceil(foot.max() + gap + length) - top, len(columns)), mask.dtype)
    turned = np.zeros(opacity.shape + pixels.shape[2:], pixels.dtype)
    for rows in strips(opacity):
        below = np.arange(len(opacity))[rows, None] + (top + 0.5 - gap) - foot
        source = np.rint(foot - abs(below) - seam - 0.5).astype(int)
        fade = np.where((below >= -seam) & (source >= 0), 1 - below.clip(0) / length, 0).clip(0)
        source = source.clip(0, len(mask) - 1)
        turned[rows] = pixels[source, columns]
        opacity[rows] = np.rint(mask[source, columns] * (shadow.opacity * fade))
    return Layer(turned, opacity, top, subject.left)


def _placed(cut: Cut, layer: Layer, *, fixed: bool) -> tuple[Cut, Layer | None]:
    """The cut on a canvas that holds the layer, unless it is `fixed`, and what the canvas holds of the layer."""
    seen = white_of(layer.opacity) // 510  # what rounds to 0 in 8 bits isn't
    shown = [np.flatnonzero(layer.opacity.max(axis=axis) > seen) for axis in (1, 0)]
    if not len(shown[0]):
        return cut, None
    starts, sides = (layer.top, layer.left), cut.mask.shape
    beyond = [
        (max(0, -start - int(at[0])), max(0, start + int(at[-1]) + 1 - side))
        for start, at, side in zip(starts, shown, sides, strict=True)
    ]
    picture, mask, (top, left) = cut.picture, cut.mask, starts
    if any(map(any, beyond)):
        note = "the shadow is cut off by the canvas"
        if not fixed:
            pixels = np.pad(picture.pixels, beyond + [(0, 0)] * (picture.pixels.ndim - 2))
            mask, top, left = np.pad(mask, beyond), top + beyond[0][0], left + beyond[1][0]
            picture = replace(picture, pixels=pixels)
            note = f"{sides[1]}×{sides[0]} pixels have grown to {mask.shape[1]}×{mask.shape[0]} for the shadow"
        picture = replace(picture, notes=(*picture.notes, note))
    first = max(0, -top), max(0, -left)
    part = slice(first[0], max(0, mask.shape[0] - top)), slice(first[1], max(0, mask.shape[1] - left))
    return Cut(picture, mask), Layer(layer.pixels[part], layer.opacity[part], top + first[0], left + first[1])
