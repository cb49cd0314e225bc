"""Hair, fur, bristles, feathers and grass: thousands of strands thinner than a pixel, their cover counted."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tests.bench.matting.drawing import Box, Canvas, Colour, Floats, Points, reduced
from tests.bench.matting.outlines import TURN, ellipse, lathe, profile, smooth, stroke
from tests.bench.matting.products import paint
from tests.bench.matting.shades import cylinder, slope, sphere

STEPS = 9
"""Points of a strand."""
Paths = np.ndarray
"""N×STEPS×2."""


def grown(roots: Points, angles: np.ndarray, lengths: np.ndarray, bends: np.ndarray) -> Paths:
    """Strands from their roots: the direction at the root (radians, 0 is to the right), the turn on the way."""
    t = np.linspace(0, 1, STEPS)
    heading = angles[:, None] + bends[:, None] * t
    pace = lengths[:, None] / (STEPS - 1)
    path = np.stack([np.cos(heading) * pace, np.sin(heading) * pace], 2)
    path[:, 0] = 0
    return roots[:, None, :] + np.cumsum(path, axis=1)


def strands(canvas: Canvas, paths: Paths, colours: np.ndarray, width: float) -> None:
    """Lay strands over what is there: colours N×3, the width at the root in units; they end in points."""
    box = canvas.around([paths.reshape(-1, 2)], 4)
    if box is None:
        return
    cover = Image.new("L", (box.size[0] * canvas.finer, box.size[1] * canvas.finer))
    shade = Image.new("RGB", box.size, tuple(int(c) for c in np.clip(colours.mean(axis=0), 0, 255)))
    draw, tint = ImageDraw.Draw(cover), ImageDraw.Draw(shade)
    thick = width * canvas.scale * canvas.finer
    wide = max(1, round(width * canvas.scale))
    for path, colour in zip(paths, colours, strict=True):
        fine = canvas.fine(path, box)
        tint.line(
            [(x / canvas.finer, y / canvas.finer) for x, y in fine],
            tuple(int(c) for c in np.clip(colour, 0, 255)),
            wide,
        )
        for first, last, share in ((0, 4, 1.0), (3, 7, 0.7), (6, STEPS, 0.4)):
            draw.line(fine[first:last], 255, max(1, round(thick * share)))
    canvas.lay(box, reduced(cover, canvas.finer), np.asarray(shade, np.float32))


def tints(rng: np.random.Generator, number: int, colour: Colour, spread: float = 0.18) -> np.ndarray:
    """Colours of that many strands, lighter and darker ones."""
    return np.asarray(colour) * (1 + spread * rng.standard_normal((number, 1))) + 5 * rng.standard_normal((number, 3))


def fringe(canvas: Canvas, outline: Points, number: int, length: float, colours: np.ndarray, width: float) -> None:
    """Fur along an outline, outwards."""
    rng = canvas.rng
    at = rng.integers(len(outline), size=number)
    along = np.roll(outline, -2, axis=0) - np.roll(outline, 2, axis=0)
    area = np.sum(outline[:, 0] * np.roll(outline[:, 1], -1) - outline[:, 1] * np.roll(outline[:, 0], -1))
    out = np.arctan2(-along[at, 0], along[at, 1]) if area > 0 else np.arctan2(along[at, 0], -along[at, 1])
    roots = outline[at] + rng.normal(0, 0.01, (number, 2)) - 0.02 * np.stack([np.cos(out), np.sin(out)], 1)
    lengths = length * rng.uniform(0.4, 1.15, number)
    strands(
        canvas, grown(roots, out + rng.normal(0, 0.45, number), lengths, rng.normal(0.4, 0.5, number)), colours, width
    )


def plush(canvas: Canvas) -> None:
    rng, fur = (
        canvas.rng,
        ((178, 122, 72), (226, 214, 196), (112, 104, 110), (232, 178, 176))[int(canvas.rng.integers(4))],
    )
    body: list[tuple[float, float, float]] = [
        (0, 0.42, 0.52),
        (0, -0.34, 0.46),
        (-0.36, -0.74, 0.17),
        (0.36, -0.74, 0.17),
    ]
    body += [(-0.52, 0.3, 0.2), (0.52, 0.3, 0.2), (-0.36, 0.84, 0.22), (0.36, 0.84, 0.22)]
    for u, v, radius in sorted(body, key=lambda one: one[2]):
        canvas.part(ellipse(u, v, radius), sphere(fur, u, v, radius * 1.15, 0.0))
        number = int(4200 * radius)
        spot = TURN * rng.uniform(size=number)
        away = radius * np.sqrt(rng.uniform(0.2, 1.0, number))
        roots = np.stack([u + away * np.cos(spot), v + away * np.sin(spot)], 1)
        light = 0.78 + 0.3 * (-np.sin(spot) - 0.5 * np.cos(spot)) * away / radius
        paths = grown(
            roots, spot + rng.normal(0, 0.5, number), rng.uniform(0.05, 0.13, number), rng.normal(0.3, 0.6, number)
        )
        strands(canvas, paths, tints(rng, number, fur, 0.12) * light[:, None], 0.0035)
    for side in (-1, 1):
        canvas.part(ellipse(side * 0.16, -0.42, 0.055), sphere((30, 22, 20), side * 0.16, -0.42, 0.055, 1.0))
    canvas.part(ellipse(0, -0.22, 0.16, 0.12), slope((240, 226, 206), (206, 186, 162)))
    canvas.part(ellipse(0, -0.27, 0.06, 0.045), (44, 30, 28))


def portrait(canvas: Canvas) -> None:
    rng = canvas.rng
    hair = ((58, 38, 28), (170, 112, 56), (214, 178, 116), (36, 32, 36))[int(rng.integers(4))]
    skin, shirt = ((222, 176, 148), (150, 102, 74))[int(rng.integers(2))], paint(canvas)
    half = ((0, -0.9), (0.3, -0.82), (0.44, -0.5), (0.46, 0.0), (0.42, 0.5), (0, 0.6))
    back = smooth(*half, *((-u, v) for u, v in half[-2:0:-1]))
    canvas.part(back, slope(_dim(hair, 0.8), _dim(hair, 0.5), 1.2))
    number = 2600
    side = rng.choice((-1, 1), number)
    roots = np.stack([np.abs(rng.normal(0, 0.2, number)), -0.88 + rng.normal(0, 0.03, number)], 1)
    roots[:, 1] += 1.1 * roots[:, 0] ** 2
    out = rng.normal(0.35, 0.18, number)
    paths = grown(roots, out, rng.uniform(0.8, 1.75, number), rng.normal(1.4, 0.16, number))
    paths[..., 0] *= side[:, None] * 0.5
    strands(canvas, paths, tints(rng, number, hair), 0.004)
    fringe(canvas, back, 1200, 0.1, tints(rng, 1200, hair), 0.0028)
    _bust(canvas, skin, shirt, hair)


def _bust(canvas: Canvas, skin: Colour, shirt: Colour, hair: Colour) -> None:
    """Shoulders, neck and face, before the hair behind them."""
    half = ((0.2, 0.3), (0.62, 0.56), (0.95, 0.74), (1.06, 1.3))
    shoulders = smooth(*half, (0.0, 1.5), *((-u, v) for u, v in reversed(half)))
    canvas.part(shoulders, slope(shirt, _dim(shirt, 0.55), 0.6))
    neck = smooth((-0.17, 0.0), (0.17, 0.0), (0.19, 0.42), (0.0, 0.56), (-0.19, 0.42))
    canvas.part(neck, slope(skin, _dim(skin, 0.7), 1.3))
    half = ((0.33, -0.5), (0.34, -0.1), (0.17, 0.2))
    face = smooth((0, -0.72), *half, (0, 0.26), *((-u, v) for u, v in reversed(half)))
    canvas.part(face, sphere(skin, 0.0, -0.2, 0.62, 0.05))
    for side in (-1, 1):
        bangs = smooth((0, -0.86), (side * 0.3, -0.72), (side * 0.4, -0.2), (side * 0.31, -0.3), (side * 0.2, -0.56))
        canvas.part(bangs, slope(hair, _dim(hair, 0.7), 1.4))
        canvas.part(ellipse(side * 0.14, -0.22, 0.06, 0.026), (244, 240, 236))
        canvas.part(ellipse(side * 0.14, -0.22, 0.027), (52, 38, 30))
        brow = smooth((side * 0.07, -0.31), (side * 0.15, -0.34), (side * 0.22, -0.3), closed=False)
        canvas.part(stroke(brow, 0.018), _dim(hair, 0.7))
    nose = smooth((-0.01, -0.2), (0.03, -0.02), (-0.02, 0.0), closed=False)
    canvas.part(stroke(nose, 0.012), _dim(skin, 0.75))
    canvas.part(smooth((-0.1, 0.09), (0, 0.075), (0.1, 0.09), (0.05, 0.125), (-0.05, 0.125)), (172, 84, 80))


def _dim(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share


def feather(canvas: Canvas) -> None:
    rng, tone = canvas.rng, paint(canvas)
    quill = smooth((-0.62, 0.98), (-0.3, 0.4), (0.12, -0.3), (0.56, -0.92), closed=False, steps=60)
    canvas.part(stroke(quill, (0.03, 0.02, 0.006)), (236, 226, 206))
    number = 3600
    at = rng.uniform(0.2, 0.99, number)
    where = (at * (len(quill) - 1)).astype(int)
    along = np.gradient(quill, axis=0)[where]
    side = rng.choice((-1, 1), number)
    fall = np.arctan2(along[:, 1], along[:, 0]) + side * rng.normal(0.85, 0.1, number)
    length = 0.46 * np.sin(np.pi * np.clip((at - 0.14) / 0.92, 0, 1)) ** 0.6 * rng.uniform(0.8, 1.05, number)
    paths = grown(quill[where], fall, np.maximum(length, 0.03), -side * rng.normal(0.5, 0.15, number))
    strands(canvas, paths, tints(rng, number, tone, 0.12) * (0.75 + 0.4 * at[:, None]), 0.0055)


def brush(canvas: Canvas) -> None:
    rng, grip = canvas.rng, paint(canvas)
    radius = profile((0.12, 0.22), (0.3, 0.16), (0.7, 0.12), (0.98, 0.07))
    bristle = ((62, 46, 38), (222, 196, 150))[int(rng.integers(2))]
    number = 2600
    roots = np.stack([rng.uniform(-0.3, 0.3, number), rng.uniform(-0.14, -0.08, number)], 1)
    fan = -np.pi / 2 + 0.75 * roots[:, 0] + rng.normal(0, 0.05, number)
    paths = grown(roots, fan, rng.uniform(0.62, 0.86, number), rng.normal(0, 0.12, number))
    canvas.part(
        smooth((-0.3, -0.1), (-0.36, -0.5), (0.0, -0.66), (0.36, -0.5), (0.3, -0.1), (0.0, -0.04)),
        tuple(c * 0.75 for c in bristle),
    )
    strands(canvas, paths, tints(rng, number, bristle), 0.007)
    ferrule = profile((-0.12, 0.33), (0.14, 0.24))
    canvas.part(lathe(ferrule, -0.12, 0.14, 0.03), cylinder((198, 200, 206), ferrule))
    canvas.part(lathe(radius, 0.12, 0.98, 0.03), cylinder(grip, radius))


def grass(canvas: Canvas) -> None:
    rng = canvas.rng
    radius = profile((0.3, 0.5), (0.95, 0.36))
    number = 700
    roots = np.stack([rng.uniform(-0.4, 0.4, number), rng.uniform(0.3, 0.36, number)], 1)
    lean = -np.pi / 2 + 1.1 * roots[:, 0] + rng.normal(0, 0.16, number)
    paths = grown(roots, lean, rng.uniform(0.5, 1.4, number), np.sign(roots[:, 0]) * rng.uniform(0.1, 1.3, number))
    greens = tints(rng, number, (92, 148, 62), 0.25)
    strands(canvas, paths, greens, 0.014)
    canvas.part(lathe(radius, 0.3, 0.95, 0.05), cylinder(paint(canvas), radius, 0.3))


def coat(canvas: Canvas, outline: Points, window: Box, picture: Floats, number: int, length: float) -> None:
    """Fur along the outline of a photographed animal, in the colours the picture has there."""
    state = canvas.rng.bit_generator.state
    at = canvas.rng.integers(len(outline), size=number)
    canvas.rng.bit_generator.state = state  # the same roots that `fringe` will draw
    centre = outline.mean(axis=0)
    inner = centre + 0.93 * (outline[at] - centre)
    x = np.clip(inner[:, 0] * canvas.scale + canvas.x - window.left, 0, picture.shape[1] - 1).astype(int)
    y = np.clip(inner[:, 1] * canvas.scale + canvas.y - window.top, 0, picture.shape[0] - 1).astype(int)
    fringe(canvas, outline, number, length, picture[y, x] * canvas.rng.uniform(0.85, 1.15, (number, 1)), 0.0035)
