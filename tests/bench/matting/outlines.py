"""Outlines of parts, as points in a subject's own units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.bench.matting.drawing import Points

TURN = 2 * np.pi


def corners(*points: tuple[float, float]) -> Points:
    """Straight lines between the points."""
    return np.array(points, np.float64)


def smooth(*points: tuple[float, float], closed: bool = True, steps: int = 12) -> Points:
    """A curve through the points (Catmull–Rom)."""
    through = np.array(points, np.float64)
    if closed:
        padded = np.concatenate([through[-1:], through, through[:2]])
    else:
        padded = np.concatenate([2 * through[:1] - through[1:2], through, 2 * through[-1:] - through[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        a, b, c = 2 * p0 - 5 * p1 + 4 * p2 - p3, -p0 + 3 * p1 - 3 * p2 + p3, p2 - p0
        pieces.append(0.5 * (2 * p1 + c * t + a * t**2 + b * t**3))
    if not closed:
        pieces.append(through[-1:])
    return np.concatenate(pieces)


def ellipse(u: float, v: float, ru: float, rv: float | None = None, tilt: float = 0.0) -> Points:
    """An ellipse around (u, v), turned by so many radians; a circle where there is one radius."""
    angle = np.linspace(0, TURN, 180, endpoint=False)
    around = np.stack([ru * np.cos(angle), (ru if rv is None else rv) * np.sin(angle)], 1)
    return turned(around, tilt) + np.array((u, v))


def turned(points: Points, angle: float) -> Points:
    """Turned around the origin by so many radians, clockwise to the eye."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def stroke(path: Points, width: float | Sequence[float], *, round_ends: bool = False) -> Points:
    """A line of that width along the path; several widths are spread over it."""
    given = np.atleast_1d(np.asarray(width, np.float64))
    half = np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(given)), given)[:, None] / 2
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    left, right = path + across * half, path - across * half
    if not round_ends:
        return np.concatenate([left, right[::-1]])
    bend = np.linspace(0, np.pi, 12)[1:-1, None]
    end = path[-1] + half[-1] * (across[-1] * np.cos(bend) + along[-1] * np.sin(bend))
    start = path[0] + half[0] * (-across[0] * np.cos(bend) - along[0] * np.sin(bend))
    return np.concatenate([left, end, right[::-1], start])


def lathe(radius: Callable[[np.ndarray], np.ndarray], top: float, bottom: float, bulge: float = 0.0) -> Points:
    """The outline of what a lathe turns: half its width at each height; seen from above by so much `bulge`."""
    v = np.linspace(top, bottom, 160)
    r = radius(v)
    angle = np.linspace(0, np.pi, 40)[1:-1]
    foot = np.stack([r[-1] * np.cos(angle), bottom + bulge * np.sin(angle)], 1)
    head = np.stack([-r[0] * np.cos(angle), top - bulge * np.sin(angle)], 1)
    return np.concatenate([np.stack([r, v], 1), foot, np.stack([-r, v], 1)[::-1], head])


def profile(*points: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Half a width by height, through (height, half width)."""
    path = smooth(*points, closed=False, steps=16)
    order = np.argsort(path[:, 0], kind="stable")
    heights, widths = path[order, 0], path[order, 1]
    return lambda v: np.interp(v, heights, widths)
