"""Bytes → lines: compression, byte order marks, encodings, a limit on their length; stdin that can be ended."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import select
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch_removebg.errors import ManifestError

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_LINE = 1_000_000  # characters
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ESCAPED = re.compile("[\ud800-\udfff]")  # bytes that are not UTF-8, or half a surrogate pair
_GLANCE = 0.2  # seconds between two looks whether reading is to end
_SAVE_AS = "save it as UTF-8 (in Excel: “CSV UTF-8”)"
Stream = io.BufferedReader | gzip.GzipFile
"""Binary streams with `peek`, which needs no further buffer: one would hold back a slow pipe's lines."""


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path as text that can be encoded: bytes that aren't UTF-8 become `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def nameable(path: str) -> str | None:
    """For a path with bytes that aren't UTF-8, text to name a file by, where these are `_ff`; None for others."""
    return None if path.isascii() or (text := printable(path)) == path else text.replace("\\x", "_")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """The manifest, decompressed where it is gzip, whatever its name; raises ManifestError."""
    try:
        stream: Stream = path.open("rb")  # closed below
        if path.suffix.lower() == ".gz" or stream.peek(2)[:2] == b"\x1f\x8b":
            stream.close()
            stream = gzip.open(path)  # noqa: SIM115
    except OSError as error:
        raise ManifestError(f"{printable(path)} can't be read: {error.strerror or error}.") from error
    with stream:
        yield stream


def peeked(stream: Stream) -> bytes:
    """What a stream begins with, which stays in it; nothing where it can't be read, which is said once it is."""
    with contextlib.suppress(OSError):
        return stream.peek(2)
    return b""


class Flawed(str):
    """A line that can't be used, and why."""

    __slots__ = ("problem",)
    problem: str


def lines(stream: Stream, name: str, longest: int = LONGEST_LINE) -> Iterator[str]:
    """The lines, with their ends, of a text in UTF-8 or, after a byte order mark, UTF-16.

    Those with NUL bytes or in other encodings are Flawed. Raises ManifestError, which names the line, for overlong
    lines and truncated files.
    """
    number = 0
    text = None
    try:
        encoding = "utf-16" if stream.peek(2)[:2] in _UTF16_MARKS else "utf-8-sig"
        # Invalid bytes are escaped, so that the line which holds them can be named.
        text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")
        while line := text.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise ManifestError(
                    f"{name}:{number}: the line is longer than {longest:,} characters; is this a manifest?"
                )
            yield line if line.isascii() and "\0" not in line else _checked(line)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name}:{number + 1}: not valid UTF-16; {_SAVE_AS}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(f"{name}:{number + 1}: the compressed file is damaged or truncated: {error}.") from error
    except OSError as error:
        raise ManifestError(f"{name}:{number + 1}: can't be read further: {error.strerror or error}.") from error
    finally:
        # The stream belongs to the caller, who may have closed it; a wrapper that isn't detached would close it too.
        if text is not None and not stream.closed:
            text.detach()


def _checked(line: str) -> str:
    problem = "the line holds a NUL byte" if "\0" in line else "not valid UTF-8" if _ESCAPED.search(line) else ""
    if not problem:
        return line
    flawed = Flawed(line)
    flawed.problem = f"{problem}; {_SAVE_AS}."
    return flawed


def between_nuls(stream: Stream) -> Iterator[str]:
    """The paths that `find -print0` writes, whatever they hold; none where no NUL ends the first."""
    rest, begun = b"", peeked(stream)
    if b"\0" not in begun or begun.startswith(_UTF16_MARKS):
        return
    while data := stream.read1(1 << 16):
        *whole, rest = (rest + data).split(b"\0")
        yield from map(os.fsdecode, whole)
    yield from [os.fsdecode(rest)] if rest else []


class _Endable(io.FileIO):
    readall = io.RawIOBase.readall  # by `readinto`

    def __init__(self, descriptor: int, ended: Callable[[], bool]) -> None:
        super().__init__(descriptor, closefd=False)
        self._ended = ended

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read bytes as they arrive; returns their number, 0 at the end."""
        while not self._ended():
            if sys.platform == "win32" or select.select([self], [], [], _GLANCE)[0]:
                return super().readinto(buffer)
        return 0


def endable_stdin(ended: Callable[[], bool]) -> io.BufferedReader:
    """Standard input, at its end once `ended` says so, so that a run which waits for more can be stopped.

    On Windows, where `select` doesn't accept pipes, that takes effect with the next line.
    """
    return io.BufferedReader(_Endable(sys.stdin.fileno(), ended))
