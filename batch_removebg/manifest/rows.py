"""Lines → rows: the formats a manifest may have."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from batch_removebg.errors import ManifestError
from batch_removebg.model import UrlRow

from .columns import UrlRows, find_columns
from .text import LONGEST_LINE

DEEPEST = 64
"""Levels to which JSON may be nested."""


class Row(NamedTuple):
    """One row, its cells by column."""

    origin: str
    """`catalogue.csv:12`, the line it starts in."""
    cells: Mapping[str, Any]


Parser = Callable[[Iterator[str], str], Iterator[Row | UrlRow]]
"""Lines and the manifest's name → rows."""


def parser_for(path: Path) -> Parser | None:
    """The parser for a manifest of that name, None where the name is none of a manifest."""
    name = path.name.lower().removesuffix(".gz")
    return _PARSERS.get(Path(name).suffix)


def read_csv(lines: Iterator[str], name: str) -> Iterator[Row | UrlRow]:
    """Rows of comma separated values, or semicolon separated ones where the header has no comma."""
    return _table(lines, name, None)


def read_tsv(lines: Iterator[str], name: str) -> Iterator[Row | UrlRow]:
    """Rows of tab separated values."""
    return _table(lines, name, "\t")


def read_jsonl(lines: Iterator[str], name: str) -> Iterator[Row]:
    """Rows of one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_row(line, f"{name}:{number}")


def read_txt(lines: Iterator[str], name: str) -> Iterator[Row]:
    """Rows of one path or URL a line; lines that start with `#` are comments."""
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield Row(f"{name}:{number}", {"image": line.rstrip("\r\n")})


def read_mixed(lines: Iterator[str], name: str) -> Iterator[Row]:
    """Rows as on stdin: JSON objects where a line starts with `{`, else as in a `.txt`."""
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            yield _json_row(line, f"{name}:{number}")
        elif line.strip() and not line.startswith("#"):
            yield Row(f"{name}:{number}", {"image": line.rstrip("\r\n")})


_PARSERS: Mapping[str, Parser] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".txt": read_txt,
}


def _table(lines: Iterator[str], name: str, delimiter: str | None) -> Iterator[Row | UrlRow]:
    records = _records(lines, name, delimiter)
    number, cells = next(records, (1, []))
    header = _header(cells, f"{name}:{number}")
    width, urls = len(header), UrlRows(header, name) if all(header) else None
    for number, cells in records:
        if urls is not None and len(cells) == width and (row := urls.take(cells, number)):
            yield row
            continue
        origin = f"{name}:{number}"
        if any(cell.strip() for cell in cells[width:]) or len(cells) < width:
            raise ManifestError(
                f"{origin}: the row has {len(cells)} cells where the header has {len(header)}; "
                "a cell that holds the delimiter must stand in quotes."
            )
        yield Row(origin, {column: cell for column, cell in zip(header, cells, strict=False) if column})


def _records(lines: Iterator[str], name: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """(Line it starts in, cells) of each row that is not blank."""
    skipped, first = 0, ""
    for first in lines:
        if first.strip():
            break
        skipped += 1
    if delimiter is None:
        delimiter = ";" if ";" in first and "," not in first else ","
    start, size = 0, 0

    def feed() -> Iterator[str]:
        nonlocal size
        for line in itertools.chain([first], lines):
            size += len(line)
            if size > LONGEST_LINE:
                raise ManifestError(f"{name}:{start}: the row is longer than {LONGEST_LINE:,} characters.")
            yield line

    # Strict, or a quote that is never closed would swallow the rest of the file as one cell.
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        start, size = skipped + reader.line_num + 1, 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ManifestError(f"{name}:{start}: the row can't be read ({error}); see to its quotes.") from error
        if cells is None:
            return
        if (cells and cells[0].strip()) or any(cell.strip() for cell in cells):
            yield start, cells


def _header(cells: list[str], origin: str) -> list[str]:
    """The columns' names; an unnamed one, as a table program may leave it, is the empty string."""
    header = [cell.strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    named = [column for column in header if column]
    find_columns(tuple(named), origin)
    seen: set[str] = set()
    for column in named:
        if column in seen:
            raise ManifestError(f"{origin}: there are two columns named {column!r}; rename one.")
        seen.add(column)
    return header


def _json_row(line: str, origin: str) -> Row:
    try:
        cells = json.loads(line, parse_constant=_number, parse_float=_number)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{origin}: not valid JSON: {error.msg} (column {error.colno}).") from error
    except ValueError as error:  # NaN, a number of thousands of digits
        raise ManifestError(f"{origin}: not valid JSON: {error}.") from error
    except RecursionError as error:
        raise ManifestError(f"{origin}: nested too deeply.") from error
    if not isinstance(cells, dict):
        raise ManifestError(f'{origin}: the line must be a JSON object such as {{"image": "shoe.jpg"}}.')
    if _deeper(cells, DEEPEST):
        raise ManifestError(f"{origin}: nested more than {DEEPEST} levels deep.")
    if "\\u" in line:
        try:
            json.dumps(cells, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ManifestError(f"{origin}: holds half of a surrogate pair, which is no character.") from error
    return Row(origin, cells)


def _number(text: str) -> float:
    """A JSON number; `NaN`, `Infinity` and what overflows to it could not be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number in JSON's range")
    return number


def _deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        children: Iterable[object] = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return False
    return levels == 0 or any(_deeper(child, levels - 1) for child in children)
