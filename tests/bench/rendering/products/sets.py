"""Several things in one photograph, all of them the subject."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import FAMILIES, Look, label
from tests.bench.rendering.materials import Stuff, metal, paint, printed, wood
from tests.bench.rendering.shapes import ball, brick, card, curved, rod, tube, turned


def tableware(dice: Random, look: Look) -> None:
    glaze = [paint(colour, 0.2, Coat_Weight=0.6) for colour in (look.main, look.second, look.accent)]
    plate = [(0, 0.012), (0.26, 0.012), (0.28, 0.0), (0.3, 0.0), (0.48, 0.06), (0.485, 0.07), (0.3, 0.025), (0, 0.025)]
    turned(plate, glaze[0], 0.01, at=(-0.5, 0.15, 0))
    bowl = [(0, 0), (0.13, 0), (0.14, 0.03), (0.28, 0.2), (0.27, 0.21), (0.13, 0.05), (0, 0.04)]
    turned(bowl, glaze[1], 0.03, at=(-0.5, 0.15, 0.026) if dice.random() < 0.5 else (0.05, 0.5, 0))
    cup = [(0, 0), (0.13, 0), (0.17, 0.28), (0.158, 0.28), (0.12, 0.03), (0, 0.03)]
    x, y = 0.42, dice.uniform(-0.2, 0.1)
    turned(cup, glaze[2], 0.03, at=(x, y, 0))
    tube(
        curved([(x + 0.15, y, 0.22), (x + 0.27, y, 0.22), (x + 0.26, y, 0.09), (x + 0.14, y, 0.06)], 8), 0.02, glaze[2]
    )
    for k in range(dice.randint(1, 2)):
        steel = metal("#d4d6d9", 0.15)
        at = (0.13 + 0.14 * k, -0.42, 0.012)
        tube([at, (at[0] + 0.05, at[1] + 0.4, 0.014)], 0.012, steel, round_=False)
        ball(0.07, steel, at=(at[0] + 0.058, at[1] + 0.46, 0.018), stretch=(0.75, 1.25, 0.22), turn=(0, 0, -0.12))


def cosmetics(dice: Random, look: Look) -> None:
    """Bottle, jar, tube and a soap of one range."""
    body, lid = paint(look.main, 0.3, Coat_Weight=0.4), paint(look.accent, 0.3)
    turned([(0, 0), (0.16, 0), (0.16, 0.55), (0.07, 0.64), (0.07, 0.68), (0, 0.68)], body, 0.03, at=(-0.3, 0.1, 0))
    rod(0.15, 0.085, lid, bevel=0.012, at=(-0.3, 0.1, 0.67))
    turned(
        [(0.1615, 0.1), (0.1615, 0.45)],
        printed(label(dice, look, 600, 700)),
        span=(-pi / 2 - 1, -pi / 2 + 1),
        at=(-0.3, 0.1, 0),
    )
    rod(0.2, 0.21, paint(look.second, 0.2, Coat_Weight=0.5), bevel=0.02, at=(0.14, -0.12, 0))
    rod(0.09, 0.205, lid, bevel=0.015, at=(0.14, -0.12, 0.2))
    brick((0.2, 0.2, 0.5), paint(look.second, 0.5), 0.004, at=(0.38, 0.28, 0.25))
    card(0.19, 0.48, printed(label(dice, look, 360, 900)), at=(0.38, 0.179, 0.25))
    if dice.random() < 0.7:
        brick(
            (0.26, 0.17, 0.09),
            paint("#efe3cd", 0.5, Subsurface_Weight=0.2),
            0.03,
            at=(-0.2, -0.32, 0.045),
            turn=(0, 0, dice.uniform(-0.5, 0.5)),
        )


def pencils(dice: Random, look: Look) -> None:
    """Pencils side by side, or fanned out."""
    count = dice.randint(6, 10)
    pale = wood(("#dcb88a", "#c79c68", "#ead0a8"), 10, along="Z")
    for k in range(count):
        colour = dice.choice(dice.choice(FAMILIES))
        s = k - (count - 1) / 2
        turn = (pi / 2, 0, s * 0.05)
        at = (s * 0.07, 0.45, 0.03)
        rod(0.85, 0.03, paint(colour, 0.25, Coat_Weight=0.5), at=at, turn=turn)
        way = (sin(s * 0.05), -cos(s * 0.05))
        for start, long_, wide, tip, stuff in (
            (0.85, 0.1, 0.03, 0.009, pale),
            (0.95, 0.03, 0.009, 0.001, paint(colour, 0.6)),
        ):
            rod(long_, wide, stuff, tip=tip, at=(at[0] + start * way[0], at[1] + start * way[1], 0.03), turn=turn)
        rod(0.05, 0.031, metal("#c9a45c", 0.3), at=(at[0] - 0.03 * way[0], at[1] - 0.03 * way[1], 0.03), turn=turn)


def blocks(dice: Random, look: Look) -> None:
    """Wooden bricks, built up by a child."""
    colours = [look.main, look.accent, look.second, "#d9b98a", *dice.choice(FAMILIES)]
    at = [
        (-0.32, 0.0, 0.0),
        (0.0, 0.02, 0.0),
        (0.3, -0.03, 0.0),
        (-0.16, 0.0, 0.28),
        (0.16, 0.0, 0.28),
        (0.0, 0.0, 0.56),
    ]
    for number, (x, y, z) in enumerate(at):
        stuff = Stuff(dice.choice(colours), 0.5).rough(60, 0.001).made
        turn = dice.uniform(-0.2, 0.2)
        style = dice.choice(("cube", "cube", "rod")) if number < 5 else "roof"
        if style == "cube":
            brick((0.26, 0.26, 0.28), stuff, 0.012, at=(x, y, z + 0.14), turn=(0, 0, turn))
        elif style == "rod":
            rod(0.28, 0.13, stuff, bevel=0.01, at=(x, y, z))
        else:
            rod(0.26, 0.19, stuff, tip=0.01, at=(x, y, z))
    ball(0.12, paint(dice.choice(colours), 0.4), at=(dice.choice((-0.5, 0.5)), -0.32, 0.12))


def fruit(dice: Random, look: Look) -> None:
    """Apples, lemons and a banana's like, lying together."""
    red = Stuff("#b3261e", 0.3, Coat_Weight=0.4)
    red.blended(red.noise(3, 4, (1, 1, 0.4)), ("#a81f1a", "#c8452b", "#d9a441"), 0.35, 0.75)
    stem = paint("#5a3d22", 0.7)
    for x, y in ((-0.3, 0.05), (0.02, -0.12))[: dice.randint(1, 2)]:
        turned(
            [(0, 0.05), (0.07, 0.01), (0.14, 0.03), (0.21, 0.2), (0.18, 0.34), (0.07, 0.37), (0, 0.32)],
            red.made,
            0.08,
            at=(x, y, 0),
        )
        tube([(x, y, 0.32), (x + 0.02, y, 0.4), (x + 0.05, y, 0.44)], 0.01, stem)
    lemon = Stuff("#edc531", 0.45, Subsurface_Weight=0.1).rough(50, 0.006).made
    for x, y, turn in ((0.3, 0.12, 0.4), (0.32, -0.25, 1.9))[: dice.randint(1, 2)]:
        turned(
            [(0, -0.24), (0.035, -0.22), (0.13, -0.12), (0.155, 0), (0.13, 0.12), (0.035, 0.22), (0, 0.24)],
            lemon,
            0.05,
            at=(x, y, 0.155),
            turn=(pi / 2, 0, turn),
        )
    line = curved([(-0.35, -0.42, 0.06), (-0.1, -0.5, 0.075), (0.15, -0.45, 0.075), (0.32, -0.4, 0.07)], 8)
    if dice.random() < 0.7:
        tube(
            line,
            0.07,
            paint("#e8c53a", 0.5),
            widths=[
                0.25 + 0.75 * sin(pi * min(1.0, max(0.0, 0.06 + 0.88 * i / (len(line) - 1)))) ** 0.5
                for i in range(len(line))
            ],
        )
