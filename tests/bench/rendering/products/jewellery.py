"""Small things of metal and stones."""

from __future__ import annotations

from itertools import pairwise
from math import atan2, cos, pi, radians, sin
from random import Random

import bpy

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import metal, paint
from tests.bench.rendering.shapes import (
    Point,
    ball,
    brick,
    curved,
    hoop,
    plate,
    put,
    rod,
    skin,
    tube,
    turned,
)

GOLD, ROSE, SILVER = "#e8b85a", "#e3a489", "#d9dbe0"
STONES = ("#b3122d", "#1746a2", "#0f7a4b", "#6a2c91", "#e8eef4", "#17181c")


def _gold(dice: Random) -> object:
    return metal(dice.choice((GOLD, ROSE, SILVER)), dice.uniform(0.08, 0.22))


def _stone(radius: float, colour: str, **where: object) -> None:
    """A brilliant: table, crown, girdle and pavilion in facets, taken as opaque."""
    rings = [
        [(r * cos(a + turn), r * sin(a + turn), z) for a in (2 * pi * i / 8 for i in range(8))]
        for r, z, turn in (
            (0.02, -0.75, 0.0),
            (1.0, -0.02, 0.0),
            (1.0, 0.06, 0.0),
            (0.78, 0.28, pi / 8),
            (0.5, 0.42, 0.0),
        )
    ]
    size = (radius, radius, radius)
    skin(rings, paint(colour, 0.03, Metallic=0.55, Coat_Weight=1.0), sharp=0.05, stretch=size, **where)


def ring(dice: Random, look: Look) -> None:
    gold = _gold(dice)
    thick = dice.uniform(0.035, 0.06)
    hoop(0.45, thick, gold, plane="xz", at=(0, 0, 0.45 + thick), stretch=(1, dice.uniform(1.0, 1.8), 1))
    top = 0.9 + 2 * thick
    size = dice.uniform(0.13, 0.22)
    _stone(size, dice.choice(STONES), at=(0, 0, top + size * 0.7))
    for i in range(dice.choice((4, 6))):
        a = 2 * pi * i / 6 + 0.4
        tube(
            [
                (0.05 * cos(a), 0.05 * sin(a), top - thick),
                (size * cos(a), size * sin(a), top + size * 0.6),
                (size * 0.93 * cos(a), size * 0.93 * sin(a), top + size * 0.85),
            ],
            0.02,
            gold,
            round_=False,
        )
    for side in (-1, 1):
        for k in range(1, 4):
            a = pi / 2 + side * (0.25 + 0.17 * k)
            _stone(
                0.05,
                "#e8eef4",
                at=((0.45 + thick) * cos(a), 0, 0.45 + thick + (0.45 + thick) * sin(a)),
                turn=(0, pi / 2 - a, 0),
            )


def _chain(path: list[Point], link: float, material: object) -> None:
    """Links along a line, every other one turned."""
    for i, (a, b) in enumerate(pairwise(path)):
        angle = atan2(b[1] - a[1], b[0] - a[0])
        hoop(link, link * 0.2, material, oval=0.62, at=a, turn=((pi / 2 - 0.25) * (i % 2) + 0.12, 0, angle))


def necklace(dice: Random, look: Look) -> None:
    """A chain laid out in a loop, a pendant at its lower end."""
    gold = _gold(dice)
    wide, long_ = dice.uniform(0.5, 0.75), dice.uniform(0.8, 1.0)
    line = curved(
        [
            (0, -long_, 0),
            (wide * 0.55, -long_ * 0.35, 0),
            (wide, long_ * 0.25, 0),
            (wide * 0.5, long_ * 0.75, 0),
            (-wide * 0.45, long_ * 0.8, 0),
            (-wide, long_ * 0.2, 0),
            (-wide * 0.6, -long_ * 0.4, 0),
            (0, -long_, 0),
        ],
        40,
    )
    path, last = [], None
    link = 0.03
    for point in line:
        if last is None or (point[0] - last[0]) ** 2 + (point[1] - last[1]) ** 2 > (link * 1.35) ** 2:
            path.append((point[0], point[1], link * 0.55))
            last = point
    _chain(path, link, gold)
    hoop(0.05, 0.012, gold, plane="xy", at=(0, -long_ - 0.05, 0.03))
    if dice.random() < 0.5:
        _stone(0.15, dice.choice(STONES), at=(0, -long_ - 0.22, 0.08))
        hoop(0.155, 0.02, gold, at=(0, -long_ - 0.22, 0.08))
    else:
        heart = [
            (0.16 * sin(t) ** 3, 0.01 * (13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)))
            for t in (2 * pi * i / 60 for i in range(60))
        ]
        plate(heart, 0.05, gold, bevel=0.015, at=(0, -long_ - 0.22, 0.03))


