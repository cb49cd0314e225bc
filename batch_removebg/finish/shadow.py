"""A shadow under the subject, worked out in linear light on a small grid, so that every size looks alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch_removebg.imaging.arrays import Picture, Samples, strips, to_8_bits
from batch_removebg.imaging.vips import as_array, as_image
from batch_removebg.matting.regions import Mask, span

from .cut import Cut, filled, pasted, white_of
from .kinds import Shadow
from .resample import shrunk

Plane = npt.NDArray[np.float32]  # opacity in linear light, or an alpha: h×w, 0–1
Floats = npt.NDArray[np.float64]

_TALL, _WIDE = 512, 1024  # pixels of the subject on the grid at most
_DEPTH = 0.35  # how far back on the floor is up in the picture: the camera looks down by 20 degrees
_THINNEST = 0.06  # of its height, that a subject casts where the light comes from the side: it isn't flat
_FEET = 0.2  # of its height, within which what is lowest in a column stands on the floor
_STEEP = 1.5  # rows to a column: the most that an edge on the floor rises
_TOUCH = 0.04  # of its height above the floor, where contact ends
_REACH = 3  # standard deviations after which a blur ends
_SEAM = 0.004  # of its height, that a reflection reaches up under the subject
_NEAR = 0.008  # of its height, the deviation of what is dark where it stands, beside a cast shadow
_FRAME, _BLOCK = 50, 8  # a frame is one part in so many of a side; and pixels that a JPEG's block reaches into it
_FINER = 3  # parts of a column that are cast one by one: else there were stripes
_BLURS = 3  # steps of a cast shadow, from sharp to soft


@dataclass(frozen=True, slots=True)
class _Subject:
    """What stands on the floor, on the grid; rows and columns count from its box."""

    alpha: Plane
    foot: Floats  # by column: the row where the floor begins
    touch: Floats  # by column: 1 where it stands on the floor, 0 where it is above
    tall: float  # from its top to the nearest of the floor
    step: int  # pixels of the picture to one of the grid
    top: int  # in the picture
    left: int


class _Part(NamedTuple):
    """What keeps light from the floor: densities at places on the grid (0.5: the middle of the first), all blurred."""

    density: npt.NDArray[Any]
    rows: npt.NDArray[Any]
    columns: npt.NDArray[Any]
    down: float  # standard deviation of the blur, pixels of the grid
    across: float
    darkest: float | None = None  # opacity where most is; None: as dense as it is


def shade(cut: Cut, shadow: Shadow, *, fixed: bool = False) -> tuple[Cut, Cut | None]:
    """The cut on a canvas that has grown for its shadow, unless that is `fixed`, and the shadow on the same canvas.

    None where no shadow shows; on a fixed canvas it softly ends before the frame. Notes say what grew or is cut off.
    """
    subject = _subject(cut.mask)
    if subject is None:
        return cut, None
    layer, top, left = (_reflection if shadow.kind == "reflection" else _thrown)(cut, subject, shadow)
    seen = white_of(layer.mask) // 510  # what rounds to 0 in 8 bits isn't
    if layer.mask.max() <= seen:
        return cut, None
    height, width = cut.mask.shape
    rows, columns = (span(layer.mask.max(axis=axis) > seen, 0) for axis in (1, 0))
    before, above = max(0, -left - columns.start), max(0, -top - rows.start)
    size = before + max(width, left + columns.stop), above + max(height, top + rows.stop)
    if size != (width, height):
        note = f"{width}×{height} pixels have grown to {size[0]}×{size[1]} for the shadow"
        if fixed:
            size, before, above, note = (width, height), 0, 0, "the shadow is cut off by the canvas"
        cut = pasted(cut, size, before, above)
        cut = replace(cut, picture=replace(cut.picture, notes=(*cut.picture.notes, note)))
    laid = pasted(layer, size, left + before, top + above)
    return cut, replace(laid, mask=_ended(laid.mask)) if fixed else laid


def _ended(mask: Samples) -> Samples:
    """A shadow's mask that softly ends before the frame, which a shop may want white."""
    down, across = (
        ((np.minimum(np.arange(side), np.arange(side)[::-1]) - _BLOCK) / side * _FRAME - 1).clip(0, 1)
        for side in mask.shape
    )
    ended = np.empty_like(mask)
    for rows in strips(mask):
        ended[rows] = np.rint(mask[rows] * down[rows, None] * across)
    return ended


