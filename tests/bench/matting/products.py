"""Things with hard edges, as shops show them: each draws itself around the origin, about two units high."""

from __future__ import annotations

import numpy as np

from tests.bench.matting.drawing import Canvas, Colour, Field, Floats
from tests.bench.matting.outlines import corners, ellipse, lathe, profile, smooth, stroke, turned
from tests.bench.matting.shades import bump, cylinder, grainy, lit, mixed, slope, sphere, step

PAINTS: tuple[Colour, ...] = (
    (196, 52, 44),
    (34, 92, 160),
    (240, 236, 226),
    (38, 120, 92),
    (42, 42, 48),
    (232, 168, 40),
    (150, 84, 140),
    (206, 202, 196),
)


def paint(canvas: Canvas) -> Colour:
    """One of the paints, by the picture's seed."""
    return PAINTS[int(canvas.rng.integers(len(PAINTS)))]


def bottle(canvas: Canvas) -> None:
    body, label = paint(canvas), paint(canvas)
    radius = profile((-0.98, 0.1), (-0.7, 0.11), (-0.45, 0.14), (-0.25, 0.3), (-0.1, 0.36), (0.9, 0.36), (0.97, 0.33))
    canvas.part(lathe(radius, -0.98, 0.97, 0.02), cylinder(body, radius))
    canvas.part(lathe(lambda v: 0.362 + 0 * v, 0.12, 0.72, 0.015), _label(label, 0.36, 0.12, 0.72))
    cap = profile((-1.0, 0.125), (-0.76, 0.13))
    canvas.part(lathe(cap, -1.0, -0.76, 0.015), cylinder((226, 226, 228), cap))


def box(canvas: Canvas) -> None:
    tint, ink = np.array(paint(canvas), np.float32), paint(canvas)
    front = corners((-0.75, -0.45), (0.15, -0.3), (0.15, 0.95), (-0.75, 0.72))
    side = corners((0.15, -0.3), (0.75, -0.52), (0.75, 0.62), (0.15, 0.95))
    top = corners((-0.75, -0.45), (-0.12, -0.66), (0.75, -0.52), (0.15, -0.3))
    whole = corners((-0.75, -0.45), (-0.12, -0.66), (0.75, -0.52), (0.75, 0.62), (0.15, 0.95), (-0.75, 0.72))
    canvas.part(whole, tuple(tint * 0.8))
    canvas.part(side, slope(tuple(tint * 0.66), tuple(tint * 0.5)))
    canvas.part(top, tuple(np.minimum(tint * 1.08 + 12, 255)))
    canvas.part(front, slope(tuple(tint * 0.97), tuple(tint * 0.85)))
    canvas.part(corners((-0.66, -0.2), (0.06, -0.08), (0.06, 0.2), (-0.66, 0.06)), ink)
    for line in range(4):
        at = 0.3 + 0.1 * line
        canvas.part(corners((-0.66, at), (-0.1, at + 0.1), (-0.1, at + 0.135), (-0.66, at + 0.035)), (30, 30, 30), 0.75)


def mug(canvas: Canvas) -> None:
    glaze = paint(canvas)
    radius = profile((-0.75, 0.6), (0.5, 0.58), (0.74, 0.5))
    grip = smooth((0.5, -0.45), (0.82, -0.5), (1.04, -0.2), (0.96, 0.2), (0.72, 0.42), (0.46, 0.45), closed=False)
    canvas.part(stroke(grip, (0.17, 0.15, 0.15, 0.17)), slope(glaze, tuple(c * 0.55 for c in glaze)))
    canvas.part(stroke(grip[6:-6] - np.array((0.015, 0.02)), 0.03), (255, 255, 255), 0.35)
    canvas.part(lathe(radius, -0.75, 0.74, 0.12), cylinder(glaze, radius))
    canvas.part(ellipse(0, -0.75, 0.6, 0.13), tuple(min(255.0, c * 1.05 + 16) for c in glaze))
    canvas.part(ellipse(0, -0.745, 0.55, 0.105), slope((70, 52, 40), (200, 190, 180)))
    canvas.part(ellipse(0, -0.715, 0.5, 0.075), slope((48, 27, 16), (96, 56, 32), 0.2))


