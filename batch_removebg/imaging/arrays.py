"""Pictures as arrays of 8 and 16 bits; deeper values scaled down to them, and what is stored turned upright."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.uint8 | np.uint16]

_FLIPPED = {2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (0,), 7: (0, 1), 8: (1,)}
"""Axes to flip for an upright picture, by EXIF orientation (CIPA DC-008, tag 0x0112); from 5 on then to be swapped."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A source, upright and at full size; or a finished picture, not yet encoded."""

    pixels: Samples  # H×W×3 RGB, or H×W grey; uint8 or uint16; in the colours of `icc`, not premultiplied
    alpha: Samples | None = None  # H×W, as deep: the source's own transparency, or the finished picture's
    icc: bytes | None = None  # byte for byte; sRGB's where pixels had to be converted; None: taken for sRGB
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()  # what did not survive, in words for people
    exif: bytes | None = None  # what is kept of it: TIFF header and directories, without the prefix that JPEG has
    xmp: bytes | None = None  # what is kept of it: a packet in UTF-8
    flags: tuple[str, ...] = ()  # faults of a finished picture, for a person to look at


def strips(rows: npt.NDArray[Any], most: int = 1 << 18) -> Iterator[slice]:
    """Slices of rows of `most` values at most that together make up an array: they stay in a core's own cache."""
    count = max(1, most // max(1, rows[0].size))
    return (slice(at, at + count) for at in range(0, len(rows), count))


def upright(stored: Samples, orientation: int) -> Samples:
    """A stored picture (H×W or H×W×C) as people see it, contiguous."""
    if orientation not in _FLIPPED:
        return stored
    stored = np.ascontiguousarray(stored)
    # A pixel as one value: numpy is twice as slow with an innermost axis of three.
    whole = stored if stored.ndim == 2 else stored.view(f"V{stored.itemsize * stored.shape[2]}")[..., 0]
    flipped = np.flip(whole, _FLIPPED[orientation])
    turned = np.ascontiguousarray(flipped.T if orientation >= 5 else flipped)
    return turned if stored.ndim == 2 else turned.view(stored.dtype).reshape(*turned.shape, stored.shape[2])


def split(pixels: Samples, colours: int) -> tuple[Samples, Samples]:
    """The first `colours` channels (H×W, or H×W×C) and the one behind them (H×W), each contiguous."""
    height, width = pixels.shape[:2]
    base = np.empty((height, width, colours), pixels.dtype)
    alpha = np.empty((height, width), pixels.dtype)
    for rows in strips(alpha):
        for channel in range(colours):  # one at a time, for the same reason
            base[rows, :, channel] = pixels[rows, :, channel]
        alpha[rows] = pixels[rows, :, colours]
    return base[..., 0] if colours == 1 else base, alpha


def joined(pixels: Samples, alpha: Samples | None) -> Samples:
    """The pixels with their alpha as a last channel (H×W×2 or H×W×4), 0 where it is 0; without alpha as they are."""
    if alpha is None:
        return pixels
    channels = pixels[..., None] if pixels.ndim == 2 else pixels
    count = channels.shape[2]
    result = np.empty((*alpha.shape, count + 1), pixels.dtype)
    for rows in strips(result):
        strip = result[rows]
        for channel in range(count):
            strip[..., channel] = channels[rows, :, channel]
        strip[..., count] = alpha[rows]
        whole = strip.view(f"i{result.itemsize * (count + 1)}")[..., 0]
        whole &= np.negative((alpha[rows] != 0).view(np.int8)).astype(whole.dtype)  # all bits set where alpha isn't 0
    return result


def to_8_bits(values: Samples) -> npt.NDArray[np.uint8]:
    """v·255 / 65535 rounded; what has 8 bits already comes back as it is."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    narrow = np.empty(values.shape, np.uint8)
    for rows in strips(values):
        # 65535 / 255 = 257; in 32 bits, since 65535 + 128 has more than 16.
        narrow[rows] = (values[rows].astype(np.uint32) + 128) // 257
    return narrow


def fit(values: npt.NDArray[Any], bits: int = 16, *, profiled: bool = True) -> tuple[Samples, tuple[str, ...]]:
    """Channels of any number type (H×W or H×W×C), of up to 16 `bits`, as uint16, bytes as uint8; and what to note.

    Floating point above white is light, and without a profile becomes sRGB.
    """
    if values.dtype.kind == "f":
        return _of_floats(values, profiled=profiled)
    if values.dtype.itemsize == 1:  # with a sign, which nothing else minds
        return values.view(np.uint8), ()
    signed = values.dtype.kind == "i"
    if values.dtype.itemsize > 2 and values.max() > 0xFFFF:
        return (values.clip(min=0) >> (15 if signed else 16)).astype(np.uint16), ("32 bits reduced to 16",)
    values = (values.clip(min=0) if signed else values).astype(np.uint16)
    if bits < 16:
        white = (1 << bits) - 1
        values = ((values.astype(np.uint32) * 0xFFFF + white // 2) // white).astype(np.uint16)
    return values, ()


def _of_floats(values: npt.NDArray[Any], *, profiled: bool) -> tuple[Samples, tuple[str, ...]]:
    fitted, peak, total = np.empty(values.shape, np.uint16), 0.0, 0.0
    for rows in strips(values):
        part = np.nan_to_num(values[rows], nan=0.0, posinf=0.0, neginf=0.0)
        peak, total = max(peak, float(part.max())), total + float(part.sum(dtype=np.float64))
    bright = total > 2 * values.size
    white = next((white for white in (1.0, 255.0, 65535.0) if peak <= white or not bright), peak)
    light = peak > white and not profiled
    for rows in strips(values):
        part = (np.nan_to_num(values[rows], nan=0.0, posinf=0.0, neginf=0.0) / white).clip(0, 1)
        if light:  # IEC 61966-2-1
            part = np.where(part <= 0.0031308, part * 12.92, 1.055 * part ** (1 / 2.4) - 0.055)
        fitted[rows] = np.rint(part * 65535)
    above = f"{' in linear light' * light}, what is above is white" * (peak > white)
    return fitted, (f"floating point: 0 to {white:g} taken for black to white{above}",)
