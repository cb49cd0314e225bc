"""Formats of manifests: lines → rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from batch_removebg.errors import ManifestError
from batch_removebg.ledger.events import writable
from batch_removebg.model import Lot

from .columns import Choice, Row, RowError, columns_of, find_columns
from .table import HEAD, MANY, NOTHING, Rows, Table, header_at, table_rows
from .text import Flawed, Stream, lines

DEEPEST = 64  # levels to which JSON may be nested
_BAD_JSON = (msgspec.MsgspecError, UnicodeEncodeError, RecursionError)
_LONGEST_JSON = 1 << 28  # characters of a whole file

Parser = Callable[[Stream, str, Choice], Rows]
"""(Stream, name of the manifest, columns asked for) → rows, one by one or several UrlRows together."""


def parser_for(path: PurePath) -> Parser | None:
    """The parser for a manifest by its name, None for a name without a manifest's extension."""
    name = path.name.lower().removesuffix(".gz")
    return _PARSERS.get(PurePath(name).suffix)


def read_jsonl(stream: Stream, name: str, choice: Choice) -> Rows:
    """Rows of one JSON object a line."""
    return _told(_json_rows(lines(stream, name), name), name, choice)


def read_mixed(stream: Stream, name: str, choice: Choice) -> Rows:
    """Rows of stdin: a path, a URL or a JSON object a line."""
    return _one_a_line(lines(stream, name), name, choice, objects=True)


def read_txt(stream: Stream, name: str, choice: Choice) -> Rows:
    """Rows of one path or URL a line, or of a table, such as Amazon's flat files are."""
    return table_rows(stream, name, choice, _one_a_line)


def _one_a_line(lines: Iterator[str], name: str, choice: Choice, *, objects: bool = False) -> Rows:
    """Rows of one path or URL a line, or with `objects` a JSON object that starts with `{`; `#` starts a comment."""
    for number, line in enumerate(lines, 1):
        if isinstance(line, Flawed) or (objects and line.startswith("{")):
            row = _json_row(line, f"{name}:{number}")
            yield _standing(row) if objects else (None, row)
        elif line.strip() and not line.startswith("#"):
            yield None, Row(f"{name}:{number}", {choice.image or "image": line.rstrip("\r\n")})


def read_json(stream: Stream, name: str, choice: Choice) -> Rows:
    """Rows of a JSON array, which may be wrapped in objects, or of one JSON object a line."""
    text = list(lines(stream, name, _LONGEST_JSON))
    try:
        many = enumerate(_listed(msgspec.json.decode("".join(text))) or [], 1)
    except _BAD_JSON as error:
        if len(text) > 1 and text[0].rstrip().endswith("}"):
            return _told(_json_rows(text, name), name, choice)
        problem = next((line.problem for line in text if isinstance(line, Flawed)), f"not valid JSON: {error}.")
        raise ManifestError(f"{name}: {problem}") from error
    rows = (_row({"image": each} if isinstance(each, str) else each, f"{name}:{nth}") for nth, each in many)
    return _told(rows, name, choice)


def _told(rows: Iterator[Row | RowError], name: str, choice: Choice) -> Rows:
    """The rows; told are the columns of the first with a picture, as objects leave out what they don't have."""
    first, told = None, False
    for row in rows:
        if isinstance(row, Row) and not told:
            first, cells = first or row, tuple(row.cells)
            if told := columns_of(cells, choice) is not None:
                choice.note(find_columns(cells, row.origin, choice).told(name))
        yield _standing(row)
    if first is not None and not told:
        find_columns(tuple(first.cells), first.origin, choice)


def _standing(row: Row | RowError) -> tuple[Lot, Row | RowError]:
    return Lot(tuple(row.cells), [tuple(row.cells.values())]) if isinstance(row, Row) else NOTHING, row


def _json_rows(lines: Iterable[str], name: str) -> Iterator[Row | RowError]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _json_row(line, f"{name}:{number}")


def _listed(found: Any) -> list[Any] | None:
    """The list that a file is about: the whole, or the first one within it; an object with a picture is a row."""
    if not isinstance(found, dict):
        return found if isinstance(found, list) else None
    if columns_of(tuple(found)) is not None:
        return [found]
    return next((rows for each in found.values() if (rows := _listed(each)) is not None), None)


def read_workbook(stream: Stream, name: str, choice: Choice) -> Rows:
    """Rows of the first sheet that has a column with pictures."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise ManifestError(
            f"{name}: workbooks are read by a further library: pip install python-calamine; or save it as CSV UTF-8."
        ) from error
    try:
        sheets = CalamineWorkbook.from_filelike(stream)
        found = [[*map(_cells, sheets.get_sheet_by_name(each).iter_rows())] for each in sheets.sheet_names]
    except (CalamineError, OSError, ValueError) as error:
        raise ManifestError(f"{name}: the workbook can't be read: {error}; save it as CSV UTF-8.") from error
    rows = next((rows for rows in found if header_at(rows[:HEAD], choice) is not None), next(iter(found), [])) or [[]]
    at = header_at(rows[:HEAD], choice) or 0
    table = Table(rows[at], f"{name}:{at + 1}", choice)
    for nth in range(at + 1, len(rows), MANY):
        yield from table.rows(rows[nth : nth + MANY], nth + 1)


def _cells(row: Sequence[Any]) -> list[str]:
    return [str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell) for cell in row]


def _refuse(stream: Stream, name: str, choice: Choice) -> Rows:
    raise ManifestError(f"{name}: lists of this kind can't be read; save it as CSV UTF-8, with a header.")


_PARSERS: Mapping[str, Parser] = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), table_rows),
    **dict.fromkeys((".jsonl", ".ndjson"), read_jsonl),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), read_workbook),
    **dict.fromkeys((".xml", ".numbers"), _refuse),
    ".json": read_json,
    ".txt": read_txt,
}


def _json_row(line: str, origin: str) -> Row | RowError:
    if isinstance(line, Flawed):
        return RowError(origin, line.problem)
    try:
        return _row(msgspec.json.decode(line), origin)
    except _BAD_JSON as error:
        return RowError(origin, f"not valid JSON: {error}.")


def _row(cells: Any, origin: str) -> Row | RowError:
    if not isinstance(cells, dict):
        return RowError(origin, 'the row must be a JSON object such as {"image": "shoe.jpg"}.')
    if not writable(cells, DEEPEST):
        return RowError(origin, f"nested more than {DEEPEST} levels deep.")
    return Row(origin, cells)
