"""Rows from Python, as lines of a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_removebg.hashing import sha256_hex

if TYPE_CHECKING:
    from batch_removebg.imaging.pil import Image

    Picture = str | PathLike[str] | bytes | Image
    Row = Mapping[str, Any] | tuple[str, Picture] | str | PathLike[str]
else:
    Row = Any

_MAY = "a dict as a row of a manifest, a path or URL, or (id, picture) with a path, bytes or a PIL image"


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as JSON lines, pictures in them as files beside these; raises TypeError for what is no row."""
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise TypeError(f"rows takes an iterable, each of it {_MAY}; not {type(rows).__name__}")
    with path.open("w", encoding="ascii") as file:
        for row in rows.to_dict("records") if hasattr(rows, "to_dict") else rows:  # a DataFrame
            cells: Any = row
            if isinstance(row, str | PathLike):
                cells = {"image": row}
            elif isinstance(row, tuple) and len(row) == 2:
                cells = {"id": row[0], "image": row[1]}
            if not isinstance(cells, Mapping):
                raise TypeError(f"a row is {_MAY}; not {type(row).__name__}")
            line = json.dumps({str(name): _cell(value, path.parent) for name, value in cells.items()})
            file.write(f"{line}\n")


def _cell(value: Any, folder: Path) -> Any:
    """A cell as JSON has it: pictures as the paths of files, NaN as nothing."""
    if isinstance(value, bytes) or hasattr(value, "getexif"):
        data = picture_bytes(value)
        path = folder / sha256_hex(data)
        path.write_bytes(data)
        return str(path)
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
