"""Boxes, bags, tins and tubes."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import Look, label
from tests.bench.rendering.materials import film, metal, paint, printed
from tests.bench.rendering.shapes import Point, brick, card, hoop, oblong, pillow, plate, rod, sheet, skin, turned, wave


def carton(dice: Random, look: Look) -> None:
    """A folded box, printed; plain among its like."""
    wide, deep, high = dice.uniform(0.45, 0.75), dice.uniform(0.2, 0.5), dice.uniform(0.5, 1.0)
    board = paint(look.main, 0.45)
    brick((wide, deep, high), board, 0.006, at=(0, 0, high / 2))
    if not look.plain:
        card(
            wide * 0.985,
            high * 0.985,
            printed(label(dice, look, int(800 * wide / high), 800), 0.4),
            at=(0, -deep / 2 - 0.001, high / 2),
        )
        side = printed(label(dice, look, int(800 * deep / high), 800, look.main), 0.4)
        for x in (-1, 1):
            card(deep * 0.985, high * 0.985, side, at=(x * (wide / 2 + 0.001), 0, high / 2), turn=(0, 0, x * pi / 2))
    brick((wide, 0.5 * deep, 0.004), board, 0.0015, at=(0, -0.24 * deep, high + 0.004), turn=(0.03, 0, 0))
    if dice.random() < 0.3:
        brick(
            (wide * 0.98, 0.003, deep * 0.8), board, 0.001, at=(0, deep / 2 + 0.1, high + deep * 0.3), turn=(-0.5, 0, 0)
        )


def pouch(dice: Random, look: Look) -> None:
    """A stand-up bag of foil with a sealed top."""
    relief = wave(dice, 0.25, 0.012)
    wide, high = dice.uniform(0.55, 0.7), dice.uniform(0.8, 1.0)
    face = printed(label(dice, look, 700, int(700 * high / wide), look.main), dice.uniform(0.25, 0.5))
    plain = paint(look.main, 0.35)

    def side(sign: int) -> object:
        def form(x: float, y: float) -> Point:
            s, t = 2 * x / wide, y / high + 0.5
            puff = 0.17 * (1 - t) ** 0.55 * (1 - s**4) ** 0.5 * min(1.0, 0.6 + 4 * t) + 0.004
            return (
                x * (1 - 0.03 * sin(pi * t)),
                sign * (puff + relief(x, y + 5 * sign) * min(1.0, puff * 9)),
                t * high + 0.03 * (1 - s * s) * (1 - t) ** 6 * 0,
            )

        return form

    sheet(wide, high, face, side(-1), 80)  # type: ignore[arg-type]
    sheet(wide, high, plain, side(1), 80)  # type: ignore[arg-type]
    brick((wide * 0.995, 0.008, 0.06), plain, 0.002, at=(0, 0, high))
    pillow((wide * 0.49, 0.13, 0.01), plain, 0.9, 0.3, at=(0, 0, 0.012))


def blister(dice: Random, look: Look) -> None:
    """A card with something in it under a clear dome."""
    wide, high = 0.6, dice.uniform(0.8, 0.95)
    face = label(dice, look, 600, int(600 * high / wide))
    hole = [(0.05 * cos(2 * pi * k / 24), 0.018 * sin(2 * pi * k / 24) + high / 2 - 0.06) for k in range(24)]
    lean = 0.12
    back = paint(look.second, 0.5)
    plate(oblong(wide, high, 0.03), 0.006, back, [hole], 0.001, at=(0, 0, high / 2), turn=(pi / 2 - lean, 0, 0))
    card(wide * 0.9, high * 0.78, printed(face, 0.4), at=(0, -0.006 - 0.06 * lean, high / 2 - 0.06), turn=(-lean, 0, 0))
    what = dice.choice(("car", "cells", "pen"))
    middle = high * 0.34
    if what == "cells":
        for k in range(4):
            at = (-0.165 + 0.11 * k, -0.08, middle - 0.13)
            rod(0.24, 0.045, paint(look.main, 0.25, Coat_Weight=0.5), bevel=0.006, at=at)
            rod(0.02, 0.02, metal(), at=(at[0], at[1], at[2] + 0.24))
    elif what == "car":
        brick((0.36, 0.1, 0.08), paint(look.main, 0.15, Coat_Weight=1.0), 0.03, at=(0, -0.09, middle))
        brick((0.2, 0.09, 0.08), paint("#22262a", 0.1), 0.03, at=(-0.02, -0.09, middle + 0.06))
        for x in (-0.11, 0.11):
            rod(0.03, 0.042, paint("#161617", 0.7), at=(x, -0.13, middle - 0.04), turn=(pi / 2, 0, 0))
    else:
        for x in (-0.1, 0.0, 0.1):
            rod(
                0.36,
                0.025,
                paint(dice.choice((look.main, look.accent)), 0.3),
                bevel=0.006,
                at=(x, -0.07, middle - 0.18),
            )
    dome = film("#fafcfc", 0.06, 0.12)
    rings = [
        [(x, -d - 0.01, middle + y) for x, y in oblong(0.5 - less, 0.42 - less, 0.05)]
        for d, less in ((0.0, -0.03), (0.004, 0.0), (0.15, 0.03), (0.17, 0.08))
    ]
    skin(
        [*rings, [(x * 0.02, y, middle + (z - middle) * 0.02) for x, y, z in rings[-1]]], dome, capped=False, sharp=0.8
    )
    brick((wide * 0.7, 0.22, 0.012), back, 0.002, at=(0, 0.06, 0.006))


def tin(dice: Random, look: Look) -> None:
    """A can with a pull ring, or a flat round box."""
    steel = metal("#cfd1d4", 0.25)
    flat = dice.random() < 0.4
    wide, high = (0.5, 0.26) if flat else (0.3, dice.uniform(0.6, 0.85))
    rod(high, wide, steel if not flat else metal("#c8a765", 0.3), bevel=0.012)
    face = printed(label(dice, look, int(700 * 2 * pi * wide / high / 2), 700), 0.35, Coat_Weight=0.3)
    for half in (0, 1):
        start = -pi + half * pi
        turned(
            [(wide + 0.0015, 0.03), (wide + 0.0015, high - 0.035)], face, span=(start - pi / 2 + 0.01, start + pi / 2)
        )
    for z in (0.012, high - 0.012):
        hoop(wide, 0.014, steel, at=(0, 0, z))
    if not flat:
        hoop(0.06, 0.012, steel, oval=1.4, at=(0, -0.1, high + 0.015))
        rod(0.012, 0.05, steel, at=(0, 0.02, high))


def tube(dice: Random, look: Look) -> None:
    """Cream in a tube that stands on its cap."""
    wide, high, cap = dice.uniform(0.15, 0.2), dice.uniform(0.75, 0.95), dice.uniform(0.1, 0.16)
    face = paint(look.main, 0.3, Coat_Weight=0.3)
    rod(cap, wide * 0.82, paint(look.accent, 0.3), bevel=0.012)
    rings = []
    for i in range(41):
        t = i / 40
        x, y = wide * (1 + 0.25 * t), wide * (1 - t) ** 0.7 + 0.006
        rings.append([(x * cos(a), y * sin(a), cap + high * t) for a in (2 * pi * k / 72 for k in range(72))])
    skin(rings, face, sharp=0.8)
    brick((wide * 2.5, 0.012, 0.05), face, 0.003, at=(0, 0, cap + high + 0.02))
    picture = printed(label(dice, look, 400, 800, look.main), 0.3)

    def form(x: float, y: float) -> Point:
        t = y / high + 0.5
        across = min(0.999, abs(x) / (wide * (1 + 0.25 * t)))
        return x, -((wide * (1 - t) ** 0.7 + 0.006) * (1 - across**2) ** 0.5 + 0.002), cap + high * t

    sheet(wide * 1.5, high * 0.84, picture, lambda x, y: form(x, y - 0.02), 40)
