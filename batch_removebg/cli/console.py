"""Words for people on stderr, as text or as JSON lines; stdout is for results alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from batch_removebg.clock import Clock
from batch_removebg.errors import DiskError


class Console:
    """Says things at three levels: errors always, info unless quiet, detail only if asked for."""

    def __init__(self, *, json_lines: bool = False, verbosity: int = 0, stream: TextIO | None = None) -> None:
        """`verbosity`: -1 quiet, 0 as usual, 1 with every step."""
        self._json = json_lines
        self._verbosity = verbosity
        self._stream = stream or sys.stderr
        self._clock = Clock()
        self.write: Callable[[str], None] = self._plain
        """Where lines go; a progress bar puts itself in the way, to stay below them. May raise OSError."""

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
            text = json.dumps({"t": self._clock.stamp(), "level": level, "message": text})
        else:
            text = "\n".join(map(printable, text.split("\n")))
            text = text if level in ("info", "detail") else f"{level}: {text}"
        with unheard(self._stream):
            self.write(text)

    def _plain(self, text: str) -> None:
        write_line(text, self._stream)


def write_line(text: str, stream: TextIO) -> None:
    """Write a line in one piece, at once; raises OSError where the stream does not take it."""
    stream.write(encodable(f"{text}\n", stream))
    stream.flush()


def result(text: str, stream: TextIO | None = None) -> None:
    """Write a line to stdout; a reader who has gone has all that was wanted. Raises DiskError if it can't be kept."""
    stream = stream or sys.stdout
    try:
        write_line(text, stream)
    except OSError as error:
        let_go(stream)
        if not isinstance(error, BrokenPipeError):
            raise DiskError(f"stdout can't be written: {error.strerror or error}") from error


@contextmanager
def unheard(stream: TextIO) -> Iterator[None]:
    """Go on where nobody can be told: the terminal has gone, or whoever read the pipe. Later lines go nowhere."""
    try:
        yield
    except OSError:
        let_go(stream)


def let_go(stream: TextIO) -> None:
    """Lead a stream nowhere: what it still holds would fail again when the process leaves, and change its exit code."""
    with suppress(OSError):  # a stream without a file behind it
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def printable(text: str) -> str:
    """The text on one line, with control characters made visible: a file name may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(text: str, stream: TextIO) -> str:
    """The text as the stream can write it: a terminal in ASCII must not end a night's run."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
