"""Sizes as people write them: `20px`, `5%`, `2000x2000`, `3:4`."""

from __future__ import annotations

import re
from typing import NamedTuple

from batch_removebg.errors import SettingsError

Size = tuple[int, int]
"""Width and height."""


class Length(NamedTuple):
    """A distance along a side of the output."""

    px: int = 0
    share: float = 0.0  # of that side, 0–1

    def of(self, side: float) -> float:
        """In pixels, of a side of so many."""
        return self.px + self.share * side


Margin = tuple[Length, Length, Length, Length]
"""Top, right, bottom, left."""
NO_MARGIN: Margin = (Length(),) * 4


def parse_margin(text: str) -> Margin:
    """Lengths for the four sides of `20px` or `5%`, one, two or four of them as in CSS; raises SettingsError."""
    words = re.split(r"[\s,]+", text.strip())
    found = [re.fullmatch(r"(\d{1,5})(?:px)?|(\d{1,2}(?:\.\d+)?)%", word) for word in words]
    lengths = [Length(int(one[1] or 0), float(one[2] or 0) / 100) for one in found if one]
    if None in found or len(found) not in (1, 2, 4):
        raise SettingsError(f"{text!r}: write one, two or four of 20px or 5%, in the order top right bottom left")
    top, right, bottom, left = (lengths * 4)[:4]
    return top, right, bottom, left


def parse_canvas(text: str) -> Size:
    """Width and height in pixels of `2000x2000`; raises SettingsError."""
    found = re.fullmatch(r"([1-9]\d{0,5})[x×X]([1-9]\d{0,5})(?:px)?", text.strip())
    if not found:
        raise SettingsError(f"{text!r}: write WIDTHxHEIGHT in pixels, such as 2000x2000")
    return int(found[1]), int(found[2])


def parse_aspect(text: str) -> tuple[float, float]:
    """Parts of width and height of `3:4`; raises SettingsError."""
    found = re.fullmatch(r"(\d{1,5}(?:\.\d+)?)[:/](\d{1,5}(?:\.\d+)?)", text.strip())
    aspect = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not 0.05 <= aspect[0] / (aspect[1] or 1e9) <= 20:
        raise SettingsError(f"{text!r}: write WIDTH:HEIGHT, such as 1:1 or 3:4, up to 20:1")
    return aspect


def parse_share(text: str, least: float, most: float) -> float:
    """The share, 0–1, that `85%` or `0.85` says, within bounds; raises SettingsError."""
    found = re.fullmatch(r"(\d*\.?\d+)(%?)", text.strip())
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not least <= share <= most:
        raise SettingsError(f"{text!r}: give {100 * least:g}% to {100 * most:g}%")
    return share
