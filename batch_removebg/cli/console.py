"""Messages for people on stderr, as text or JSON lines; stdout is for results only."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, partialmethod
from typing import TextIO

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, DiskError

BUG = 1
INTERRUPTED = 130
_LONGEST_LINE, _LONGEST_ID = 16_000, 500  # of JSON: log drivers of containers divide lines at 16 KiB
_OVER = 60.0  # seconds without another one
_PARTICULAR = re.compile(r"\S*(?:[\d/\\\"]|\B'|'\B)\S*")  # numbers, names, addresses: what differs in texts of one kind
_LEVELS = {"error": -2, "warning": 0, "info": 0, "detail": 1}  # the verbosity from which on they are shown
_PRIORITIES = {"error": "<3>", "warning": "<4>", "info": "<6>", "detail": "<7>"}  # what journald takes off a line


class Console:
    """Writes messages: errors always, warnings and info unless quiet, details only if asked for."""

    def __init__(self, *, json_lines: bool = False, verbosity: int = 0, stream: TextIO | None = None) -> None:
        """`verbosity`: -1 quiet, 0 normal, 1 with every step."""
        self._json = json_lines
        self._verbosity = verbosity
        self._stream = stream or sys.stderr
        self._journal = _to_journal(self._stream)
        self.run = ""  # id of the run that is going on
        self.write: Callable[[str], None] = partial(write_line, stream=self._stream)
        """Writes a line; a progress bar replaces it, to stay below the lines. May raise OSError."""

    def _say(self, level: str, text: str, *, event: str = "", item: str = "") -> None:
        if self._verbosity < _LEVELS[level]:
            return
        if self._json:
            text = _line(text, level=level, event=event or level, item=item, run=self.run)
        else:
            text = "\n".join(map(printable, text.split("\n")))
            text = text if level in ("info", "detail") else f"{level}: {text}"
        if self._journal:
            text = re.sub("^", _PRIORITIES[level], text, flags=re.MULTILINE)
        with unheard(self._stream):
            self.write(text)

    error = partialmethod(_say, "error")
    warning = partialmethod(_say, "warning")
    info = partialmethod(_say, "info")
    detail = partialmethod(_say, "detail")


def failure(error: BaseException, console: Console) -> int:
    """The exit code for what ended a command, which is said; what isn't known is a bug."""
    if isinstance(error, BatchError):
        for line in (str(error), *getattr(error, "__notes__", [])):
            console.error(line)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        console.error("interrupted")
        return INTERRUPTED
    import traceback

    told = "".join(traceback.format_exception(error))
    console.error(f"a bug in batch-removebg; what is finished is on record\n{told}")
    return BUG


def _to_journal(stream: TextIO) -> bool:
    """Whether the stream is the one that systemd has connected with its journal, by sd-daemon(3)."""
    with suppress(OSError):  # a stream without a file behind it
        found = os.fstat(stream.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


def _line(text: str, item: str, **told: str) -> str:
    """The JSON line, without keys that say nothing; the middle of a long text is left out."""
    now, item, most = Clock().stamp(), item[:_LONGEST_ID], len(text)
    while True:
        msg = text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
        line = {"ts": now, **told, "msg": msg, "item": item, "t": now, "message": msg}
        found = json.dumps({key: value for key, value in line.items() if value or key == "msg"})
        if len(found) < _LONGEST_LINE:
            return found
        most //= 2


class Repeats:
    """Says the first warning of a kind, and how many came after it once there are no more."""

    def __init__(self, say: Callable[..., None], now: Callable[[], float]) -> None:
        self._say, self._now = say, now
        self._kinds: dict[str, tuple[str, int, float]] = {}  # the first one's text, how many came after it, and when

    def warn(self, text: str, item: str = "", kind: str = "") -> None:
        """Say it, about an item if that is given, unless one of its kind was said; by default, its words are that."""
        self.settle()
        kind = kind or _PARTICULAR.sub("…", text)
        if kind not in self._kinds:
            self._say(f"{item}: {text}" if item else text, **{"item": item} if item else {})
        first, more, _ = self._kinds.get(kind, (text, -1, 0.0))
        self._kinds[kind] = (first, more + 1, self._now())

    def settle(self, *, ended: bool = False) -> None:
        """Forget the kinds of which none came for a minute, or all at the end."""
        for kind, (first, more, last) in list(self._kinds.items()):
            if ended or self._now() - last >= _OVER:
                del self._kinds[kind]
                if more:
                    what = _PARTICULAR.sub("…", first)  # without the first one's names and numbers
                    self._say(f"{more} more like this{'' if ended else ', and none for a minute'}: {what}")


class _Log(logging.Handler):
    """Warnings and errors on a console: what is said in one place of the code is of one kind."""

    def __init__(self, console: Console, now: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self.warnings, self.errors = Repeats(console.warning, now), Repeats(console.error, now)

    def emit(self, record: logging.LogRecord) -> None:
        said = self.errors if record.levelno >= logging.ERROR else self.warnings
        said.warn(self.format(record), kind=f"{record.pathname}:{record.lineno}")


@contextmanager
def logged(console: Console, now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Show the warnings and errors that are logged during the block, those of each place in the code as `Repeats`."""
    handler = _Log(console, now)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.warnings.settle(ended=True)
        handler.errors.settle(ended=True)


def write_line(text: str, stream: TextIO) -> None:
    """Write a line in one piece, what the encoding lacks escaped, and flush it; raises OSError if the stream fails."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def result(text: str, stream: TextIO | None = None) -> None:
    """Write a line to stdout; raises DiskError if that fails, but not where the reader of a pipe has gone."""
    stream = stream or sys.stdout
    try:
        write_line(text, stream)
    except OSError as error:
        _silence(stream)
        if not isinstance(error, BrokenPipeError):
            raise DiskError(f"stdout can't be written: {error.strerror or error}") from error


def table(lines: Iterable[tuple[str, ...]]) -> str:
    """Lines of cells, in columns."""
    lines = list(lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@contextmanager
def unheard(stream: TextIO) -> Iterator[None]:
    """Continue where the stream fails: the terminal has gone, or the reader of the pipe. Later lines are discarded."""
    try:
        yield
    except OSError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Redirect a stream to nowhere: what its buffer holds would fail again at exit, and change the exit code."""
    with suppress(OSError):  # a stream without a file behind it
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def printable(text: str) -> str:
    """The text on one line, control characters escaped: a file name may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
