"""Profiles of curves and a matrix, calculated as they are written (ICC.1:2022, 9.2, 10.6, 10.18, 10.31) in 16 bits.

LittleCMS, exact for 8 bits, goes through a coarse grid for 16: next to sRGB's edges up to 15 of 256 steps off.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .arrays import strips

Light = npt.NDArray[np.float32]
_STEPS = 65536


@dataclass(frozen=True, slots=True)
class Shaper:
    """A profile's way from values to light."""

    curves: tuple[Light, ...]  # light (0–1) of each 16-bit value, by channel: one for grey, three for RGB
    matrix: npt.NDArray[np.float64] | None  # 3×3: the XYZ (D50) of red, green and blue in its rows; None for grey


@lru_cache(maxsize=16)
def shaper(icc: bytes) -> Shaper | None:
    """What a profile says, or None where it is not one of curves and a matrix, or can't be read."""
    try:
        (count,) = struct.unpack(">I", icc[128:132])
        directory = struct.iter_unpack(">4sII", icc[132 : 132 + 12 * min(count, 200)])
        tags = {name: icc[at : at + size] for name, at, size in directory}
        if b"A2B0" in tags or b"A2B1" in tags:
            return None
        if icc[16:20] == b"GRAY":
            return Shaper((_curve(tags[b"kTRC"]),), None)
        if icc[16:20] != b"RGB " or icc[20:24] != b"XYZ ":
            return None
        matrix = np.array([_numbers(tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")])
        return Shaper(tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")), matrix)
    except (LookupError, ValueError, struct.error, ArithmeticError):
        return None


def to_srgb(pixels: npt.NDArray[np.uint16], source: Shaper, srgb: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """H×W×3 in sRGB of H×W grey or H×W×3 RGB; `srgb`: the matrix of its profile. What lies outside is clipped."""
    result = np.empty((*pixels.shape[:2], 3), np.uint16)
    samples = pixels[..., None] if pixels.ndim == 2 else pixels
    mixing = None if source.matrix is None else (source.matrix @ np.linalg.inv(srgb)).astype(np.float32)
    for rows in strips(result[..., 0], 1 << 17):
        strip = samples[rows]
        light = np.stack([curve[strip[..., place]] for place, curve in enumerate(source.curves)], axis=-1)
        if mixing is not None:
            light = light @ mixing
        light = light.clip(0, 1)  # and on by the transfer function of IEC 61966-2-1
        values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
        result[rows] = np.rint(values * np.float32(65535)).astype(np.uint16)
    return result


def _numbers(body: bytes) -> list[float]:
    """Numbers of s15Fixed16 type."""
    return [value / 65536 for (value,) in struct.iter_unpack(">i", body)]


def _curve(tag: bytes) -> Light:
    values = np.linspace(0, 1, _STEPS)
    if tag[:4] == b"para":
        return _parametric(int.from_bytes(tag[8:10], "big"), _numbers(tag[12 : 12 + (len(tag) - 12) // 4 * 4]), values)
    if tag[:4] != b"curv":
        raise ValueError("no curve")
    count = int.from_bytes(tag[8:12], "big")
    points = np.frombuffer(tag[12 : 12 + 2 * count], ">u2")
    if count != len(points):
        raise ValueError("a curve that is cut short")
    if count < 2:
        return np.asarray(values ** (float(points[0]) / 256 if count else 1.0), np.float32)
    return np.interp(values, np.linspace(0, 1, count), points / 65535).astype(np.float32)


def _parametric(kind: int, given: list[float], x: npt.NDArray[np.float64]) -> Light:
    """Types 0 to 4: (a·x + b)^g + e from d on, c·x + f below."""
    count = (1, 3, 4, 5, 7)[kind]
    g, a, b, c, d, e, f = (*given[:count], *[0.0] * 7)[:7]
    if kind == 0:
        a, d = 1.0, -1.0
    elif kind < 3:
        c, d, e, f = 0.0, -b / a, c, c
    upper = np.maximum(a * x + b, 0) ** g + e
    return np.asarray(np.where(x >= d, upper, c * x + f).clip(0, 1), np.float32)
