"""Whether a finished file is what a shop takes, judged from what was measured of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from .presets import Level, Preset, Rule, Standing

_RESIZE = "place it on a canvas of such a size, from a photo that is large enough: --canvas"
_RULES = {
    "background": (
        "lay it on plain white, subject and shadow off the frame: --background white --fill 0.9",
        "",
    ),
    "subject": ("give a photo with a subject that can be found, and seen on its ground", ""),
    "fill": ("let the subject take another part of the frame: --fill", "{:.4g} %"),
    "aspect": ("give the canvas that shape: --canvas", ""),
    "megapixels": (_RESIZE, "{:.4g} megapixels"),
    "format": ("write it in a format that is taken, under a name that ends accordingly: --format", ""),
    "suffix": ("write it in a format whose names end so: --format", ""),
    "bytes": ("choose another --quality, or another number of pixels: --canvas", "{:,.0f} bytes"),
    "quality": ("write it with --quality 90 or more", "{:.0f}"),
    "mode": ("write it opaque, in RGB of 8 bits: --format jpeg", ""),
    "profile": ("convert it to sRGB: --colours srgb", ""),
    "frames": ("write one still picture", "{:.0f}"),
    "name": ("name it as the shop asks: --name", ""),
}
"""What helps where a rule isn't met, and how its number is told; the others are about sides."""
_SUBJECT: tuple[Level, str, Rule] = ("required", "subject", Rule(any=("a subject",)))  # which no shop says
_SIDE = (_RESIZE, "{:,.0f} px")
_STATUS = ("skipped", "pass", "advised", "fail")  # the graver later


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of a file, by the names of the rules."""

    values: Mapping[str, float | str | None]  # None: there is none, or it can't be told
    words: Mapping[str, str]  # what is to be said of some instead of the value


@dataclass(frozen=True, slots=True)
class Check:
    """What became of one rule."""

    rule: str
    level: Level
    status: Literal["pass", "fail", "skipped"]
    expected: str
    measured: str
    fix: str  # of what failed
    standing: Standing | None
    source: str | None
    read: str | None  # the day of that source


def judge(facts: Facts, preset: Preset) -> tuple[Check, ...]:
    """Each rule of a preset and what became of it, in the preset's order; then that there is a subject at all."""
    asked = (*preset.rules(), _SUBJECT)
    return tuple(_judged(level, about, rule, facts) for level, about, rule in asked)


def failed(checks: Iterable[Check]) -> tuple[str, ...]:
    """The rules that are required and were not met."""
    return tuple(check.rule for check in checks if (check.status, check.level) == ("fail", "required"))


def brief(checks: Iterable[Check]) -> dict[str, str]:
    """What became of each rule, in a word: of `_STATUS`, `advised` where only a recommended one was not met."""
    found: dict[str, str] = {}
    for check in checks:
        status = "advised" if (check.status, check.level) == ("fail", "recommended") else check.status
        found[check.rule] = max(found.get(check.rule, status), status, key=_STATUS.index)
    return found


def expectation(about: str, rule: Rule) -> str:
    """What a rule asks for, in words."""
    if rule.any:
        return f"a name like {rule.like or rule.any[0]}" if about == "name" else " or ".join(rule.any)
    least, most = _told(about, rule.least), _told(about, rule.most)
    if least and most:
        return least if least == most else f"{least.removesuffix(' px')} to {most}"
    return f"at least {least}" if least else f"at most {most}"


def fix(rule: str) -> str:
    """What helps where a rule isn't met."""
    return _RULES.get(rule, _SIDE)[0]


def _judged(level: Level, about: str, rule: Rule, facts: Facts) -> Check:
    value = facts.values.get(about)
    met = value is not None and _meets(about, value, rule)
    return Check(
        rule=about,
        level=level,
        status="skipped" if value is None else "pass" if met else "fail",
        expected=expectation(about, rule),
        measured=facts.words.get(about) or _told(about, value) or "not known here",
        fix="" if met or value is None else fix(about),
        standing=rule.standing,
        source=rule.source,
        read=rule.read,
    )


def _meets(about: str, value: float | str, rule: Rule) -> bool:
    if not isinstance(value, str):
        return (rule.least is None or value >= rule.least) and (rule.most is None or value <= rule.most)
    if about == "name":
        return any(re.fullmatch(pattern, value) for pattern in rule.any)
    if about != "aspect":
        return value in rule.any
    (width, height), ratios = _sides(value), map(_sides, rule.any)
    return any(abs(width * down - height * across) <= max(across, down) for across, down in ratios)  # to the pixel


def _sides(aspect: str) -> tuple[float, float]:
    across, _, down = aspect.partition(":")
    return float(across), float(down)


def _told(about: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return _RULES.get(about, _SIDE)[1].format(100 * value if about == "fill" else value)
