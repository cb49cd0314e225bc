"""Plants in pots and vases."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random
from typing import Any

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import Stuff, paint
from tests.bench.rendering.shapes import Point, curved, rod, sheet, skin, tube, turned

GREENS = ("#3f7d3a", "#5c8f3f", "#2f5d3a", "#7fa35a", "#4b7358")


def _pot(dice: Random, look: Look, wide: float, high: float) -> None:
    stuff = dice.choice(
        (Stuff("#b8683f", 0.85).rough(60, 0.002).made, paint(look.main, 0.25, Coat_Weight=0.5), paint("#efede8", 0.4))
    )
    turned(
        [(0, 0), (wide * 0.72, 0), (wide, high), (wide - 0.025, high), (wide - 0.05, high - 0.05), (0, high - 0.05)],
        stuff,
        0.012,
    )
    rod(0.01, wide - 0.045, Stuff("#3a2a20", 1.0).rough(40, 0.02).made, at=(0, 0, high - 0.055))


def leaf(
    root: Point, way: float, rise: float, long_: float, wide: float, stuff: Any, bend: float = 0.8, split: int = 0
) -> None:
    """A blade from its root outwards: it starts at `rise` radians above the horizon and bends down."""

    def form(u: float, v: float) -> Point:
        t, s = v / long_ + 0.5, u / wide * 2
        across = wide / 2 * s * max(0.02, sin(pi * min(0.999, 0.04 + 0.96 * t)) ** 0.8) * (1 - 0.35 * t)
        if split:
            across *= 0.55 + 0.45 * abs(cos(split * pi * t))
        angle = rise - bend * t
        along, up = long_ * t * cos(rise - bend * t / 2), long_ * t * sin(rise - bend * t / 2)
        up += 0.25 * abs(across) * cos(angle)
        x, y = along * cos(way) - across * sin(way), along * sin(way) + across * cos(way)
        return root[0] + x, root[1] + y, root[2] + up

    cells = 12
    sheet(wide, long_, stuff, form, cells if long_ / wide < 5 else 8, 0.002)


def _green(dice: Random) -> Any:
    one, other = dice.sample(GREENS, 2)
    stuff = Stuff(one, 0.4, Subsurface_Weight=0.05)
    return stuff.blended(stuff.noise(9), (one, other), 0.35, 0.65).made


def leafy(dice: Random, look: Look) -> None:
    """Broad leaves on stems."""
    _pot(dice, look, 0.24, 0.3)
    green, stem = _green(dice), paint("#54743c", 0.5)
    for k in range(dice.randint(14, 22)):
        way, high, out = 2.4 * k + dice.uniform(-0.3, 0.3), dice.uniform(0.45, 1.0), dice.uniform(0.05, 0.25)
        tip = (out * cos(way), out * sin(way), high)
        tube(
            curved([(0.05 * cos(way), 0.05 * sin(way), 0.24), (0.4 * tip[0], 0.4 * tip[1], 0.5 * high + 0.1), tip], 6),
            0.009,
            stem,
        )
        leaf(
            tip,
            way,
            dice.uniform(0.1, 0.8),
            dice.uniform(0.24, 0.38),
            dice.uniform(0.14, 0.24),
            green,
            dice.uniform(0.6, 1.4),
        )


def cactus(dice: Random, look: Look) -> None:
    """Ribbed columns with spines."""
    _pot(dice, look, 0.22, 0.26)
    green = paint(dice.choice(GREENS), 0.6)
    spine = paint("#e9dfc4", 0.6)
    ribs = dice.choice((9, 11, 13))
    for column in range(dice.randint(1, 3)):
        x, y = (0.0, 0.0) if column == 0 else (0.12 * cos(2.5 * column), 0.12 * sin(2.5 * column))
        thick, high = (
            dice.uniform(0.09, 0.14) / (1 + 0.5 * (column > 0)),
            dice.uniform(0.4, 0.7) / (1 + 0.7 * (column > 0)),
        )
        rings = []
        for i in range(29):
            t = i / 28
            r = thick * min(1.0, (1.001 - t) * 6) ** 0.5
            rings.append(
                [
                    (
                        x + r * (1 + 0.14 * cos(ribs * a)) * cos(a),
                        y + r * (1 + 0.14 * cos(ribs * a)) * sin(a),
                        0.2 + high * t,
                    )
                    for a in (2 * pi * k / 96 for k in range(96))
                ]
            )
        skin(rings, green, sharp=3.2)
        for rib in range(ribs):
            a = 2 * pi * rib / ribs
            for step in range(3, 26, 2):
                t = step / 28
                r = thick * 1.14 * min(1.0, (1.001 - t) * 6) ** 0.5
                root = (x + r * cos(a), y + r * sin(a), 0.2 + high * t)
                for lean in (-0.6, 0.0, 0.6):
                    b = a + lean
                    tube(
                        [root, (root[0] + 0.05 * cos(b), root[1] + 0.05 * sin(b), root[2] + 0.02)],
                        0.0016,
                        spine,
                        round_=False,
                    )


def palm(dice: Random, look: Look) -> None:
    """Fronds of narrow leaflets."""
    _pot(dice, look, 0.2, 0.26)
    green = _green(dice)
    for k in range(dice.randint(7, 10)):
        way, rise, long_ = 2.4 * k + dice.uniform(-0.2, 0.2), dice.uniform(0.9, 1.4), dice.uniform(0.7, 1.0)
        bend = dice.uniform(0.8, 1.5)
        spine = [
            (long_ * t * cos(rise - bend * t / 2), 0.22 + long_ * t * sin(rise - bend * t / 2))
            for t in (j / 14 for j in range(15))
        ]
        tube([(r * cos(way), r * sin(way), z) for r, z in spine], 0.006, green)
        for j in range(4, 15):
            r, z = spine[j]
            for side in (-1, 1):
                leaf(
                    (r * cos(way), r * sin(way), z),
                    way + side * dice.uniform(0.7, 0.95),
                    0.25,
                    0.26 * (1.15 - abs(j - 8) / 11),
                    0.028,
                    green,
                    0.9,
                )


def tulips(dice: Random, look: Look) -> None:
    """Cut flowers in a vase that is opaque."""
    turned(
        [(0, 0), (0.13, 0), (0.17, 0.16), (0.09, 0.36), (0.12, 0.42), (0.11, 0.42), (0.08, 0.36), (0, 0.3)],
        paint(look.second, 0.2, Coat_Weight=0.5),
        0.04,
    )
    green = _green(dice)
    petal = dice.choice(("#d64550", "#f2b134", "#e88fb0", "#f4f0ea", "#8e4a8b"))
    for k in range(dice.randint(5, 9)):
        way, out = 2.4 * k, dice.uniform(0.05, 0.26)
        top = (out * cos(way), out * sin(way), dice.uniform(0.75, 0.98))
        tube(
            curved([(0.03 * cos(way), 0.03 * sin(way), 0.3), (0.35 * top[0], 0.35 * top[1], 0.55), top], 8),
            0.009,
            green,
        )
        stuff = paint(petal, 0.5, Subsurface_Weight=0.1)
        for j in range(6):
            a = 2 * pi * j / 6
            r = 0.02 if j % 2 else 0.026
            leaf((top[0] + r * cos(a), top[1] + r * sin(a), top[2]), a, 1.25, 0.16, 0.1, stuff, -0.5)
        if k % 2 == 0:
            leaf(
                (0.05 * cos(way + 1), 0.05 * sin(way + 1), 0.36),
                way + 1,
                1.2,
                dice.uniform(0.35, 0.5),
                0.07,
                green,
                1.3,
            )


def fern(dice: Random, look: Look) -> None:
    """A mop of long thin blades that hang over."""
    _pot(dice, look, 0.2, 0.24)
    greens = [_green(dice) for _ in range(2)]
    for k in range(dice.randint(70, 110)):
        way = 2.4 * k + dice.uniform(-0.2, 0.2)
        root = (0.1 * dice.random() * cos(way), 0.1 * dice.random() * sin(way), 0.19)
        leaf(
            root,
            way,
            dice.uniform(0.8, 1.5),
            dice.uniform(0.35, 0.75),
            dice.uniform(0.012, 0.03),
            dice.choice(greens),
            dice.uniform(1.0, 2.4),
        )
