"""Colours and labels by dice."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageFont

FAMILIES = (
    ("#b8483a", "#f1e3cf", "#2d3a45"),
    ("#2f6f73", "#f4f1e8", "#d9a441"),
    ("#3b4f8a", "#e8ecf4", "#e07a5f"),
    ("#7d8f69", "#f6f2e4", "#4a3b2a"),
    ("#d8a7a1", "#fff6f0", "#6d4c5b"),
    ("#e3b23c", "#2b2b2b", "#f7f3e9"),
    ("#55434f", "#e6d3c5", "#c08457"),
    ("#8fb8c9", "#fdfdfb", "#26495c"),
    ("#c75b7a", "#fbe9ee", "#3c2a3e"),
    ("#4f7942", "#efe9d6", "#c24d2c"),
    ("#e9e4da", "#8a6b4d", "#3d3a36"),
    ("#1f2933", "#d6dde3", "#cf6a32"),
)
WHITES = (("#f4f4f2", "#ffffff", "#d9d9d6"), ("#efedea", "#fafafa", "#c9c7c3"))
BLACKS = (("#131315", "#1d1d20", "#3a3a3e"), ("#18181a", "#101012", "#2c2f33"))
WOODS = (("#b98a5a", "#8d6239", "#d3ab78"), ("#6b4a2f", "#4a3120", "#8a6341"), ("#d9c19a", "#c2a678", "#ead9b8"))
NAMES = (
    "Alder",
    "Bramble",
    "Cobalt",
    "Drift",
    "Ember",
    "Fathom",
    "Garnet",
    "Harrow",
    "Indigo",
    "Juniper",
    "Kestrel",
    "Linden",
)
WORDS = (
    "pure",
    "daily care",
    "dark roast",
    "sea salt",
    "mild",
    "since 1987",
    "wild herbs",
    "no. 4",
    "for two",
    "hand made",
)


@dataclass(frozen=True)
class Look:
    """Three colours that go together, a wood, and a name to print."""

    main: str
    second: str
    accent: str
    wood: tuple[str, str, str]
    name: str
    plain: bool
    """Whether it is one tone among its like: white on white, black on black."""

    @classmethod
    def of(cls, dice: Random, kind: str) -> Look:
        plain = {"white_on_white": WHITES, "black_on_black": BLACKS}.get(kind)
        return cls(*dice.choice(plain or FAMILIES), dice.choice(WOODS), dice.choice(NAMES), plain is not None)


def label(dice: Random, look: Look, width: int = 700, height: int = 900, ground: str = "") -> Image.Image:
    """A printed face: a name, words, shapes, lines of small print."""
    ground, ink = ground or look.second, look.accent
    picture = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(picture)
    band = dice.uniform(0.1, 0.3) * height
    if dice.random() < 0.7:
        pen.rectangle((0, 0, width, band), fill=look.main)
    for _ in range(dice.randint(1, 4)):
        x, y, r = dice.uniform(0.2, 0.8) * width, dice.uniform(0.55, 0.8) * height, dice.uniform(0.05, 0.16) * height
        pen.ellipse((x - r, y - r, x + r, y + r), fill=dice.choice((look.main, ink)))
    middle = width / 2
    pen.text(
        (middle, 0.42 * height),
        look.name.upper(),
        ink,
        ImageFont.load_default(int(0.12 * min(height, 1.2 * width))),
        anchor="mm",
    )
    pen.text((middle, 0.53 * height), dice.choice(WORDS), ink, ImageFont.load_default(int(0.05 * height)), anchor="mm")
    for line in range(dice.randint(2, 5)):
        y = (0.88 + 0.02 * line) * height
        pen.rectangle((0.2 * width, y, dice.uniform(0.5, 0.8) * width, y + 0.007 * height), fill=ink)
    pen.text(
        (middle, band / 2), dice.choice(WORDS), look.second, ImageFont.load_default(int(0.045 * height)), anchor="mm"
    )
    return picture