def shoe(canvas: Canvas) -> None:
    upper, trim = paint(canvas), paint(canvas)
    outline = smooth(
        *((-0.98, 0.1), (-0.95, -0.35), (-0.86, -0.52), (-0.55, -0.45), (-0.32, -0.5), (-0.2, -0.42), (0.12, -0.14)),
        *((0.5, 0.0), (0.86, 0.12), (1.0, 0.3), (0.95, 0.42), (0.2, 0.45), (-0.9, 0.45)),
    )
    canvas.part(outline, grainy(slope(tuple(c * 0.7 for c in upper), upper, -1.2), canvas.rng, 0.012))
    canvas.part(smooth((0.5, 0.02), (0.84, 0.13), (0.97, 0.3), (0.92, 0.4), (0.5, 0.4), (0.44, 0.2)), trim, 0.9)
    canvas.part(smooth((-0.95, -0.2), (-0.86, -0.46), (-0.72, -0.3), (-0.66, 0.3), (-0.93, 0.35)), trim, 0.9)
    canvas.part(
        smooth((-0.5, 0.35), (-0.35, -0.1), (-0.1, -0.2), (0.3, 0.05), (0.0, 0.3)), tuple(c * 0.8 for c in trim)
    )
    sole = smooth(
        (-1.0, 0.36), (-0.4, 0.4), (0.4, 0.4), (1.0, 0.34), (1.02, 0.5), (0.7, 0.58), (-0.2, 0.56), (-0.97, 0.58)
    )
    canvas.part(sole, slope((246, 246, 242), (190, 190, 188), 1.4))
    canvas.part(stroke(smooth((-0.98, 0.52), (-0.2, 0.51), (0.7, 0.53), (0.98, 0.47), closed=False), 0.02), upper)
    for lace in range(6):
        u, v = -0.3 + 0.09 * lace, -0.42 + 0.062 * lace
        path = smooth((u + 0.03, v), (u - 0.05, v + 0.08), (u - 0.1, v + 0.17), closed=False)
        canvas.part(stroke(path, 0.035, round_ends=True), (250, 250, 246))


def ball(canvas: Canvas) -> None:
    first, second = paint(canvas), paint(canvas)
    turns = int(canvas.rng.integers(3, 6))

    def panels(u: Floats, v: Floats) -> Floats:
        x, y = u / 0.9, v / 0.9
        z = np.sqrt(np.clip(1 - x**2 - y**2, 1e-4, 1))
        around = np.arctan2(x * 0.8 + y * 0.6, z) * turns
        return mixed(first, second, step(np.sin(around).astype(np.float32), 0.0, 0.06))

    canvas.part(ellipse(0, 0, 0.9), sphere(panels, 0, 0, 0.9))


def ring(canvas: Canvas) -> None:
    gold: Colour = (214, 170, 84) if canvas.rng.integers(2) else (196, 200, 206)

    def metal(u: Floats, v: Floats) -> Floats:
        angle = np.arctan2(v - 0.2, u)
        bands = 0.62 + 0.3 * np.sin(3 * angle + 0.6) + 0.12 * np.sin(11 * angle)
        return lit(gold, bands.astype(np.float32), 0.8 * bump(np.sin(2 * angle - 1.0).astype(np.float32), 1.0, 0.12))

    canvas.part(ellipse(0, 0.2, 0.74), metal, holes=[ellipse(0, 0.2, 0.6)])
    canvas.part(corners((-0.2, -0.5), (0.2, -0.5), (0.12, -0.38), (-0.12, -0.38)), tuple(c * 0.7 for c in gold))
    crown = [(-0.32, -0.74), (-0.2, -0.88), (0.2, -0.88), (0.32, -0.74), (0.0, -0.4)]
    canvas.part(corners(*crown), slope((236, 244, 250), (120, 160, 190)))
    for at in np.linspace(-0.28, 0.2, 5):
        facet = corners((at, -0.74), (at + 0.1, -0.74), (0.02 + at / 6, -0.44))
        canvas.part(facet, (250, 252, 255) if canvas.rng.integers(2) else (86, 124, 156), 0.6)


def bag(canvas: Canvas) -> None:
    cloth = paint(canvas)
    for lift in (0.0, 0.06):
        handle = smooth(
            (-0.36, -0.3), (-0.3, -0.8 + lift), (0.0, -0.98 + lift), (0.3, -0.8 + lift), (0.36, -0.3), closed=False
        )
        canvas.part(stroke(handle, 0.08), tuple(c * (0.6 + 4 * lift) for c in cloth))
    outline = smooth(
        (-0.62, -0.38), (0.0, -0.34), (0.62, -0.38), (0.72, 0.3), (0.7, 0.88), (0.0, 0.95), (-0.7, 0.88), (-0.72, 0.3)
    )
    canvas.part(outline, grainy(slope(cloth, tuple(c * 0.62 for c in cloth), 0.5), canvas.rng, 0.045, 240))
    for fold in canvas.rng.uniform(-0.5, 0.5, 5):
        path = smooth((fold, -0.3), (fold * 1.1 + 0.03, 0.1), (fold * 1.15, 0.6), closed=False)
        canvas.part(stroke(path, (0.01, 0.05, 0.0)), (0, 0, 0), 0.12)
    canvas.part(ellipse(0, 0.25, 0.26), paint(canvas), 0.95)


