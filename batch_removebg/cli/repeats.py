"""Warnings that repeat are said once, and their number when it is over."""

from __future__ import annotations

import re
from collections.abc import Callable

_OVER = 60.0  # seconds without another one
_PARTICULAR = re.compile(r"\S*[\d/\\'\"]\S*")  # numbers, names, addresses: what differs among texts of one kind


class Repeats:
    """Says the first warning of a kind, and how many came after it once there are no more."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], float]) -> None:
        self._say, self._now = say, now
        self._kinds: dict[str, tuple[str, int, float]] = {}  # the first one's text, how many came after it, and when

    def warn(self, text: str, item: str = "", kind: str = "") -> None:
        """Say it, about an item if that is given, unless one of its kind was said; by default, its words are that."""
        self.settle()
        kind = kind or _PARTICULAR.sub("…", text)
        if kind not in self._kinds:
            self._say(f"{item}: {text}" if item else text)
        first, more, _ = self._kinds.get(kind, (text, -1, 0.0))
        self._kinds[kind] = (first, more + 1, self._now())

    def settle(self, *, ended: bool = False) -> None:
        """Forget the kinds of which none came for a minute, or all at the end."""
        for kind, (first, more, last) in list(self._kinds.items()):
            if ended or self._now() - last >= _OVER:
                del self._kinds[kind]
                if more:
                    self._say(f"{more} more like this{'' if ended else ', and none for a minute'}: {first}")
