"""Bytes → lines: compression, byte order marks, encodings, and a limit on what one line may cost."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from batch_removebg.errors import ManifestError

LONGEST_LINE = 1_000_000
"""Characters."""

_BLOCK = 1 << 16
"""Characters."""
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAVE_AS = "save it as UTF-8 (in Excel: “CSV UTF-8”)"


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path as text that can be written anywhere: bytes that are no UTF-8 become `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The manifest's bytes, unpacked where its name ends in `.gz`; raises ManifestError."""
    try:
        stream = gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise ManifestError(f"{printable(path)} can't be read: {error.strerror or error}.") from error
    with stream:
        yield cast("BinaryIO", stream)


def lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a text file in UTF-8 or, after a byte order mark, UTF-16; their ends are kept.

    Raises ManifestError, naming the line, for other encodings, NUL bytes, overlong lines and files that break off.
    """
    # GzipFile and BufferedReader can peek; wrapping them once more would hold back a slow pipe's lines.
    buffered = stream if hasattr(stream, "peek") else io.BufferedReader(cast("io.RawIOBase", stream))
    number = 0
    text = None
    try:
        mark = cast("io.BufferedReader", buffered).peek(2)[:2]
        encoding = "utf-16" if mark in _UTF16_MARKS else "utf-8-sig"
        # Escaping wrong bytes instead of stopping at them tells which line they are in.
        text = io.TextIOWrapper(buffered, encoding, errors="surrogateescape", newline="")
        if encoding == "utf-8-sig" and isinstance(buffered, io.BufferedReader) and _is_file(buffered):
            yield from _in_blocks(text, name)
            return
        while line := text.readline(LONGEST_LINE + 1):
            number += 1
            _require_sound(line, f"{name}:{number}")
            yield line
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name}:{number + 1}: not valid UTF-16; {_SAVE_AS}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(f"{name}:{number + 1}: the compressed file is damaged or breaks off: {error}.") from error
    except OSError as error:
        raise ManifestError(f"{name}:{number + 1}: can't be read on: {error.strerror or error}.") from error
    finally:
        # The stream belongs to the caller, who may have closed it; a wrapper that is thrown away would close it too.
        if text is not None and not stream.closed:
            text.detach()
        if buffered is not stream and not stream.closed:
            cast("io.BufferedReader", buffered).detach()


def _is_file(stream: io.BufferedReader) -> bool:
    """Whether the stream ends somewhere, and hands over at once what there is."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


def _in_blocks(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """The lines of a text on the disk; a block is looked at as a whole, line by line only where it must be."""
    number, rest = 0, ""
    while block := text.read(_BLOCK):
        block = rest + block
        whole = io.StringIO(block, newline="").readlines()
        rest = "" if block.endswith("\n") else whole.pop()
        if len(block) > LONGEST_LINE or "\0" in block or not block.isascii():
            for nth, line in enumerate(whole, number + 1):
                _require_sound(line, f"{name}:{nth}")
                yield line
            if len(rest) > LONGEST_LINE:
                _require_sound(rest, f"{name}:{number + len(whole) + 1}")
        else:
            yield from whole
        number += len(whole)
    if rest:
        _require_sound(rest, f"{name}:{number + 1}")
        yield rest


def _require_sound(line: str, where: str) -> None:
    if len(line) > LONGEST_LINE:
        raise ManifestError(f"{where}: the line is longer than {LONGEST_LINE:,} characters; is this a manifest?")
    if "\0" in line:
        raise ManifestError(f"{where}: the line holds a NUL byte; {_SAVE_AS}.")
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise ManifestError(f"{where}: not valid UTF-8; {_SAVE_AS}.") from error
