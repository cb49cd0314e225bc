"""Strands: fur, bristles, wool."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from random import Random
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import Stuff, hair, metal, paint, wood
from tests.bench.rendering.shapes import Point, ball, pillow, put, rod, skin, turned

STEPS = 5


def strands(lines: list[list[Point]], thick: float, material: Any, tip: float = 0.35) -> Any:
    """Hair curves of equally many points, thinner towards the tip."""
    count, steps = len(lines), len(lines[0])
    curves = bpy.data.hair_curves.new("strands")
    curves.add_curves([steps] * count)
    curves.attributes["position"].data.foreach_set("vector", np.asarray(lines, np.float32).ravel())
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", np.tile(thick * np.linspace(1, tip, steps, dtype=np.float32), count))
    return put(curves, material)


def coat(
    body: Any,
    count: int,
    length: float,
    colour: str,
    dice: Random,
    thick: float = 0.0022,
    curl: float = 0.25,
    droop: float = 0.2,
    keep: Callable[[Vector], bool] = lambda at: True,
) -> None:
    """Fur all over a mesh, as it lies in the scene."""
    bpy.context.view_layer.update()
    frame = body.matrix_world
    triangles = []
    body.data.calc_loop_triangles()
    points = [frame @ v.co for v in body.data.vertices]
    for t in body.data.loop_triangles:
        a, b, c = (points[i] for i in t.vertices)
        normal = (b - a).cross(c - a)
        if normal.length > 1e-12:
            triangles.append((a, b, c, normal.normalized(), normal.length))
    lines = []
    for a, b, c, normal, _ in dice.choices(triangles, weights=[t[4] for t in triangles], k=count):
        u, v = dice.random(), dice.random()
        if u + v > 1:
            u, v = 1 - u, 1 - v
        root = a + (b - a) * u + (c - a) * v
        if not keep(root):
            continue
        lean = Vector((dice.gauss(0, 0.3), dice.gauss(0, 0.3), dice.gauss(0, 0.3)))
        way = (normal + lean).normalized()
        side = way.cross(Vector((dice.gauss(0, 1), dice.gauss(0, 1), dice.gauss(0, 1)))).normalized()
        long_, phase = length * dice.uniform(0.6, 1.25), dice.uniform(0, 6.28)
        line = []
        for step in range(STEPS):
            t = step / (STEPS - 1)
            at = (
                root
                + way * (long_ * t)
                + side * (long_ * curl * t * sin(phase + 4 * t))
                + Vector((0, 0, -droop * long_ * t * t))
            )
            line.append((at.x, at.y, max(at.z, 0.001)))
        lines.append(line)
    strands(lines, thick, hair(colour))


def plush(dice: Random, look: Look) -> None:
    """A teddy, sitting."""
    colour = dice.choice(("#9a6a3c", "#c9a27a", "#e8dccb", "#6d5a4c", "#b7a7a0", look.main))
    skin_ = paint(colour, 0.9)
    parts = [
        ball(0.3, skin_, at=(0, 0, 0.32), stretch=(1, 0.9, 1.08)),
        ball(0.24, skin_, at=(0, -0.03, 0.8), stretch=(1.08, 0.95, 0.95)),
        *(ball(0.09, skin_, at=(x * 0.2, 0, 0.98), stretch=(1, 0.55, 1)) for x in (-1, 1)),
        *(
            ball(0.11, skin_, at=(x * 0.32, -0.1, 0.45), stretch=(0.85, 0.9, 1.7), turn=(0.5, -x * 0.5, 0))
            for x in (-1, 1)
        ),
        *(ball(0.13, skin_, at=(x * 0.2, -0.3, 0.13), stretch=(0.9, 1.7, 0.95), turn=(0, 0, x * 0.3)) for x in (-1, 1)),
    ]
    length = dice.uniform(0.035, 0.07)
    for body, count in zip(parts, (15000, 12000, 2500, 2500, 5000, 5000, 6000, 6000), strict=True):
        coat(body, count, length, colour, dice)
    muzzle = ball(0.1, paint("#efe3d0", 0.9), at=(0, -0.24, 0.74), stretch=(1.1, 0.8, 0.8))
    coat(muzzle, 3000, 0.02, "#efe3d0", dice)
    black = paint("#0d0d0e", 0.1, Coat_Weight=1.0)
    for x in (-1, 1):
        ball(0.034, black, at=(x * 0.095, -0.265, 0.86))
    ball(0.04, black, at=(0, -0.335, 0.78), stretch=(1.2, 0.7, 0.8))


def brush(dice: Random, look: Look) -> None:
    """A paint or make-up brush standing on its handle's end, bristles up."""
    flat, long_ = dice.random() < 0.5, dice.uniform(0.2, 0.34)
    wide = dice.uniform(0.12, 0.2)
    squash = 0.35 if flat else 1.0
    handle = wood(look.wood, 8, along="Z") if dice.random() < 0.5 else paint(look.main, 0.2, Coat_Weight=0.7)
    turned(
        [(0, 0), (0.05, 0), (0.07, 0.2), (0.045, 0.42), (wide * 0.6, 0.55), (0, 0.55)],
        handle,
        0.04,
        squash=max(squash, 0.6),
    )
    turned(
        [(wide * 0.62, 0.53), (wide * 0.66, 0.6), (wide * 0.8, 0.78), (0, 0.78)],
        metal("#cfa868" if dice.random() < 0.5 else "#cfd2d6", 0.2),
        0.01,
        squash=squash,
    )
    colour = dice.choice(("#3a2a20", "#d9b98a", "#1b1b1d", "#e9e2d6", look.accent))
    lines = []
    for _ in range(4500):
        r, a = wide * 0.78 * dice.random() ** 0.5, dice.uniform(0, 2 * pi)
        x, y = r * cos(a), squash * r * sin(a)
        spread = dice.gauss(0, 0.03)
        high = long_ * (1 - 0.5 * (r / wide) ** 2) * dice.uniform(0.92, 1.04)
        out = 1 + (0.55 if not flat else 0.2)
        lines.append(
            [
                (
                    x * (1 + (out - 1) * t) + spread * t * t * 0.6,
                    y * (1 + (out - 1) * t) + dice.gauss(0, 0.004),
                    0.77 + high * t,
                )
                for t in (0, 0.25, 0.5, 0.75, 1)
            ]
        )
    strands(lines, 0.0032, hair(colour))


