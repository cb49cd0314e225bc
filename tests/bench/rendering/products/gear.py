"""Crockery and small machines, also all in one tone."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import Stuff, metal, paint
from tests.bench.rendering.shapes import ball, brick, curved, hoop, rod, tube, turned


def mug(dice: Random, look: Look) -> None:
    wide, high = dice.uniform(0.3, 0.36), dice.uniform(0.65, 0.8)
    glaze = paint(look.main, dice.uniform(0.15, 0.5), Coat_Weight=0.5)
    turned(
        [
            (0, 0),
            (wide * 0.9, 0),
            (wide, high * 0.3),
            (wide, high),
            (wide - 0.025, high),
            (wide - 0.03, 0.05),
            (0, 0.05),
        ],
        glaze,
        0.03,
    )
    side = dice.choice((-1, 1))
    tube(
        curved(
            [
                (side * (wide - 0.02), 0, high * 0.82),
                (side * (wide + 0.2), 0, high * 0.8),
                (side * (wide + 0.2), 0, high * 0.35),
                (side * (wide - 0.02), 0, high * 0.2),
            ],
            10,
        ),
        0.045,
        glaze,
    )


def bowl(dice: Random, look: Look) -> None:
    glaze = paint(look.main, 0.2, Coat_Weight=0.6)
    for k in range(dice.randint(1, 3)):
        turned(
            [(0, 0), (0.2, 0), (0.21, 0.04), (0.48, 0.3), (0.47, 0.315), (0.2, 0.07), (0, 0.06)],
            glaze,
            0.05,
            at=(0.01 * k, 0.0, 0.09 * k),
        )


def speaker(dice: Random, look: Look) -> None:
    wide, deep, high = dice.uniform(0.45, 0.6), dice.uniform(0.35, 0.45), dice.uniform(0.75, 1.0)
    brick((wide, deep, high), paint(look.main, 0.5), 0.025, at=(0, 0, high / 2))
    cone, ring = Stuff(look.second, 0.7).rough(120, 0.002).made, paint(look.accent, 0.35)
    front = -deep / 2
    for z, r in ((high * 0.34, wide * 0.38), (high * 0.78, wide * 0.2)):
        turned(
            [(r, 0.0), (r, 0.02), (r * 0.9, 0.022), (r * 0.86, 0.0), (r * 0.35, -0.05), (0, -0.02)],
            cone,
            at=(0, front, z),
            turn=(pi / 2, 0, 0),
        )
        hoop(r, 0.014, ring, plane="xz", at=(0, front - 0.008, z))
        ball(r * 0.32, paint(look.accent, 0.25), at=(0, front + 0.02, z), stretch=(1, 0.5, 1))
    rod(0.02, 0.02, metal(look.accent, 0.3), at=(wide * 0.36, front, high * 0.6), turn=(pi / 2, 0, 0))


def charger(dice: Random, look: Look) -> None:
    """A plug with a cable in coils."""
    case = paint(look.main, 0.3)
    brick((0.34, 0.34, 0.36), case, 0.06, at=(-0.3, 0.05, 0.18))
    for y in (-0.03, 0.13):
        rod(0.16, 0.022, metal("#c9cbd0", 0.2), at=(-0.47, y, 0.2), turn=(0, -pi / 2, 0))
    turns = 3.25
    line = [(-0.14, 0.05, 0.12), (-0.02, 0.0, 0.04)]
    for k in range(int(turns * 36)):
        a = 2.6 + 2 * pi * k / 36
        r = 0.24 + 0.016 * (k / 36)
        line.append((0.32 + r * cos(a), -0.05 + r * sin(a), 0.022 + 0.012 * (k / 36)))
    line += [(0.66, -0.3, 0.022), (0.72, -0.42, 0.022)]
    tube(line, 0.02, case)
    brick((0.07, 0.13, 0.04), case, 0.012, at=(0.75, -0.48, 0.022), turn=(0, 0, 0.45))
    brick((0.05, 0.07, 0.02), metal("#d0d2d6", 0.25), 0.004, at=(0.79, -0.565, 0.022), turn=(0, 0, 0.45))


def headphones(dice: Random, look: Look) -> None:
    """Over the ears, standing on their cups."""
    shell, soft = paint(look.main, 0.35, Coat_Weight=0.2), Stuff(look.second, 0.85).rough(30, 0.004).made
    line = curved(
        [
            (-0.42, 0, 0.3),
            (-0.44, 0, 0.6),
            (-0.3, 0, 0.88),
            (0, 0, 0.98),
            (0.3, 0, 0.88),
            (0.44, 0, 0.6),
            (0.42, 0, 0.3),
        ],
        10,
    )
    tube(line, 0.032, shell, stretch=(1, 1.6, 1))
    tube(line[12:-12], 0.045, soft, at=(0, 0, -0.02), stretch=(1, 1.5, 1))
    for x in (-1, 1):
        turned(
            [(0, 0), (0.2, 0), (0.24, 0.04), (0.24, 0.1), (0, 0.1)],
            shell,
            0.03,
            at=(x * 0.46, 0, 0.25),
            turn=(0, -x * pi / 2, 0),
        )
        hoop(0.17, 0.06, soft, plane="yz", at=(x * 0.33, 0, 0.25))
        hoop(0.2, 0.01, metal(look.accent, 0.3), plane="yz", at=(x * 0.46, 0, 0.25))


def camera(dice: Random, look: Look) -> None:
    """With a lens, a hump and buttons."""
    body = Stuff(look.main, 0.6).rough(90, 0.003).made
    top = paint(look.second, 0.4)
    brick((0.95, 0.28, 0.52), body, 0.04, at=(0, 0, 0.3))
    brick((0.95, 0.27, 0.1), top, 0.03, at=(0, 0, 0.58))
    brick((0.3, 0.26, 0.16), top, 0.04, at=(0, 0, 0.67))
    brick((0.2, 0.14, 0.5), body, 0.05, at=(-0.4, -0.12, 0.3))
    y = -0.14
    for wide, long_, stuff in ((0.24, 0.16, top), (0.225, 0.26, body), (0.235, 0.36, top)):
        rod(long_, wide, stuff, bevel=0.012, at=(0.05, y, 0.32), turn=(pi / 2, 0, 0))
    for k in range(40):
        a = 2 * pi * k / 40
        brick(
            (0.012, 0.07, 0.012), body, 0.0, at=(0.05 + 0.228 * cos(a), y - 0.2, 0.32 + 0.228 * sin(a)), turn=(0, -a, 0)
        )
    turned(
        [(0.2, 0.0), (0.19, -0.03), (0.12, -0.02), (0, 0.01)],
        paint("#0b0d16", 0.05, Coat_Weight=1.0),
        at=(0.05, y - 0.361, 0.32),
        turn=(pi / 2, 0, 0),
    )
    hoop(0.205, 0.015, top, plane="xz", at=(0.05, y - 0.36, 0.32))
    rod(0.05, 0.045, metal(look.accent, 0.3), bevel=0.01, at=(-0.34, 0, 0.63))
    rod(0.05, 0.075, top, bevel=0.012, at=(0.33, 0, 0.63))
    if not look.plain:
        brick((0.12, 0.01, 0.04), paint("#c9302c", 0.4), 0.002, at=(0, -0.135, 0.68))
