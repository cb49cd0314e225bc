"""Bottles and jars that nothing shines through."""

from __future__ import annotations

from math import pi
from random import Random

from tests.bench.rendering.look import Look, label
from tests.bench.rendering.materials import metal, paint, printed
from tests.bench.rendering.shapes import curved, hoop, rod, tube, turned


def _wrap(dice: Random, look: Look, radius: float, low: float, high: float, wide: float = 2.4) -> None:
    """A label about the front."""
    if look.plain:
        return
    face = printed(label(dice, look, int(900 * wide * radius / (high - low) * 0.8), 900))
    turned([(radius + 0.0015, low), (radius + 0.0015, high)], face, span=(-pi / 2 - wide / 2, -pi / 2 + wide / 2))


def pump(dice: Random, look: Look) -> None:
    wide, tall = dice.uniform(0.22, 0.34), dice.uniform(0.75, 1.05)
    turned(
        [(0, 0), (wide, 0), (wide, tall), (0.11, tall + 0.09), (0.11, tall + 0.15), (0, tall + 0.15)],
        paint(look.main, 0.35, Coat_Weight=0.3),
        0.06,
    )
    _wrap(dice, look, wide, 0.15 * tall, 0.82 * tall)
    dark = paint(look.accent, 0.3)
    rod(0.12, 0.13, dark, bevel=0.02, at=(0, 0, tall + 0.13))
    rod(0.16, 0.035, metal(), at=(0, 0, tall + 0.24))
    rod(0.07, 0.085, dark, bevel=0.025, at=(0, 0, tall + 0.38))
    x = dice.choice((-1, 1))
    tube(
        curved(
            [
                (0, 0, tall + 0.42),
                (x * 0.16, -0.03, tall + 0.43),
                (x * 0.3, -0.06, tall + 0.4),
                (x * 0.33, -0.065, tall + 0.35),
            ],
            8,
        ),
        0.03,
        dark,
    )


def jar(dice: Random, look: Look) -> None:
    wide, tall = dice.uniform(0.32, 0.5), dice.uniform(0.35, 0.6)
    turned(
        [(0, 0), (wide, 0), (wide, tall), (wide * 0.88, tall + 0.03), (0, tall + 0.03)],
        paint(look.main, 0.25, Coat_Weight=0.6),
        0.05,
    )
    _wrap(dice, look, wide, 0.12 * tall, 0.85 * tall, 2.8)
    lid = metal("#caa45f", 0.3) if dice.random() < 0.5 else paint(look.accent, 0.35)
    high = dice.uniform(0.12, 0.2)
    rod(high, wide * 0.95, lid, bevel=0.02, at=(0, 0, tall + 0.02))
    for i in range(3):
        hoop(wide * 0.951, 0.006, lid, at=(0, 0, tall + 0.05 + i * high / 5))


def flask(dice: Random, look: Look) -> None:
    wide, tall = dice.uniform(0.17, 0.23), dice.uniform(0.8, 1.05)
    body = paint(look.main, dice.uniform(0.3, 0.6), Coat_Weight=0.2)
    turned(
        [(0, 0), (wide, 0), (wide, tall), (wide * 0.72, tall + 0.12), (wide * 0.72, tall + 0.15), (0, tall + 0.15)],
        body,
        0.05,
    )
    hoop(wide * 1.002, 0.008, metal(), at=(0, 0, 0.06))
    cap = paint(look.accent, 0.45)
    rod(0.15, wide * 0.76, cap, bevel=0.02, at=(0, 0, tall + 0.15))
    top = tall + 0.27
    tube(
        curved(
            [
                (-wide * 0.7, 0, top - 0.05),
                (-wide * 0.6, 0, top + 0.1),
                (0, 0, top + 0.16),
                (wide * 0.6, 0, top + 0.1),
                (wide * 0.7, 0, top - 0.05),
            ],
            8,
        ),
        0.024,
        cap,
    )
    _wrap(dice, look, wide, 0.35 * tall, 0.7 * tall, 1.6)


def wine(dice: Random, look: Look) -> None:
    wide, tall = 0.165, dice.uniform(0.6, 0.7)
    colour = dice.choice(("#10180f", "#1a0d0c", "#0d1115", "#2a2f16"))
    turned(
        [(0, 0), (wide, 0), (wide, tall), (0.06, tall + 0.16), (0.055, 1.08), (0.062, 1.08), (0.062, 1.11), (0, 1.11)],
        paint(colour, 0.08, Coat_Weight=1.0),
        0.04,
    )
    _wrap(dice, look, wide, 0.12, tall - 0.12, 2.6)
    turned([(0.063, 0.9), (0.0645, 1.115), (0, 1.115)], paint(look.accent, 0.35), 0.01)


def spray(dice: Random, look: Look) -> None:
    wide, tall = 0.17, dice.uniform(0.7, 0.9)
    rod(tall, wide, paint(look.main, 0.25, Coat_Weight=0.5), bevel=0.012)
    _wrap(dice, look, wide, 0.06, tall - 0.08, 5.8)
    hoop(wide, 0.012, metal(), at=(0, 0, tall - 0.004))
    hoop(wide, 0.012, metal(), at=(0, 0, 0.012))
    turned([(wide * 0.95, tall), (0.09, tall + 0.07), (0, tall + 0.07)], metal("#d5d6d8", 0.25), 0.02)
    rod(0.14, 0.075, paint(look.accent, 0.4), bevel=0.02, at=(0, 0, tall + 0.06))
    rod(0.03, 0.012, paint("#e8e8e8", 0.4), at=(0, -0.08, tall + 0.15), turn=(pi / 2, 0, 0))
