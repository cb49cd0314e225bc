"""Things with legs, and a lamp."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random
from typing import Any

from tests.bench.rendering.look import Look
from tests.bench.rendering.materials import cloth, metal, paint, wood
from tests.bench.rendering.shapes import (
    ball,
    brick,
    curved,
    hoop,
    oblong,
    pillow,
    plate,
    rod,
    sheet,
    thicken,
    tube,
    turned,
)


def _leg(foot: tuple[float, float], head: tuple[float, float], high: float, thick: float, stuff: Any) -> None:
    tube([(*foot, 0.0), (*head, high)], thick, stuff, widths=(0.7, 1.1), round_=False)


def _stuff(dice: Random, look: Look) -> Any:
    return dice.choice((wood(look.wood, 6), wood(look.wood, 6), paint(look.main, 0.4), paint("#222325", 0.4)))


def _back(dice: Random, look: Look, wide: float, seat: float, stuff: Any) -> None:
    """Two posts, and between them spindles, slats or a shell."""
    top, style = seat + dice.uniform(0.36, 0.48), dice.choice(("spindles", "slats", "shell"))
    for x in (-1, 1):
        side = [(wide / 2 - 0.04, 0.19, seat), (wide / 2 - 0.03, 0.24, (seat + top) / 2), (wide / 2 - 0.04, 0.28, top)]
        tube(curved([(x * u, y, z) for u, y, z in side], 6), 0.015, stuff)
    if style == "spindles":
        for k in range(1, 6):
            x = (wide - 0.1) * (k / 6 - 0.5)
            tube([(x, 0.19, seat), (x, 0.275, top)], 0.008, stuff, round_=False)
        ends = wide / 2 - 0.03
        tube(curved([(-ends, 0.27, top), (0, 0.31, top + 0.03), (ends, 0.27, top)], 8), 0.022, stuff)
    elif style == "slats":
        for k in range(3):
            z = seat + (top - seat) * (0.45 + 0.25 * k)
            y = 0.19 + 0.09 * (z - seat) / (top - seat)
            brick((wide - 0.06, 0.016, 0.06), stuff, 0.006, at=(0, y, z), turn=(-0.2, 0, 0))
    else:
        middle = (seat + top) / 2 + 0.03
        shell = sheet(
            wide,
            top - seat - 0.08,
            cloth(look.main),
            lambda x, y: (x, 0.25 + 0.1 * y - 0.5 * x * x, middle + y),
            40,
        )
        thicken(shell, 0.03)


def chair(dice: Random, look: Look) -> None:
    stuff, wide, seat = _stuff(dice, look), dice.uniform(0.42, 0.5), dice.uniform(0.42, 0.47)
    splay = dice.uniform(0.02, 0.07)
    for x in (-1, 1):
        for y in (-1, 1):
            foot = (x * (wide / 2 - 0.03 + splay), y * (0.19 + splay))
            _leg(foot, (x * (wide / 2 - 0.05), y * 0.17), seat, 0.018, stuff)
    plate(oblong(wide, 0.43, 0.06), 0.03, stuff, bevel=0.012, at=(0, 0, seat))
    _back(dice, look, wide, seat, stuff)
    if dice.random() < 0.4:
        pillow((wide / 2 - 0.02, 0.2, 0.03), cloth(look.accent), 0.5, 0.6, at=(0, 0, seat + 0.04))


def stool(dice: Random, look: Look) -> None:
    stuff, high, legs = _stuff(dice, look), dice.uniform(0.55, 0.75), dice.choice((3, 4))
    rod(0.04, 0.19, stuff, bevel=0.012, at=(0, 0, high))
    for k in range(legs):
        a = 2 * pi * k / legs + pi / 4
        _leg((0.22 * cos(a), 0.22 * sin(a)), (0.12 * cos(a), 0.12 * sin(a)), high, 0.017, stuff)
    hoop(0.178, 0.01, metal("#b9bbc0", 0.3) if dice.random() < 0.5 else stuff, at=(0, 0, high * 0.38))


def table(dice: Random, look: Look) -> None:
    """A side table: round or square top, legs of wood or hairpins of wire."""
    high, wide = dice.uniform(0.45, 0.6), dice.uniform(0.5, 0.8)
    top = dice.choice((wood(look.wood, 5), wood(look.wood, 5), paint("#eceae6", 0.2, Coat_Weight=0.5)))
    is_round = dice.random() < 0.5
    if is_round:
        rod(0.03, wide / 2, top, bevel=0.01, at=(0, 0, high))
    else:
        brick((wide, wide * 0.7, 0.035), top, 0.008, at=(0, 0, high + 0.015))
    wire, thin = metal("#26272a", 0.35), dice.random() < 0.5
    for x in (-1, 1):
        for y in (-1, 1):
            u, v = (0.33, 0.33) if is_round else (0.42, 0.27)
            if thin:
                for d in (-0.035, 0.035):
                    tube(
                        [(x * wide * u + d, y * wide * v, high), (x * wide * (u + 0.03), y * wide * (v + 0.03), 0.006)],
                        0.006,
                        wire,
                        round_=False,
                    )
            else:
                _leg((x * wide * u * 1.1, y * wide * v * 1.1), (x * wide * u, y * wide * v), high, 0.02, top)
    if not is_round and dice.random() < 0.4:
        brick((wide * 0.8, wide * 0.5, 0.02), top, 0.006, at=(0, 0, high * 0.35))


def lamp(dice: Random, look: Look) -> None:
    """With a shade on a foot, or one with joints."""
    if dice.random() < 0.5:
        foot = dice.choice((paint(look.main, 0.15, Coat_Weight=0.8), metal("#c8a765", 0.25)))
        profile = [
            (0, 0),
            (0.15, 0),
            (0.15, 0.02),
            (0.06, 0.05),
            (0.11, 0.18),
            (0.1, 0.28),
            (0.03, 0.4),
            (0.02, 0.5),
            (0, 0.5),
        ]
        turned(profile, foot, 0.04)
        shade = turned(
            [(dice.uniform(0.22, 0.27), 0.44), (dice.uniform(0.13, 0.2), 0.78)], cloth(look.second, 200, 0.002)
        )
        thicken(shade, 0.006)
        rod(0.3, 0.01, metal("#c8a765", 0.25), at=(0, 0, 0.5))
        hoop(0.03, 0.006, metal("#c8a765", 0.25), at=(0, 0, 0.8))
        return
    stuff = paint(dice.choice((look.main, "#26272a", "#c9cbd0")), 0.35, Coat_Weight=0.3)
    rod(0.035, 0.15, stuff, bevel=0.012)
    elbow, head = (0.22, 0, 0.52), (-0.12, 0, 0.85)
    for y in (-0.02, 0.02):
        tube([(0, y, 0.03), (elbow[0], y, elbow[2])], 0.008, stuff, round_=False)
        tube([(elbow[0], y, elbow[2]), (head[0], y, head[2])], 0.008, stuff, round_=False)
    ball(0.03, metal(), at=elbow)
    ball(0.025, metal(), at=head)
    thicken(
        turned(
            [(0.045, 0.0), (0.05, 0.06), (0.13, 0.2)],
            stuff,
            0.02,
            at=(head[0] - 0.02, 0, head[2] + 0.02),
            turn=(0, pi + 0.6, 0),
        ),
        0.006,
    )
    ball(0.05, paint("#f7f2e2", 0.3), at=(head[0] - 0.09, 0, head[2] - 0.1))


def shelf(dice: Random, look: Look) -> None:
    """An open shelf: uprights, boards and the holes between."""
    stuff, frame = wood(look.wood, 5), dice.choice((metal("#26272a", 0.4), wood(look.wood, 5, along="Z")))
    wide, deep, high, boards = dice.uniform(0.5, 0.75), 0.26, dice.uniform(0.8, 1.1), dice.choice((3, 4))
    for x in (-1, 1):
        for y in (-1, 1):
            brick((0.022, 0.022, high), frame, 0.004, at=(x * wide / 2, y * deep / 2, high / 2))
    for k in range(boards):
        z = 0.08 + (high - 0.11) * k / (boards - 1)
        brick((wide + 0.02, deep + 0.02, 0.022), stuff, 0.004, at=(0, 0, z))
    for x in (-1, 1):
        tube([(x * wide / 2, -deep / 2, 0.1), (x * wide / 2, deep / 2, high - 0.05)], 0.006, frame, round_=False)