def earrings(dice: Random, look: Look) -> None:
    """A pair of hooks with drops or hoops, lying beside each other."""
    gold, style, colour = _gold(dice), dice.choice(("drop", "hoop", "leaf")), dice.choice(STONES)
    for x in (-0.28, 0.28):
        lean = dice.uniform(-0.2, 0.2)
        holder = put(None, None, at=(x, 0, 0), turn=(0, 0, lean))
        before = set(bpy.context.collection.objects)
        tube(
            curved([(0, 0.35, 0.02), (0.02, 0.5, 0.02), (0.1, 0.56, 0.02), (0.16, 0.48, 0.02), (0.17, 0.3, 0.02)], 10),
            0.012,
            gold,
        )
        if style == "drop":
            ball(0.05, gold, at=(0, 0.32, 0.05))
            tube([(0, 0.3, 0.04), (0, 0.16, 0.05)], 0.01, gold, round_=False)
            turned(
                [(0, 0.26), (0.05, 0.16), (0.12, 0.0), (0.1, -0.09), (0, -0.13)],
                paint(colour, 0.06, Coat_Weight=1.0),
                0.05,
                at=(0, -0.08, 0.12),
                turn=(-pi / 2, 0, 0),
            )
        elif style == "hoop":
            hoop(0.22, 0.024, gold, at=(0, 0.11, 0.03))
            for k in range(5):
                a = radians(-150 + 30 * k)
                ball(0.03, paint(colour, 0.08, Coat_Weight=1.0), at=(0.22 * cos(a), 0.11 + 0.22 * sin(a), 0.04))
        else:
            for k in range(3):
                y = 0.28 - 0.17 * k
                leaf = [(0.08 * sin(pi * i / 24), -0.1 + 0.2 * i / 24) for i in range(25)] + [
                    (-0.08 * sin(pi * i / 24), -0.1 + 0.2 * i / 24) for i in range(23, 0, -1)
                ]
                plate(leaf, 0.02, gold, bevel=0.008, at=(0, y - 0.06, 0.02))
        for thing in set(bpy.context.collection.objects) - before:
            thing.parent = holder


def watch(dice: Random, look: Look) -> None:
    """A wrist watch whose strap is closed, standing on it."""
    case = metal(dice.choice((SILVER, GOLD, "#3a3b3f")), 0.2)
    strap = paint(dice.choice((look.main, "#5a3a26", "#1d1d20")), 0.6)
    rings = []
    for i in range(65):
        a = -pi / 2 + radians(16) + (2 * pi - radians(32)) * i / 64
        wide = 0.17 + 0.06 * abs(cos((a + pi / 2) / 2)) if i else 0.23
        for_r = [(0.46, -wide), (0.46, wide), (0.49, wide), (0.49, -wide)]
        rings.append([(x, r * cos(a + pi) * 0.95, 0.52 + 0.86 * r * sin(a + pi)) for r, x in for_r])
    skin(rings, strap, sharp=0.4)
    turned(
        [(0, 0), (0.3, 0), (0.3, 0.09), (0.27, 0.12), (0.255, 0.1), (0, 0.1)],
        case,
        0.015,
        at=(0, 0, 0.9),
        turn=(0, 0, 0),
    )
    rod(0.004, 0.255, paint(look.second if not look.plain else "#101012", 0.3), at=(0, 0, 1.0))
    for hour in range(12):
        a = 2 * pi * hour / 12
        brick((0.014, 0.05, 0.008), metal(SILVER, 0.2), 0.0, at=(0.21 * sin(a), 0.21 * cos(a), 1.008), turn=(0, 0, -a))
    for long_, wide, a in ((0.13, 0.018, 1.0), (0.19, 0.012, -0.9)):
        brick(
            (wide, long_, 0.008),
            paint(look.accent, 0.3),
            0.0,
            at=(long_ / 2 * sin(a), long_ / 2 * cos(a), 1.014),
            turn=(0, 0, -a),
        )
    rod(0.07, 0.035, case, bevel=0.008, at=(0.29, 0, 0.96), turn=(0, pi / 2, 0))


def bangles(dice: Random, look: Look) -> None:
    """Three or four bracelets lying over each other."""
    for i in range(dice.randint(3, 4)):
        gold = _gold(dice)
        at = (dice.uniform(-0.25, 0.25), dice.uniform(-0.2, 0.2), 0.035 + 0.06 * i)
        radius = dice.uniform(0.42, 0.5)
        turn = (dice.uniform(-0.06, 0.06), dice.uniform(-0.06, 0.06), 0)
        style = dice.choice(("plain", "beads", "twist"))
        if style == "plain":
            hoop(radius, dice.uniform(0.015, 0.03), gold, at=at, turn=turn)
        elif style == "beads":
            count = 44
            pearl = paint(dice.choice(("#f2ece2", *STONES)), 0.12, Coat_Weight=0.8)
            for k in range(count):
                a = 2 * pi * k / count
                ball(pi * radius / count * 0.98, pearl, at=(at[0] + radius * cos(a), at[1] + radius * sin(a), at[2]))
        else:
            for phase in (0.0, pi):
                line = [
                    (
                        (radius + 0.018 * cos(24 * a + phase)) * cos(a),
                        (radius + 0.018 * cos(24 * a + phase)) * sin(a),
                        0.018 * sin(24 * a + phase),
                    )
                    for a in (2 * pi * k / 480 for k in range(480))
                ]
                tube(line, 0.016, gold, closed=True, round_=False, at=at, turn=turn)
