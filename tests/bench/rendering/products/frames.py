"""Thin things with holes to see through."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.bench.rendering.look import Look, label
from tests.bench.rendering.materials import film, metal, paint, printed, wood
from tests.bench.rendering.shapes import Flat, card, curved, hoop, oblong, plate, rod, tube, turned


def spectacles(dice: Random, look: Look) -> None:
    """Open, on the tips of their temples and the rims."""
    thick, wide, high = dice.uniform(0.012, 0.028), dice.uniform(0.44, 0.52), dice.uniform(0.34, 0.44)
    stuff = (
        metal("#c9a66b", 0.25)
        if thick < 0.017
        else paint(dice.choice((look.main, "#1c1a19", "#6b3f22")), 0.2, Coat_Weight=0.6)
    )
    tint = dice.choice(("#ffffff", "#ffffff", "#8d8f86", "#a98f78"))
    corner = dice.uniform(0.1, min(wide, high) / 2 - 0.01)
    for x in (-1, 1):
        outline = oblong(wide, high, corner, 12)
        middle = x * (wide / 2 + 0.07)
        ring = [(middle + u, 0.0, high / 2 + thick + v) for u, v in outline]
        tube(ring, thick, stuff, closed=True, round_=False)
        inner = [(u * 0.985, v * 0.985) for u, v in outline]
        plate(inner, 0.008, film(tint), bevel=0.0, at=(middle, 0, high / 2 + thick), turn=(pi / 2, 0, 0))
        side = x * (wide + 0.07)
        tube(
            curved(
                [
                    (side, 0, high * 0.8),
                    (side + 0.03 * x, 0.05, high * 0.82),
                    (side + 0.02 * x, 0.5, high * 0.8),
                    (side - 0.02 * x, 0.85, high * 0.74),
                    (side - 0.05 * x, 1.05, high * 0.35),
                ],
                10,
            ),
            max(thick, 0.016),
            stuff,
        )
        tube(
            curved([(x * 0.06, 0.01, high * 0.5), (x * 0.045, 0.06, high * 0.45), (x * 0.05, 0.07, high * 0.38)], 6),
            0.008,
            stuff,
        )
    tube(curved([(-0.075, 0, high * 0.72), (0, -0.01, high * 0.8), (0.075, 0, high * 0.72)], 8), thick, stuff)


def picture(dice: Random, look: Look) -> None:
    """An empty frame leaning back a little, or one with a passe-partout and a print."""
    wide, high, bar, deep = dice.uniform(0.7, 1.0), dice.uniform(0.9, 1.2), dice.uniform(0.05, 0.1), 0.05
    stuff = dice.choice((wood(look.wood, 8), metal("#c8a765", 0.35), paint(look.accent, 0.4)))
    empty = dice.random() < 0.6
    outer = oblong(wide, high, 0.004, 2)
    hole = oblong(wide - 2 * bar, high - 2 * bar, 0.004, 2)
    lean = pi / 2 - dice.uniform(0.08, 0.2)
    plate(outer, deep, stuff, [hole], 0.008, at=(0, 0, high / 2), turn=(lean, 0, 0))
    inner = oblong(wide - 2 * bar + 0.02, high - 2 * bar + 0.02, 0.004, 2)
    plate(
        inner,
        0.012,
        paint("#f4f1ea", 0.8),
        [oblong(wide * 0.5, high * 0.5, 0.003, 2)] if empty else [],
        0.001,
        at=(0, 0.006, high / 2),
        turn=(lean, 0, 0),
    )
    if not empty:
        card(
            wide * 0.5,
            high * 0.5,
            printed(label(dice, look), 0.6),
            at=(0, -0.008, high / 2),
            turn=(lean - pi / 2, 0, 0),
        )
    tube([(0, 0.03, high * 0.7), (0, 0.36, 0.0)], 0.018, stuff, round_=False)


def wheel(dice: Random, look: Look) -> None:
    """A bicycle's, upright."""
    tyre, rim = paint("#1b1b1c", 0.75), metal(dice.choice(("#c9cbd0", "#2b2c2f", "#a33b2a")), 0.25)
    up = 0.5
    hoop(0.465, 0.032, tyre, plane="xz", at=(0, 0, up))
    turned(
        [(0.44, -0.018), (0.415, -0.012), (0.405, 0.0), (0.415, 0.012), (0.44, 0.018), (0.44, -0.018)],
        rim,
        at=(0, 0, up),
        turn=(pi / 2, 0, 0),
    )
    steel = metal("#d5d7da", 0.2)
    rod(0.12, 0.018, steel, at=(0, 0.06, up), turn=(pi / 2, 0, 0))
    for y in (-0.035, 0.035):
        rod(0.008, 0.042, steel, at=(0, y + 0.004, up), turn=(pi / 2, 0, 0))
    count = dice.choice((24, 28, 32, 36))
    for i in range(count):
        a, y = 2 * pi * i / count, 0.035 * (1 if i % 2 else -1)
        b = a + (0.55 if i % 4 < 2 else -0.55)
        tube(
            [(0.04 * cos(b), y, up + 0.04 * sin(b)), (0.41 * cos(a), 0, up + 0.41 * sin(a))],
            0.0028,
            steel,
            round_=False,
        )
    if dice.random() < 0.4:
        hoop(0.08, 0.012, metal("#8b8d92", 0.3), plane="xz", at=(0, 0.06, up))