def _subject(mask: Samples) -> _Subject | None:
    """None where nothing is opaque."""
    white = white_of(mask)
    if mask.max() <= white // 2:
        return None
    rows, columns = (span(mask.max(axis=axis) > white // 25, 0) for axis in (1, 0))
    box = mask[rows, columns]
    step = max(1, -(-box.shape[0] // _TALL), -(-box.shape[1] // _WIDE))
    alpha = shrunk(box, step)
    foot, touch = _floor(alpha > alpha.max() / 2)
    return _Subject(alpha, foot, touch, float(foot.max()), step, rows.start, columns.start)


def _floor(opaque: Mask) -> tuple[Floats, Floats]:
    """By column, the row where the floor begins, and how much of the subject touches it there (0–1)."""
    height, width = opaque.shape
    at, taken = np.arange(width), np.flatnonzero(opaque.any(axis=0))
    bottom = height - opaque[::-1].argmax(axis=0)  # below the lowest opaque row of each column
    foot, touch = np.zeros(width), np.zeros(width)
    # What stands side by side, with nothing between, may stand nearer to the camera, or farther off.
    for columns in np.split(taken, np.flatnonzero(np.diff(taken) > 1) + 1):
        own, tall = bottom[columns], height - int(np.argmax(opaque[:, columns].any(axis=1)))
        # What rises steeply is the subject's side. What is high above is held by other parts.
        above = (own - _STEEP * abs(columns[:, None] - columns)).max(axis=1) - own
        low = own >= np.quantile(own, 0.99) - _FEET * tall
        touch[columns] = np.where(low, 1 - above / (_TOUCH * tall), 0).clip(0)
        near = touch[columns] > 0
        foot[columns] = np.interp(columns, columns[near], own[near])
    sigma = 0.01 * height
    ends = math.ceil(_REACH * sigma)
    line = np.pad(np.interp(at, taken, foot[taken]), ends, mode="edge")
    return _blurred(line[None], 0, sigma)[0, ends:-ends], touch


def _blurred(plane: npt.NDArray[Any], down: float, across: float) -> Floats:
    """A plane through a Gaussian of these standard deviations; it wraps around, so that there must be room."""
    height, width = plane.shape
    exponent = (down * np.fft.fftfreq(height)[:, None]) ** 2 + (across * np.fft.rfftfreq(width)) ** 2
    return np.fft.irfft2(np.fft.rfft2(plane) * np.exp(-2 * np.pi**2 * exponent), plane.shape)


def _scattered(part: _Part, top: int, left: int, shape: tuple[int, int]) -> Floats:
    """The densities, shared out among the four pixels around each, on a plane that begins at `top` and `left`."""
    shown = part.density > 0
    density, rows, columns = part.density[shown], part.rows[shown] - 0.5 - top, part.columns[shown] - 0.5 - left
    row, column = rows.astype(int), columns.astype(int)
    down, across = rows - row, columns - column
    total = np.zeros(shape[0] * shape[1])
    for lower, right in np.ndindex(2, 2):
        share = abs(1 - lower - down) * abs(1 - right - across)
        total += np.bincount((row + lower) * shape[1] + column + right, density * share, len(total))
    return total.reshape(shape)


def _drop(subject: _Subject, shadow: Shadow, sigma: float) -> list[_Part]:
    angle, far = math.radians(shadow.azimuth), shadow.length * subject.tall
    rows, columns = np.indices(subject.alpha.shape) + 0.5
    return [_Part(subject.alpha, rows + math.cos(angle) * far, columns - math.sin(angle) * far, sigma, sigma)]


def _contact(subject: _Subject, _: Shadow, sigma: float) -> list[_Part]:
    """A dark line where the subject touches the floor, in a faint one around it, both wider than high."""
    return [_line(subject, sigma, 0.7), _line(subject, 3 * sigma, 0.3)]


def _line(subject: _Subject, sigma: float, darkest: float) -> _Part:
    columns = np.arange(len(subject.foot)) + 0.5
    return _Part(subject.touch, subject.foot, columns, sigma, 2 * sigma, darkest)


def _cast(subject: _Subject, shadow: Shadow, sigma: float) -> list[_Part]:
    """The silhouette laid on the floor, away from the light: blurred more and fainter, the higher what casts it is."""
    azimuth, length = math.radians(shadow.azimuth), 1 / math.tan(math.radians(shadow.elevation))
    aside, back = -math.sin(azimuth) * length, -math.cos(azimuth) * length * _DEPTH
    back = math.copysign(max(abs(back), _THINNEST), back)
    height, width = subject.alpha.shape
    at = (np.arange(_FINER * width) + 0.5) / _FINER
    foot = np.interp(at - 0.5, np.arange(width), subject.foot)
    # A pixel weighs what the map enlarges it by: what is opaque casts an opaque shadow.
    enlarged = abs(back + aside * np.gradient(foot, at))
    alpha = subject.alpha.repeat(_FINER, axis=1) * enlarged / _FINER
    above = (foot - np.arange(height)[:, None] - 0.5).clip(0)
    rows, columns, share = foot - back * above, at + aside * above, above / subject.tall
    alpha *= 1 - shadow.falloff * share
    steps = [(1 - abs(share * _BLURS - nth)).clip(0) * alpha for nth in range(_BLURS + 1)]
    sigmas = [max(1.0, sigma * nth / _BLURS) for nth in range(_BLURS + 1)]
    parts = [_Part(step, rows, columns, soft, soft) for step, soft in zip(steps, sigmas, strict=True)]
    # The floor is dark where the subject stands on it, from wherever the light comes.
    return [*parts, _line(subject, max(1.0, _NEAR * subject.tall), 0.5)]


def _float(subject: _Subject, shadow: Shadow, sigma: float) -> list[_Part]:
    """A pool of shade on the floor, under a subject that hangs above it."""
    width = subject.alpha.shape[1]
    centre = np.average(np.arange(width) + 0.5, weights=subject.alpha.sum(axis=0))
    at = np.linspace(-1, 1, 2 * width + 1)[1:-1]  # the pool is an ellipse
    rows = np.full(len(at), (1 + shadow.gap) * subject.tall)
    down = math.hypot(sigma, shadow.length * subject.tall / 4)
    return [_Part(np.sqrt(1 - at**2), rows, centre + 0.4 * width * at, down, 2 * sigma, 0.9)]


_PARTS = {"drop": _drop, "contact": _contact, "cast": _cast, "float": _float}


def _thrown(cut: Cut, subject: _Subject, shadow: Shadow) -> tuple[Cut, int, int]:
    """What keeps light from the floor, in the shadow's colour, and its first row and column in the picture."""
    parts = _PARTS[shadow.kind](subject, shadow, max(1.0, shadow.softness * subject.tall))  # less would show the grid
    room = math.ceil(_REACH * max(max(part.down, part.across) for part in parts)) + 1
    places = [(part.rows, part.columns) for part in parts]
    top, left = (math.floor(min(lines.min() for lines in side)) - room for side in zip(*places, strict=True))
    end, right = (math.ceil(max(lines.max() for lines in side)) + room for side in zip(*places, strict=True))
    light = np.ones((end - top, right - left))
    planes = [_scattered(part, top, left, light.shape) for part in parts]
    # Where what stands nearer and farther off keeps off the same light, it counts once.
    twice = sum(plane for part, plane in zip(parts, planes, strict=True) if not part.darkest)
    for part, plane in zip(parts, planes, strict=True):
        plane = _blurred(plane if part.darkest else plane / np.maximum(twice, 1), part.down, part.across)
        light -= plane * (part.darkest / max(plane.max(), 1e-6) if part.darkest else 1)
    # Pictures are mixed as they are stored: black of this opacity leaves as much light there as is worked out here.
    light = 1 - shadow.opacity * (1 - light.clip(0, 1))
    stored = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    deep = np.rint((1 - stored) * 65535).astype(np.uint16)
    if subject.step > 1:
        deep = as_array(as_image(deep).resize(subject.step, kernel="cubic"))
    opacity = deep if cut.mask.dtype == np.uint16 else to_8_bits(deep)
    layer = Cut(Picture(filled(shadow.colour, cut.picture, opacity.shape)), opacity)
    return layer, subject.top + top * subject.step, subject.left + left * subject.step


def _reflection(cut: Cut, subject: _Subject, shadow: Shadow) -> tuple[Cut, int, int]:
    """The subject upside down below the floor's line, fading out, and its first row and column in the picture."""
    pixels, mask, step, at = cut.picture.pixels, cut.mask, subject.step, np.arange(len(subject.foot))
    columns = np.arange(subject.left, min(mask.shape[1], subject.left + len(at) * step))
    foot = np.interp((columns - subject.left + 0.5) / step - 0.5, at, subject.foot) * step + subject.top
    tall = subject.tall * step
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
    return Cut(Picture(turned), opacity), top, subject.left
