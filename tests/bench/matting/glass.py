"""Things one sees through: their alpha lies between 0.2 and 0.8 over whole areas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.bench.matting.drawing import Canvas, Field, Floats
from tests.bench.matting.outlines import corners, ellipse, lathe, profile, smooth, stroke
from tests.bench.matting.products import paint
from tests.bench.matting.shades import bump, cylinder, slope, sphere


def wineglass(canvas: Canvas) -> None:
    bowl = profile((-0.95, 0.34), (-0.6, 0.45), (-0.3, 0.46), (0.0, 0.3), (0.14, 0.05))
    wine = ((112, 18, 36), (226, 190, 104))[int(canvas.rng.integers(2))]
    canvas.part(ellipse(0, 0.9, 0.38, 0.075), slope((206, 212, 218), (150, 158, 166)), 0.55)
    canvas.part(ellipse(0, 0.9, 0.38, 0.075), (250, 250, 252), 0.7, holes=[ellipse(0, 0.895, 0.36, 0.063)])
    stem = profile((0.1, 0.05), (0.3, 0.022), (0.7, 0.022), (0.9, 0.07))
    canvas.part(lathe(stem, 0.1, 0.9), cylinder((214, 220, 226), stem), 0.75)
    canvas.part(lathe(bowl, -0.95, 0.14, 0.02), (222, 230, 236), _wall(bowl, 0.2, 0.6))
    filled = profile((-0.42, 0.45), (-0.3, 0.45), (0.0, 0.29), (0.12, 0.05))
    canvas.part(lathe(filled, -0.42, 0.12, 0.05), cylinder(wine, filled, 0.4), 0.72)
    canvas.part(ellipse(0, -0.42, 0.44, 0.07), tuple(c * 0.8 for c in wine), 0.6)
    canvas.part(ellipse(0, -0.95, 0.345, 0.05), (250, 252, 255), 0.75, holes=[ellipse(0, -0.945, 0.33, 0.04)])
    shine = smooth((-0.36, -0.72), (-0.3, -0.74), (-0.3, -0.2), (-0.37, -0.3))
    canvas.part(shine, (255, 255, 255), 0.75)


def tumbler(canvas: Canvas) -> None:
    drink = ((214, 104, 30), (96, 166, 90), (196, 60, 84))[int(canvas.rng.integers(3))]
    outer, inner = profile((-0.9, 0.56), (0.9, 0.44)), profile((-0.6, 0.5), (0.74, 0.41))
    canvas.part(lathe(outer, -0.9, 0.9, 0.07), (216, 224, 230), _wall(outer, 0.25, 0.75))
    canvas.part(lathe(inner, -0.5, 0.76, 0.08), cylinder(drink, inner, 0.3), 0.68)
    for _ in range(5):
        u, v = canvas.rng.uniform(-0.28, 0.28), canvas.rng.uniform(-0.46, 0.3)
        cube = ellipse(u, v, 0.16, 0.15)[:: 45 + int(canvas.rng.integers(3))]
        canvas.part(cube, slope((246, 250, 252), (190, 210, 220)), 0.35)
        canvas.part(stroke(np.concatenate([cube, cube[:1]]), 0.015), (255, 255, 255), 0.6)
    canvas.part(ellipse(0, -0.5, 0.5, 0.075), tuple(min(255.0, c * 1.2) for c in drink), 0.55)
    canvas.part(stroke(corners((0.1, 0.4), (0.42, -1.1)), 0.06), slope((240, 240, 236), (206, 60, 60)), 0.9)
    canvas.part(ellipse(0, -0.9, 0.56, 0.075), (252, 254, 255), 0.8, holes=[ellipse(0, -0.895, 0.535, 0.06)])
    canvas.part(smooth((-0.45, -0.7), (-0.38, -0.7), (-0.33, 0.6), (-0.38, 0.6)), (255, 255, 255), 0.6)


def veil(canvas: Canvas) -> None:
    tone, dress = ((246, 244, 240), (40, 38, 46))[int(canvas.rng.integers(2))], paint(canvas)
    body = smooth(
        (0, -0.3),
        (0.2, -0.12),
        (0.3, 0.1),
        (0.2, 0.4),
        (0.46, 1.0),
        (-0.46, 1.0),
        (-0.2, 0.4),
        (-0.3, 0.1),
        (-0.2, -0.12),
    )
    canvas.part(smooth((-0.08, -0.5), (0.08, -0.5), (0.1, -0.2), (-0.1, -0.2)), (206, 166, 138))
    canvas.part(body, slope(dress, tuple(c * 0.6 for c in dress), 0.5))
    canvas.part(ellipse(0, -0.62, 0.19, 0.25), sphere((222, 184, 156), 0, -0.62, 0.3, 0.1))
    phase = float(canvas.rng.uniform(0, 6))

    def folds(u: Floats, v: Floats) -> Floats:
        spread = u / (0.35 + 0.3 * (v + 1))
        waves = 0.5 + 0.28 * np.sin(11 * spread + phase + 0.8 * v) + 0.1 * np.sin(27 * spread + 2 * phase)
        return np.clip(0.2 + 0.6 * waves, 0.2, 0.8).astype(np.float32)

    cloth = smooth(
        (0, -0.95),
        (0.26, -0.8),
        (0.4, -0.3),
        (0.62, 0.3),
        (0.86, 0.96),
        (0.4, 1.0),
        (0.0, 0.96),
        (-0.4, 1.0),
        (-0.86, 0.96),
        (-0.62, 0.3),
        (-0.4, -0.3),
        (-0.26, -0.8),
    )
    canvas.part(cloth, slope(tone, tuple(c * 0.82 for c in tone)), folds)
    canvas.part(stroke(np.concatenate([cloth, cloth[:1]]), 0.016), tone, 0.75)


def sunglasses(canvas: Canvas) -> None:
    frame, tint = paint(canvas), ((60, 70, 66), (92, 64, 40), (60, 84, 120))[int(canvas.rng.integers(3))]
    lens = smooth((-0.86, -0.22), (-0.5, -0.3), (-0.16, -0.2), (-0.16, 0.08), (-0.4, 0.3), (-0.72, 0.26), (-0.9, 0.02))

    def gradient(u: Floats, v: Floats) -> Floats:
        return np.broadcast_to(np.clip(0.62 - 0.6 * v, 0.3, 0.8), (v.shape[0], u.shape[1])).astype(np.float32)

    for side in (1, -1):
        shape = lens * (side, 1)
        arm = smooth(
            (-0.9 * side, -0.16), (-1.02 * side, -0.34), (-0.8 * side, -0.52), (-0.62 * side, -0.56), closed=False
        )
        canvas.part(stroke(arm, (0.06, 0.035)), tuple(c * 0.6 for c in frame))
        canvas.part(shape, slope(tint, tuple(c * 0.6 for c in tint)), gradient)
        middle = shape.mean(axis=0)
        rim = stroke(np.concatenate([shape, shape[:2]]), 0.07)
        canvas.part(rim, slope(frame, tuple(c * 0.55 for c in frame)))
        canvas.part(
            corners(*(middle + np.array(d) for d in ((-0.2, -0.16), (-0.12, -0.17), (-0.2, 0.1), (-0.26, 0.08)))),
            (255, 255, 255),
            0.3,
        )
    canvas.part(stroke(smooth((-0.18, -0.14), (0, -0.2), (0.18, -0.14), closed=False), 0.06), frame)


def flacon(canvas: Canvas) -> None:
    scent = ((222, 170, 90), (214, 130, 150), (110, 160, 190))[int(canvas.rng.integers(3))]
    body = smooth(
        (-0.56, -0.36), (0.0, -0.38), (0.56, -0.36), (0.62, 0.3), (0.56, 0.92), (0.0, 0.94), (-0.56, 0.92), (-0.62, 0.3)
    )
    inside = smooth(
        (-0.46, -0.1), (0.0, -0.1), (0.46, -0.1), (0.5, 0.3), (0.45, 0.76), (0.0, 0.78), (-0.45, 0.76), (-0.5, 0.3)
    )
    canvas.part(body, slope((236, 240, 244), (176, 186, 196)), 0.42)
    canvas.part(inside, slope(scent, tuple(c * 0.7 for c in scent)), 0.6)
    canvas.part(stroke(np.concatenate([body, body[:2]]), 0.035), (248, 250, 252), 0.7)
    canvas.part(corners((-0.3, 0.2), (0.3, 0.2), (0.3, 0.5), (-0.3, 0.5)), (250, 248, 244), 0.95)
    for at in (0.28, 0.36, 0.42):
        canvas.part(corners((-0.2, at), (0.2, at), (0.2, at + 0.02), (-0.2, at + 0.02)), (40, 40, 44), 0.8)
    neck, cap = profile((-0.52, 0.2), (-0.36, 0.2)), profile((-0.98, 0.28), (-0.5, 0.28))
    canvas.part(lathe(neck, -0.52, -0.36, 0.01), cylinder((206, 176, 110), neck))
    canvas.part(lathe(cap, -0.98, -0.5, 0.03), cylinder(paint(canvas), cap))
    canvas.part(smooth((-0.5, -0.2), (-0.44, -0.22), (-0.46, 0.7), (-0.52, 0.6)), (255, 255, 255), 0.6)


def _wall(radius: Callable[[np.ndarray], np.ndarray], thin: float, thick: float) -> Field:
    """Glass is seen edge-on at its outline: more of it there."""

    def opacity(u: Floats, v: Floats) -> Floats:
        across = np.clip(np.abs(u) / np.maximum(radius(v), 1e-3), 0, 1)
        return np.clip(thin + (thick - thin) * across**5 + 0.25 * bump(across * np.sign(u), 0.7, 0.08), 0, 0.8).astype(
            np.float32
        )

    return opacity