def basket(dice: Random, look: Look) -> None:
    """Of wire, with a handle or without."""
    wire = dice.choice((metal("#cfd1d4", 0.2), paint("#202124", 0.4), metal("#c08a53", 0.25)))
    low, top, high, count = (
        dice.uniform(0.28, 0.36),
        dice.uniform(0.45, 0.55),
        dice.uniform(0.4, 0.6),
        dice.choice((18, 22, 28)),
    )
    oval = dice.uniform(0.65, 1.0)
    for i in range(count):
        a = 2 * pi * i / count
        line = [(0.0, 0.0, 0.01)] if i % 2 == 0 else []
        for r, z in ((low * 0.9, 0.01), (low, 0.04), ((low + top) / 2 + 0.03, high / 2), (top, high)):
            line.append((r * cos(a), oval * r * sin(a), z))
        tube(curved(line, 6), 0.008, wire)
    for r, z, thick in (
        (top, high, 0.017),
        (low * 0.95, 0.012, 0.012),
        ((low + top) / 2 + 0.025, high / 2, 0.008),
        (low * 0.5, 0.01, 0.008),
    ):
        hoop(r, thick, wire, oval=oval, at=(0, 0, z))
    if dice.random() < 0.6:
        tube(
            curved(
                [
                    (-top, 0, high),
                    (-top * 0.8, 0, high + 0.3),
                    (0, 0, high + 0.42),
                    (top * 0.8, 0, high + 0.3),
                    (top, 0, high),
                ],
                10,
            ),
            0.015,
            wire,
        )


def rack(dice: Random, look: Look) -> None:
    """A dish rack or a towel ladder."""
    if dice.random() < 0.5:
        stuff = wood(look.wood, 8, along="Z")
        lean = 0.22
        for x in (-0.24, 0.24):
            rod(1.25, 0.022, stuff, at=(x, 0, 0), turn=(-lean, 0, 0))
        for k in range(5):
            z = 0.2 + 0.23 * k
            rod(0.48, 0.016, stuff, at=(-0.24, z * lean * 1.02, z), turn=(0, pi / 2, 0))
        return
    wire = dice.choice((metal("#d6d8db", 0.2), paint("#26272a", 0.4)))
    for y in (-0.25, 0.25):
        tube([(-0.45, y, 0.06), (0.45, y, 0.06)], 0.013, wire, round_=False)
        tube(curved([(-0.45, y, 0.0), (-0.45, y, 0.3), (0, y, 0.34), (0.45, y, 0.3), (0.45, y, 0.0)], 6), 0.013, wire)
    for k in range(13):
        x = -0.42 + 0.07 * k
        arch: list[Flat] = [
            (-0.25, 0.06),
            (-0.2, 0.07),
            (-0.15, 0.3),
            (-0.1, 0.32),
            (-0.05, 0.1),
            (0.05, 0.1),
            (0.1, 0.32),
            (0.15, 0.3),
            (0.2, 0.07),
            (0.25, 0.06),
        ]
        tube(curved([(x, y, z) for y, z in arch], 5), 0.008, wire)
