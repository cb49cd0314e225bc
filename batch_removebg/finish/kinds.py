"""The kinds of shadows, as plain values; light, as `options` is."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Colour, parse_colour

SHADOWS: dict[str, dict[str, float]] = {
    "drop": {"opacity": 0.35, "softness": 0.03, "length": 0.05, "azimuth": 315},
    "contact": {"opacity": 0.7, "softness": 0.012},
    "cast": {"opacity": 0.6, "softness": 0.025, "azimuth": 215, "elevation": 45, "falloff": 0.7},
    "float": {"opacity": 0.45, "softness": 0.025, "length": 0.08, "gap": 0.07},
    "reflection": {"opacity": 0.35, "length": 0.35, "gap": 0},
}
"""What each kind takes, beside `colour`, and its defaults."""
_RANGES = {
    "opacity": (0, 1), "softness": (0, 0.2), "length": (0, 1), "azimuth": (-360, 360), "elevation": (20, 90),
    "falloff": (0, 1), "gap": (0, 1),
}  # fmt: skip


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
    colour: Colour = (0, 0, 0)


def parse_shadow(text: str) -> Shadow | None:
    """The shadow of `KIND[,KEY=VALUE…]`, None for `none`; raises SettingsError."""
    kind, *pairs = (part.strip() for part in text.split(","))
    kind = kind.lower()
    if kind == "none" and not pairs:
        return None
    if kind not in SHADOWS:
        raise SettingsError(f"{kind!r} is no shadow{_nearest(kind, SHADOWS)}: give none, {', '.join(SHADOWS)}")
    values, colour = dict(SHADOWS[kind]), (0, 0, 0)
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if key in ("colour", "color") and kind != "reflection":
            colour = parse_colour(value)
        elif key not in values:
            known = [*values, "colour"] if kind != "reflection" else [*values]
            raise SettingsError(f"{key!r} is nothing that {kind} takes{_nearest(key, known)}: {', '.join(known)}")
        else:
            values[key] = _number(key, value)
    return Shadow(kind, colour=colour, **values)


def _number(key: str, text: str) -> float:
    least, most = _RANGES[key]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise SettingsError(f"{key}={text}: give a number from {least} to {most}")
    return value


def _nearest(word: str, known: list[str] | dict[str, dict[str, float]]) -> str:
    found = get_close_matches(word, known, 1)
    return f", did you mean {found[0]}?" if found else ""
