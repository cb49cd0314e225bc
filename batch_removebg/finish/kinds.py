"""The kinds of shadows, as plain values; light, as `options` is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Colour, parse_colour

_BLACK: Colour = (0, 0, 0)
SHADOWS: dict[str, dict[str, Any]] = {
    "drop": {"opacity": 0.35, "softness": 0.03, "length": 0.05, "azimuth": 315, "colour": _BLACK},
    "contact": {"opacity": 0.7, "softness": 0.012, "colour": _BLACK},
    "cast": {"opacity": 0.6, "softness": 0.025, "azimuth": 215, "elevation": 45, "falloff": 0.7, "colour": _BLACK},
    "float": {"opacity": 0.45, "softness": 0.025, "length": 0.08, "gap": 0.07, "colour": _BLACK},
    "reflection": {"opacity": 0.35, "length": 0.35, "gap": 0},
}
"""What each kind takes, and its defaults."""
_RANGES = {"softness": (0, 0.2), "azimuth": (-360, 360), "elevation": (20, 90)}  # of all others: 0 to 1


@dataclass(frozen=True, slots=True)
class Shadow:
    """A shadow under the subject; softness, length and gap are parts of the subject's height."""

    kind: str  # one of `SHADOWS`
    opacity: float = 0.0  # at its darkest
    softness: float = 0.0  # standard deviation of its blur
    length: float = 0.0  # drop: how far it lies off; float: height of the pool; reflection: where it ends
    azimuth: float = 0.0  # degrees the light comes from: 0 behind (drop: above), 90 right
    elevation: float = 90.0  # degrees of the light above the floor
    falloff: float = 0.0  # how much of its opacity is gone at the far end
    gap: float = 0.0  # between the subject and it
    colour: Colour = _BLACK


def parse_shadow(text: str) -> Shadow | None:
    """The shadow of `KIND[,KEY=VALUE…]`, None for `none`; raises SettingsError."""
    kind, *pairs = (part.strip() for part in text.split(","))
    kind = kind.lower()
    if kind == "none" and not pairs:
        return None
    if kind == "none":
        raise SettingsError(f"none takes nothing: leave {pairs[0]} out, or name a kind: {', '.join(SHADOWS)}")
    if kind not in SHADOWS:
        raise SettingsError(f"{kind!r} is no shadow{_nearest(kind, SHADOWS)}: give none, {', '.join(SHADOWS)}")
    values = dict(SHADOWS[kind])
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        key = "colour" if key == "color" else key
        if key not in values:
            raise SettingsError(f"{key!r} is nothing that {kind} takes{_nearest(key, values)}: {', '.join(values)}")
        values[key] = parse_colour(value) if key == "colour" else _number(key, value)
    return Shadow(kind, **values)


def _number(key: str, text: str) -> float:
    least, most = _RANGES.get(key, (0, 1))
    number = re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", text)
    if number is None or not least <= float(text) <= most:
        raise SettingsError(f"{key}={text}: give a number from {least} to {most}")
    return float(text)


def _nearest(word: str, known: Iterable[str]) -> str:
    return "".join(f", did you mean {near}?" for near in get_close_matches(word, known, 1))
