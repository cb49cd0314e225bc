"""Glass that the place behind it is seen through."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import Look, label
from tests.bench.rendering.materials import glass, metal, paint, printed
from tests.bench.rendering.shapes import Point, brick, hoop, oblong, plate, rod, skin, tube, turned


def _liquid(dice: Random) -> str:
    return dice.choice(("#f3e2a8", "#8f1d2c", "#e9f4f2", "#d98b3a", "#f6d9df"))


def goblet(dice: Random, look: Look) -> None:
    """A wine glass."""
    bowl, stem = dice.uniform(0.2, 0.27), dice.uniform(0.32, 0.45)
    high = stem + dice.uniform(0.38, 0.5)
    outer = [
        (0, 0),
        (0.21, 0),
        (0.21, 0.012),
        (0.03, 0.03),
        (0.017, 0.09),
        (0.017, stem - 0.06),
        (0.04, stem),
        (bowl, stem + 0.17),
        (bowl * 0.82, high),
    ]
    inner = [(bowl * 0.82 - 0.008, high), (bowl - 0.009, stem + 0.172), (0.04, stem + 0.018), (0, stem + 0.015)]
    turned([*outer, *inner], glass(), 0.05, 96)
    if dice.random() < 0.6:
        level = stem + 0.17
        turned(
            [(0, stem + 0.0155), (0.04, stem + 0.0185), (bowl - 0.0095, level), (0, level)],
            glass(_liquid(dice), bends=1.34),
            0.012,
        )


def tumbler(dice: Random, look: Look) -> None:
    """A drinking glass, water and ice in it or not."""
    foot, top, high = dice.uniform(0.24, 0.3), dice.uniform(0.28, 0.36), dice.uniform(0.6, 0.9)
    turned(
        [(0, 0), (foot, 0), (top, high), (top - 0.018, high), (foot - 0.02, 0.06), (0, 0.06)],
        glass(dice.choice(("#ffffff", "#f0fbf8"))),
        0.012,
    )
    if dice.random() < 0.7:
        level = high * dice.uniform(0.4, 0.75)
        rim = foot - 0.021 + (top - foot) * level / high
        turned([(0, 0.061), (foot - 0.022, 0.061), (rim, level), (0, level)], glass(_liquid(dice), bends=1.33), 0.008)
    if dice.random() < 0.4:
        tube([(-0.1, 0, 0.08), (0.25, 0.02, high + 0.3)], 0.014, paint(look.main, 0.4), round_=False)


def flacon(dice: Random, look: Look) -> None:
    """Scent in a heavy bottle, the cap opaque."""
    wide, deep, high = dice.uniform(0.45, 0.65), dice.uniform(0.2, 0.28), dice.uniform(0.5, 0.75)

    def block(shrink: float, low: float, top: float) -> list[list[Point]]:
        return [
            [(x, y, z) for x, y in oblong(wide - shrink - less, deep - shrink - less, 0.05)]
            for z, less in ((low, 0.03), (low + 0.015, 0.0), (top - 0.03, 0.0), (top, 0.05))
        ]

    skin(block(0, 0, high), glass(), sharp=0.6)
    skin(
        block(0.09, 0.06, high * dice.uniform(0.6, 0.85)),
        glass(dice.choice(("#f2d7a6", "#f6cdd2", "#cfe6ec")), bends=1.36),
        sharp=0.6,
    )
    rod(0.07, 0.075, metal("#c9a45c", 0.2), at=(0, 0, high - 0.002))
    if dice.random() < 0.5:
        brick((0.2, 0.17, 0.22), paint(look.accent, 0.2, Coat_Weight=0.6), 0.02, at=(0, 0, high + 0.17))
    else:
        rod(0.24, 0.12, metal("#d8d8da", 0.18), bevel=0.02, at=(0, 0, high + 0.06))
    plate(
        oblong(wide * 0.5, high * 0.3, 0.01),
        0.004,
        paint("#f6f2ea", 0.5),
        bevel=0.001,
        at=(0, -deep / 2 - 0.002, high * 0.42),
        turn=(pi / 2, 0, 0),
    )


def water(dice: Random, look: Look) -> None:
    """A clear bottle of water with a label and a screw cap."""
    wide, high = 0.155, dice.uniform(0.68, 0.78)
    waist = [(wide - 0.012 * (i % 2), 0.12 + 0.045 * i) for i in range(5)]
    body = [(0, 0), (wide, 0), *waist, (wide, 0.36), (wide, high - 0.18), (0.06, high), (0.055, high + 0.08)]
    inner = [(max(0.0, r - 0.006), z + (0.008 if z == 0 else 0)) for r, z in reversed(body)]
    turned([*body, *inner], glass("#f6fcff", bends=1.3), 0.02)
    rod(0.08, 0.068, paint(look.main, 0.4), bevel=0.008, at=(0, 0, high + 0.03))
    hoop(0.066, 0.008, paint(look.main, 0.4), at=(0, 0, high + 0.018))
    face = printed(label(dice, look, 1200, 260), 0.4)
    turned([(wide + 0.002, 0.37), (wide + 0.002, high - 0.2)], face)


def vase(dice: Random, look: Look) -> None:
    """A tinted vase, its wall waved."""
    tint = dice.choice(("#d7ecdf", "#cfe0f0", "#f1dcc0", "#e6d6ea"))
    waist, high, folds = dice.uniform(0.12, 0.2), dice.uniform(0.7, 1.0), dice.choice((0, 6, 9))
    rings = []
    for inside in (False, True):
        steps = range(41) if not inside else range(40, 1, -1)
        for step in steps:
            t = step / 40
            r = 0.2 + (waist - 0.2) * sin(pi * min(1, t * 1.1)) + 0.12 * max(0.0, t - 0.6) - (0.014 if inside else 0)
            rings.append(
                [
                    (
                        r * (1 + 0.05 * t * cos(folds * a)) * cos(a),
                        r * (1 + 0.05 * t * cos(folds * a)) * sin(a),
                        t * high,
                    )
                    for a in (2 * pi * i / 96 for i in range(96))
                ]
            )
    skin(rings, glass(tint), sharp=0.9)