def pompom(dice: Random, look: Look) -> None:
    """A knitted hat with a bobble of wool or fur."""
    rows, colours = 26, (look.main, look.second)
    for part, (low, high) in enumerate(((0.0, 0.22), (0.2, 0.62))):
        stuff = Stuff(colours[part], 0.95, Sheen_Weight=0.4).rough(180, 0.004).made
        rings = []
        for i in range(rows):
            t = i / (rows - 1)
            z = low + (high - low) * t
            r = 0.4 + 0.02 * (1 - part) if z < 0.25 else 0.4 * max(0.05, 1 - ((z - 0.25) / 0.42) ** 2) ** 0.6
            ribs = 0.005 if part == 0 else 0.008
            rings.append(
                [
                    (r * (1 + ribs * 2 * cos(44 * a)) * cos(a), r * (1 + ribs * 2 * cos(44 * a)) * sin(a), z)
                    for a in (2 * pi * k / 352 for k in range(352))
                ]
            )
        skin(rings, stuff, capped=part == 1, sharp=3.2)
    bobble = ball(0.06, paint(look.accent, 0.9), at=(0, 0, 0.7))
    coat(bobble, 7000, 0.13, look.accent, dice, 0.003, 0.2, 0.1)


def slipper(dice: Random, look: Look) -> None:
    """A pair, with a furry lining that looks out."""
    felt = Stuff(look.main, 0.95, Sheen_Weight=0.5).rough(90, 0.004).made
    wool = dice.choice(("#efe8dc", "#d8cdbd", look.second))
    for x in (-0.24, 0.24):
        turn = (0, 0, dice.uniform(-0.15, 0.15))
        pillow((0.19, 0.5, 0.035), paint("#3b342e", 0.8), 0.75, 0.3, at=(x, 0, 0.035), turn=turn)
        pillow((0.185, 0.26, 0.15), felt, 0.8, 0.85, at=(x, -0.22, 0.14), turn=turn)
        inside = pillow((0.17, 0.46, 0.02), paint(wool, 0.9), 0.75, 0.4, at=(x, 0.02, 0.085), turn=turn)
        coat(inside, 6000, 0.05, wool, dice, 0.0025)
        collar = pillow((0.17, 0.05, 0.05), paint(wool, 0.9), 0.9, 0.9, at=(x, 0.0, 0.22), turn=turn)
        coat(collar, 5000, 0.07, wool, dice, 0.0025)


def chick(dice: Random, look: Look) -> None:
    """A toy bird of fluff."""
    colour = dice.choice(("#f2c94c", "#f6e9c8", look.main, "#9fb7c9"))
    stuff = paint(colour, 0.9)
    body = ball(0.36, stuff, at=(0, 0, 0.42), stretch=(1, 1.1, 0.95))
    head = ball(0.24, stuff, at=(0, -0.2, 0.85))
    coat(body, 17000, 0.08, colour, dice, 0.002, 0.4)
    coat(head, 11000, 0.06, colour, dice, 0.002, 0.4)
    for x in (-1, 1):
        wing = ball(0.17, stuff, at=(x * 0.36, 0.03, 0.45), stretch=(0.35, 1.1, 0.8))
        coat(wing, 4000, 0.07, colour, dice, 0.002, 0.4)
        ball(0.035, paint("#0c0c0d", 0.1, Coat_Weight=1.0), at=(x * 0.11, -0.4, 0.92))
        rod(0.16, 0.02, paint("#e08a2c", 0.5), at=(x * 0.12, 0, 0.0))
        pillow((0.07, 0.12, 0.02), paint("#e08a2c", 0.5), at=(x * 0.12, -0.06, 0.02))
    rod(0.13, 0.06, paint("#e08a2c", 0.4), tip=0.004, at=(0, -0.42, 0.84), turn=(pi / 2 + 0.1, 0, 0))
