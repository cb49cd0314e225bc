"""Formats of manifests: lines → rows."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from batch_removebg.errors import ManifestError
from batch_removebg.ledger.events import writable
from batch_removebg.model import UrlRow

from .columns import Row
from .table import table_rows

DEEPEST = 64  # levels to which JSON may be nested

Parser = Callable[[Iterator[str], str], Iterator[Row | list[UrlRow]]]
"""(Lines, name of the manifest) → rows, one by one or several UrlRows together."""


def parser_for(path: Path) -> Parser | None:
    """The parser for a manifest by its name, None for a name without a manifest's extension."""
    name = path.name.lower().removesuffix(".gz")
    return _PARSERS.get(Path(name).suffix)


def read_jsonl(lines: Iterator[str], name: str) -> Iterator[Row]:
    """Rows of one JSON object a line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_row(line, f"{name}:{number}")


def read_txt(lines: Iterator[str], name: str, *, objects: bool = False) -> Iterator[Row]:
    """Rows of one path or URL a line, or with `objects` a JSON object that starts with `{`; `#` starts a comment."""
    for number, line in enumerate(lines, 1):
        if objects and line.startswith("{"):
            yield _json_row(line, f"{name}:{number}")
        elif line.strip() and not line.startswith("#"):
            yield Row(f"{name}:{number}", {"image": line.rstrip("\r\n")})


read_mixed: Parser = functools.partial(read_txt, objects=True)  # for stdin
_PARSERS: Mapping[str, Parser] = {
    ".csv": table_rows,
    ".tsv": functools.partial(table_rows, delimiter="\t"),
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".txt": read_txt,
}


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
    if not writable(cells, DEEPEST):
        raise ManifestError(f"{origin}: nested more than {DEEPEST} levels deep.")
    if "\\u" in line:
        try:
            json.dumps(cells, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ManifestError(f"{origin}: holds half of a surrogate pair, which is no character.") from error
    return Row(origin, cells)


def _number(text: str) -> float:
    """A JSON number; raises ValueError for `NaN`, `Infinity` and overflows, which can't be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number in JSON's range")
    return number