def plant(canvas: Canvas) -> None:
    rng = canvas.rng
    radius = profile((0.35, 0.42), (0.95, 0.3))
    leaf = smooth((0, 0), (0.12, -0.22), (0.1, -0.5), (0.0, -0.78), (-0.1, -0.5), (-0.12, -0.22))
    angles = rng.permutation(np.linspace(-1.9, 1.9, 26))
    for angle in angles:
        root = (rng.uniform(-0.16, 0.16), 0.34)
        shape = turned(leaf * rng.uniform(0.8, 1.5) * (1, 1.15), float(angle)) + root
        tone = rng.uniform(0.55, 1.15)
        canvas.part(shape, slope((40 * tone, 110 * tone, 52 * tone), (96 * tone, 168 * tone, 74 * tone), float(angle)))
        tip = shape[np.argmax(np.hypot(*(shape - root).T))]
        canvas.part(stroke(np.linspace(root, tip, 12), (0.018, 0.004)), (150, 196, 120), 0.7)
    canvas.part(lathe(radius, 0.35, 0.95, 0.04), cylinder(paint(canvas), radius, 0.3))


def chair(canvas: Canvas) -> None:
    wood = (168, 116, 70) if canvas.rng.integers(2) else (64, 60, 58)
    dark = tuple(c * 0.66 for c in wood)
    for top, foot in (((-0.5, 0.1), (-0.56, 0.98)), ((0.42, 0.1), (0.5, 0.98))):
        canvas.part(stroke(corners(top, foot), (0.07, 0.045)), dark)
    canvas.part(
        smooth((-0.6, 0.08), (-0.42, -0.1), (0.5, -0.1), (0.62, 0.1), (0.5, 0.2), (-0.5, 0.2)), slope(wood, dark, 1.0)
    )
    for at in np.linspace(-0.34, 0.42, 6):
        canvas.part(stroke(corners((at * 1.1, -0.92), (at, -0.06)), 0.035), slope(wood, dark))
    back = smooth((-0.52, -0.84), (0.0, -1.0), (0.56, -0.84), (0.55, -0.72), (0.0, -0.87), (-0.5, -0.72))
    canvas.part(back, slope(wood, dark))
    for top, foot in (((-0.46, 0.16), (-0.7, 1.0)), ((0.52, 0.16), (0.76, 1.0))):
        canvas.part(stroke(corners(top, foot), (0.085, 0.055)), slope(wood, dark))
    canvas.part(stroke(corners((-0.6, 0.66), (0.66, 0.66)), 0.035), dark)


def headphones(canvas: Canvas) -> None:
    shell, pad = paint(canvas), (46, 44, 46)
    band = smooth(
        (-0.72, 0.3), (-0.7, -0.4), (-0.38, -0.88), (0.0, -0.98), (0.38, -0.88), (0.7, -0.4), (0.72, 0.3), closed=False
    )
    canvas.part(stroke(band, (0.07, 0.13, 0.15, 0.13, 0.07)), slope(shell, tuple(c * 0.5 for c in shell), 0.4))
    canvas.part(stroke(band[8:-8] * (0.97, 0.97), 0.02), (255, 255, 255), 0.3)
    for side in (-1, 1):
        canvas.part(
            ellipse(side * 0.6, 0.42, 0.17, 0.42, side * 0.1), grainy(slope(pad, (20, 20, 22)), canvas.rng, 0.06)
        )
        canvas.part(ellipse(side * 0.76, 0.4, 0.15, 0.36, side * 0.1), sphere(shell, side * 0.74, 0.4, 0.46, 0.6))


def _label(paper: Colour, radius: float, top: float, bottom: float) -> Field:
    ink = tuple(255 - c for c in paper)
    side = cylinder(paper, lambda v: radius + 0 * v, 0.3)

    def shade(u: Floats, v: Floats) -> Floats:
        across, down = u / radius, (v - top) / (bottom - top)
        bar = step(np.abs(across), -0.62) * (1 - step(np.abs(across), 0.62)) * (bump(down, 0.25, 0.09) > 0.5)
        lines = (np.sin(down * 70) > 0.3) * step(down, 0.5) * (1 - step(down, 0.85)) * (np.abs(across) < 0.5)
        return mixed(side(u, v), ink, np.clip(bar + 0.8 * lines, 0, 1).astype(np.float32))

    return shade
