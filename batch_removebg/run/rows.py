"""Rows from Python, as lines of a manifest that the reader takes from a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from batch_removebg.hashing import sha256_hex
from batch_removebg.imaging.format import identify
from batch_removebg.storage.layout import STATE

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from batch_removebg.imaging.pil import Image

    Picture = str | PathLike[str] | bytes | Image
    Row = Mapping[str, Any] | tuple[str, Picture] | str | PathLike[str]
else:
    Row = Any

_MAY = "a dict as a row of a manifest, a path or URL, or (id, picture) with a path, bytes or a PIL image"


@contextmanager
def rows_of(first: list[Row], rows: Iterable[Row], out: Path) -> Iterator[BinaryIO | None]:
    """The rows as a stream of JSON lines, None where there are none; pictures in them lie below `out` for the block."""
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise TypeError(f"rows takes an iterable, each of it {_MAY}; not {type(rows).__name__}")
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else rows  # a DataFrame
    written: list[Path] = []
    try:
        lines = (_line(row, out / STATE / "given", written) for row in chain(first, rows))
        yield cast(BinaryIO, io.BufferedReader(_Lines(lines))) if first or rows != () else None
    finally:
        for path in written:
            path.unlink(missing_ok=True)


class _Lines(io.RawIOBase):
    """Lines, read as they are asked for."""

    label = "rows"  # in the place of `stdin` in messages

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._left = lines, b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read some bytes, of one line at most; returns their number, 0 at the end."""
        view, data = memoryview(buffer).cast("B"), self._left or next(self._lines, b"")
        count = min(len(view), len(data))
        view[:count], self._left = data[:count], data[count:]
        return count


def _line(row: Row, given: Path, written: list[Path]) -> bytes:
    if isinstance(row, str | PathLike):
        row = {"image": row}
    elif isinstance(row, tuple) and len(row) == 2:
        row = {"id": str(row[0]), "image": row[1]}
    if not isinstance(row, Mapping):
        raise TypeError(f"a row is {_MAY}; not {type(row).__name__}")
    return json.dumps({str(name): _cell(value, given, written) for name, value in row.items()}).encode() + b"\n"


def _cell(value: Any, given: Path, written: list[Path]) -> Any:
    """A cell as JSON has it: pictures as the paths of files, NaN as nothing, numpy's numbers as Python's."""
    if isinstance(value, bytes) or hasattr(value, "getexif"):
        data = picture_bytes(value)
        path = given / f"{sha256_hex(data)[:32]}.{(identify(data) or 'picture').lower()}"
        given.mkdir(parents=True, exist_ok=True)
        written.append(path)
        path.write_bytes(data)
        return str(path)
    value = value.item() if hasattr(value, "item") else value
    if value is None or value != value:  # NaN
        return None
    return value if isinstance(value, str | int | float | list | dict) else str(value)


def picture_bytes(image: Picture) -> bytes:
    """The file of a picture: a path's, the bytes themselves, or a PIL image as PNG, upright, with its profile."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        return Path(fspath(image)).read_bytes()
    if not hasattr(image, "getexif"):
        raise TypeError(f"image is a path, a file's bytes or a PIL image; not {type(image).__name__}")
    from batch_removebg.imaging.pil import file_of

    return file_of(image)
