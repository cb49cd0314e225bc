"""Words for people on stderr, as text or as JSON lines; stdout is for results alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TextIO

from batch_removebg.clock import Clock


class Console:
    """Says things at three levels: errors always, info unless quiet, detail only if asked for."""

    def __init__(self, *, json_lines: bool = False, verbosity: int = 0, stream: TextIO | None = None) -> None:
        """`verbosity`: -1 quiet, 0 as usual, 1 with every step."""
        self._json = json_lines
        self._verbosity = verbosity
        self._stream = stream or sys.stderr
        self._clock = Clock()
        self.write: Callable[[str], None] = self._plain
        """Where lines go; a progress bar puts itself in the way, to stay below them."""

    def error(self, text: str) -> None:
        """Something failed."""
        self._say("error", text)

    def warning(self, text: str) -> None:
        """Something a user will want to know."""
        if self._verbosity >= 0:
            self._say("warning", text)

    def info(self, text: str) -> None:
        """What is being done, and what came of it."""
        if self._verbosity >= 0:
            self._say("info", text)

    def detail(self, text: str) -> None:
        """A single step."""
        if self._verbosity > 0:
            self._say("detail", text)

    def _say(self, level: str, text: str) -> None:
        if self._json:
            text = json.dumps({"t": self._clock.stamp(), "level": level, "message": text}, ensure_ascii=False)
        else:
            text = text if level == "info" else printable(text) if level == "detail" else f"{level}: {text}"
        self.write(text)

    def _plain(self, text: str) -> None:
        print(encodable(text, self._stream), file=self._stream, flush=True)  # noqa: T201  # the one place that prints


def printable(text: str) -> str:
    """The text on one line, with control characters made visible: a file name may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(text: str, stream: TextIO) -> str:
    """The text as the stream can write it: a terminal in ASCII must not end a night's run."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
