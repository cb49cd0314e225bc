"""A shadow under the subject, worked out in linear light on a small grid, so that every size looks alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Samples, split, strips, to_8_bits
from batch_removebg.imaging.colour import convert, from_srgb, mode_of
from batch_removebg.imaging.vips import as_array, as_image

from .cut import Cut, Layer, white_of
from .kinds import Shadow

Plane = npt.NDArray[np.float32]  # opacity in linear light, or an alpha: h×w, 0–1
Drawn = tuple[Plane, int, int]  # and where its first row and column are, from the subject's; pixels of the grid

_TALL, _WIDE = 512, 1024  # pixels of the subject on the grid at most
_DEPTH = 0.35  # how far back on the floor is up in the picture: the camera looks down by 20 degrees
_THINNEST = 0.06  # of its height, that a subject casts where the light comes from the side: it isn't flat
_FEET = 0.2  # of its height, within which what is lowest in a column stands on the floor
_TOUCH = 0.04  # of its height above the floor, where contact ends
_REACH = 3  # standard deviations after which a blur ends
_SHARP = 0.5  # pixels of standard deviation that make no difference
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
    """The cut on a canvas that has grown for its shadow, unless that is `fixed`, and the shadow, of the same size.

    None where there is no subject. Where a shadow grows the canvas, or is clipped by it, the picture's notes say so.
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
        opaque = alpha >= alpha.max()
    ground = 1 + int(np.flatnonzero(opaque.sum(axis=1) >= 0.01 * opaque.any(axis=0).sum())[-1])
    above = len(alpha) - np.argmax(opaque[::-1], axis=0) - 1  # the lowest opaque row of each column
    below = np.minimum(above + 1, len(alpha) - 1)
    at = np.arange(alpha.shape[1])
    bottom = above + alpha[above, at] + np.where(below > above, alpha[below, at], 0)
    near = opaque.any(axis=0) & (abs(bottom - ground) <= _FEET * ground)
    sigma = 0.01 * ground
    ends = math.ceil(_REACH * sigma)
    foot = np.interp(at, at[near], bottom[near]) if near.any() else np.full(len(at), float(ground))
    foot = _blurred(np.pad(foot, ends, mode="edge")[None], sigma, 0)[0, ends : ends + len(at)].astype(float)
    touch = np.where(near, 1 - abs(foot - bottom) / (_TOUCH * ground), 0).clip(0, 1)
    return _Subject(alpha, foot, touch, ground, step, int(top), int(left))


def _blurred(plane: npt.NDArray[Any], across: float, down: float) -> Plane:
    """A plane through a Gaussian of these standard deviations; it wraps around, so that there must be room."""
    height, width = plane.shape
    damped = np.exp(-2 * (np.pi * down * np.fft.fftfreq(height)[:, None]) ** 2) * np.exp(
        -2 * (np.pi * across * np.fft.rfftfreq(width)) ** 2
    )
    return np.fft.irfft2(np.fft.rfft2(plane) * damped, plane.shape).astype(np.float32)


def _sigma(subject: _Subject, shadow: Shadow) -> float:
    return max(1.0, shadow.softness * subject.ground)  # less would show the grid


def _drop(subject: _Subject, shadow: Shadow) -> Drawn:
    sigma, angle, far = _sigma(subject, shadow), math.radians(shadow.azimuth), shadow.length * subject.ground
    room = math.ceil(_REACH * sigma)
    plane = _blurred(np.pad(subject.alpha, room), sigma, sigma) * np.float32(shadow.opacity)
    return plane, round(math.cos(angle) * far) - room, round(-math.sin(angle) * far) - room


def _contact(subject: _Subject, shadow: Shadow) -> Drawn:
    """A dark line where the subject touches the floor, and a faint one around it, both wider than high."""
    sigma = _sigma(subject, shadow)
    room = math.ceil(_REACH * 6 * sigma)
    rows = np.arange(len(subject.alpha) + room)[:, None] + 0.5
    line = (1.5 - abs(rows - subject.foot) / sigma).clip(0, 1) * subject.touch
    line = np.pad(line, ((room, 0), (room, room)))
    near, far = (_blurred(line, 2 * wide * sigma, wide * sigma) for wide in (1, 3))
    near, far = (plane / max(plane.max(), np.float32(1e-6)) for plane in (near, far))
    plane = np.float32(0.7) * near + np.float32(0.3) * far
    return np.float32(shadow.opacity) * plane, -room, -room


