"""Cloth: folded, sewn, worked."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import Stuff, cloth, paint
from tests.bench.rendering.shapes import (
    Point,
    ball,
    circle,
    curved,
    hoop,
    sheet,
    skin,
    thicken,
    tube,
    wave,
)


def towel(dice: Random, look: Look) -> None:
    """A stack of folded towels."""
    low = 0.0
    for number in range(dice.randint(1, 3)):
        colour = (look.main, look.second, look.accent)[number % 3]
        stuff = Stuff(colour, 1.0, Sheen_Weight=0.5).rough(260, 0.006).made
        layers, thick = dice.choice((3, 4)), dice.uniform(0.045, 0.06)
        wide, deep = dice.uniform(0.46, 0.5), dice.uniform(0.3, 0.36)
        relief = wave(dice, 0.3, 0.008)
        line: list[tuple[float, float]] = []
        for layer in range(layers):
            z = thick * (layer + 0.5)
            way = 1 if layer % 2 == 0 else -1
            line += [(way * wide * (2 * k / 24 - 1), z) for k in range(1, 24)]
            if layer < layers - 1:
                line += [
                    (way * (wide + thick / 2 * sin(pi * k / 8)), z + thick / 2 * (1 - cos(pi * k / 8)))
                    for k in range(1, 8)
                ]
        rings = []
        for row in range(41):
            y = -deep + 2 * deep * row / 40
            ring = []
            for side in (1, -1):
                for k, (x, z) in enumerate(line) if side == 1 else reversed(list(enumerate(line))):
                    a, b = line[max(0, k - 1)], line[min(len(line) - 1, k + 1)]
                    dx, dz = b[0] - a[0], b[1] - a[1]
                    size = (dx * dx + dz * dz) ** 0.5
                    half = side * thick * 0.47
                    ring.append(
                        (
                            x - dz / size * half,
                            y * (1 + 0.02 * sin(9 * x + number)),
                            low + z + dx / size * half + relief(x, y),
                        )
                    )
            rings.append(ring)
        skin(rings, stuff, sharp=1.2, turn=(0, 0, dice.uniform(-0.08, 0.08)))
        low += layers * thick + 0.004


def cap(dice: Random, look: Look) -> None:
    """With a peak and a button."""
    stuff = cloth(look.main, 170, 0.003)
    rings = []
    for i in range(25):
        a = pi / 2 * i / 24
        rings.append(
            [
                (
                    0.42 * cos(a) ** 0.85 * cos(t) * (1 + 0.01 * cos(6 * t)),
                    0.48 * cos(a) ** 0.85 * sin(t) * (1 + 0.01 * cos(6 * t)),
                    0.02 + 0.38 * sin(a),
                )
                for t in (2 * pi * k / 96 for k in range(96))
            ]
        )
    thicken(skin(rings, stuff, capped=False, sharp=3.2), 0.012)
    ball(0.032, stuff, at=(0, 0, 0.405), stretch=(1, 1, 0.6))

    def peak(x: float, y: float) -> Point:
        s, t = x / 0.42, (y + 0.2) / 0.4
        reach = 0.46 + 0.33 * t * (1 - 0.25 * s * s)
        angle = -pi / 2 + 0.8 * s
        return 0.9 * reach * cos(angle), reach * sin(angle) * 1.02, 0.03 - 0.10 * t * t * 0.5 + 0.07 * (1 - s * s) * t

    sheet(0.84, 0.4, cloth(look.accent if dice.random() < 0.5 else look.main, 170, 0.003), peak, 50, 0.018)
    for k in range(6):
        a = pi / 6 + 2 * pi * k / 6
        line = [
            (0.425 * cos(b) ** 0.85 * cos(a), 0.485 * cos(b) ** 0.85 * sin(a), 0.022 + 0.385 * sin(b))
            for b in (pi / 2 * j / 16 for j in range(17))
        ]
        tube(line, 0.004, stuff)


def lace(dice: Random, look: Look) -> None:
    """A round doily of thread, lying flat."""
    thread = paint(dice.choice(("#f4f1ea", "#efe9dc", look.main)), 0.9)
    petals, thick, up = dice.choice((12, 16, 18)), 0.006, 0.008
    for r in (0.08, 0.2, 0.33, 0.47, 0.62, 0.77):
        hoop(r, thick, thread, at=(0, 0, up))
    for low, high, count in (
        (0.0, 0.08, 12),
        (0.08, 0.2, petals),
        (0.2, 0.33, 2 * petals),
        (0.33, 0.47, 2 * petals),
        (0.47, 0.62, 3 * petals),
        (0.62, 0.77, 3 * petals),
    ):
        for k in range(count):
            a, b = 2 * pi * k / count, 2 * pi * (k + 1) / count
            for one, other in (((low, a), (high, b)), ((low, b), (high, a))):
                tube(
                    [
                        (one[0] * cos(one[1]), one[0] * sin(one[1]), up),
                        (other[0] * cos(other[1]), other[0] * sin(other[1]), up),
                    ],
                    thick * 0.7,
                    thread,
                    round_=False,
                )
    for k in range(petals):
        a = 2 * pi * k / petals
        for size in (0.1, 0.06):
            tube(
                circle(size, 24, (0.77 * cos(a) + size * cos(a), 0.77 * sin(a) + size * sin(a), up)),
                thick,
                thread,
                closed=True,
            )
    for k in range(6):
        a = 2 * pi * k / 6
        tube(circle(0.055, 20, (0.4 * cos(a), 0.4 * sin(a), up)), thick * 1.3, thread, closed=True)


def cushion(dice: Random, look: Look) -> None:
    """Square, standing on an edge, with piping."""
    if dice.random() < 0.5:
        stuff = (
            Stuff(look.main, 0.9, Sheen_Weight=0.4)
            .banded((look.main, look.second), dice.uniform(2, 5), "X", 0.0)
            .woven(140, 0.003)
            .made
        )
    else:
        stuff = cloth(look.main, 130, 0.004)
    lean = pi / 2 - 0.25
    relief = wave(dice, 0.35, 0.02)

    def half(sign: int) -> object:
        def form(x: float, y: float) -> Point:
            u, v = x / 0.5, y / 0.5
            pull = 1 - 0.08 * (1 - u * u) * v * v, 1 - 0.08 * (1 - v * v) * u * u
            puff = ((1 - u**4) * (1 - v**4)) ** 0.5
            return x * pull[1], y * pull[0], sign * (0.19 * puff + relief(x, y) * puff)

        return form

    for sign in (-1, 1):
        sheet(1, 1, stuff, half(sign), 70, at=(0, 0, 0.46), turn=(lean, 0, 0))  # type: ignore[arg-type]
    edge = []
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        for k in range(20):
            t = -1 + 2 * k / 20
            x, y = (
                (t, v)
                if (u, v) == (-1, -1)
                else (u, t)
                if (u, v) == (1, -1)
                else (-t, v)
                if (u, v) == (1, 1)
                else (u, -t)
            )
            edge.append((0.5 * x * (1 - 0.08 * (1 - y * y) * x * x), 0.5 * y * (1 - 0.08 * (1 - x * x) * y * y), 0.0))
    tube(edge, 0.013, paint(look.accent, 0.8), closed=True, round_=False, at=(0, 0, 0.46), turn=(lean, 0, 0))


def tote(dice: Random, look: Look) -> None:
    """A bag of canvas with two handles."""
    stuff = cloth(dice.choice((look.second, "#d9ccb4", look.main)), 160, 0.004)
    relief, rings = wave(dice, 0.4, 0.02), []
    for i in range(31):
        t = i / 30
        ring = []
        for k in range(88):
            a = 2 * pi * k / 88
            x = 0.42 * (1 - 0.05 * t) * (abs(cos(a)) ** 0.4) * (1 if cos(a) > 0 else -1)
            y = 0.16 * (1 - 0.6 * t) * (abs(sin(a)) ** 0.6) * (1 if sin(a) > 0 else -1)
            ring.append(
                (x, y + relief(x, t) * (0.4 + sin(pi * t)) * (1 if y > 0 else -1) * min(1.0, abs(y) * 20), t * 0.92)
            )
        rings.append(ring)
    rings.insert(0, [(x * 0.05, y * 0.05, 0.001) for x, y, _ in rings[0]])
    thicken(skin(rings, stuff, capped=False, sharp=2.5), 0.012)
    strap = cloth(look.accent, 200, 0.002)
    for y, lean in ((-0.07, -0.05), (0.07, 0.08)):
        line = curved(
            [
                (-0.19, y, 0.75),
                (-0.19, y, 0.95),
                (-0.14, y + lean, 1.2),
                (0, y + 1.4 * lean, 1.32),
                (0.14, y + lean, 1.2),
                (0.19, y, 0.95),
                (0.19, y, 0.75),
            ],
            10,
        )
        rings = []
        for j, (px, py, pz) in enumerate(line):
            across, up = cos(pi * j / (len(line) - 1)), sin(pi * j / (len(line) - 1))
            corners = ((-0.03, -0.008), (0.03, -0.008), (0.03, 0.008), (-0.03, 0.008))
            rings.append([(px + w * across, py + d, pz + w * up) for w, d in corners])
        skin(rings, strap, sharp=0.6)