def _cast(subject: _Subject, shadow: Shadow) -> Drawn:
    """The silhouette laid on the floor, away from the light: blurred more and fainter, the higher what casts it is."""
    (height, width), tall, alpha = subject.alpha.shape, subject.ground, subject.alpha
    azimuth, length = math.radians(shadow.azimuth), 1 / math.tan(math.radians(shadow.elevation))
    aside, back = -math.sin(azimuth) * length, -math.cos(azimuth) * length * _DEPTH
    back = math.copysign(max(abs(back), _THINNEST), back)
    above = (subject.foot - np.arange(height)[:, None] - 0.5).clip(0)
    rows, columns = subject.foot - back * above, np.arange(width) + 0.5 + aside * above
    # How much the map enlarges a pixel: what it weighs, so that an opaque part of the subject casts an opaque shadow.
    alpha = alpha * abs(back + aside * np.gradient(subject.foot)) if width > 1 else alpha * abs(back)
    sigma = _sigma(subject, shadow)
    room = math.ceil(_REACH * sigma) + 1
    top, left = math.floor(rows.min()) - room, math.floor(columns.min()) - room
    shape = math.ceil(rows.max()) + room - top, math.ceil(columns.max()) + room - left
    share = (above / tall).clip(0, 1)
    plane = np.zeros(shape, np.float32)
    for nth in range(_BLURS):
        part = (1 - abs(share * (_BLURS - 1) - nth)).clip(0) * (1 - shadow.falloff * share) * alpha
        wide = max(1.0, sigma * nth / (_BLURS - 1))
        plane += _blurred(_scattered(part, rows - top, columns - left, shape), wide, wide)
    return np.float32(shadow.opacity) * plane.clip(0, 1), top, left


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
    pixels, mask, step = cut.picture.pixels, cut.mask, subject.step
    columns = np.arange(subject.left, min(mask.shape[1], subject.left + len(subject.foot) * step))
    foot = np.interp((columns - subject.left + 0.5) / step - 0.5, np.arange(len(subject.foot)), subject.foot)
    foot = foot * step + subject.top
    tall = subject.ground * step
    gap, length, sigma = shadow.gap * tall, max(1.0, shadow.length * tall), shadow.softness * tall
    room = math.ceil(_REACH * sigma)
    top, left = math.floor(foot.min() + gap) - room, subject.left - room
    shape = math.ceil(foot.max() + gap + length) + room - top, len(columns) + 2 * room
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    turned = np.zeros((*shape, channels.shape[2] + 1), pixels.dtype)
    for rows in strips(turned):
        above = np.arange(rows.start, min(rows.stop, shape[0]))[:, None] + (top + 0.5 - gap) - foot
        source = np.rint(foot - above - 0.5).astype(int)
        fade = np.where((above >= 0) & (source >= 0), shadow.opacity * (1 - above / length), 0).clip(0)
        source = source.clip(0, len(mask) - 1)
        strip = turned[rows, room : room + len(columns)]
        strip[..., :-1] = channels[source, columns]
        strip[..., -1] = np.rint(mask[source, columns] * fade)
    image = as_image(turned)
    if sigma >= _SHARP:
        white = white_of(mask)
        image = image.premultiply(max_alpha=white).gaussblur(sigma, precision="float").unpremultiply(max_alpha=white)
        image = (image + 0.5).cast("uchar" if white == 255 else "ushort")
    pixels, opacity = split(as_array(image), channels.shape[2])
    return Layer(pixels, opacity, top, left)


def _placed(cut: Cut, layer: Layer, *, fixed: bool) -> tuple[Cut, Layer | None]:
    """The cut on a canvas that holds the layer, unless it is `fixed`, and what the canvas holds of the layer."""
    rows, columns = (np.flatnonzero(layer.opacity.max(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return cut, None
    height, width = cut.mask.shape
    top, left = layer.top + int(rows[0]), layer.left + int(columns[0])
    bottom, right = layer.top + int(rows[-1]) + 1, layer.left + int(columns[-1]) + 1
    beyond = {"top": -top, "right": right - width, "bottom": bottom - height, "left": -left}
    beyond = {side: reach for side, reach in beyond.items() if reach > 0}
    if beyond and not fixed:
        grown = [(beyond.get("top", 0), beyond.get("bottom", 0)), (beyond.get("left", 0), beyond.get("right", 0))]
        picture, notes = cut.picture, cut.picture.notes
        said = "the canvas has grown for the shadow: " + ", ".join(f"{size} px {side}" for side, size in beyond.items())
        pixels = np.pad(picture.pixels, grown + [(0, 0)] * (picture.pixels.ndim - 2))
        cut = Cut(replace(picture, pixels=pixels, notes=(*notes, said)), np.pad(cut.mask, grown))
        layer = replace(layer, top=layer.top + grown[0][0], left=layer.left + grown[1][0])
    elif beyond:
        said = f"the shadow is cut off by the canvas: {', '.join(beyond)}"
        cut = replace(cut, picture=replace(cut.picture, notes=(*cut.picture.notes, said)))
    return cut, _within(layer, *cut.mask.shape)


def _within(layer: Layer, height: int, width: int) -> Layer:
    top, left = max(0, layer.top), max(0, layer.left)
    part = slice(top - layer.top, max(0, height - layer.top)), slice(left - layer.left, max(0, width - layer.left))
    return Layer(layer.pixels[part], layer.opacity[part], top, left)
