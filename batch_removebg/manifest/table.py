"""Tables: lines → rows, many at a time where all of them are plain."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice, repeat

from batch_removebg.errors import ManifestError
from batch_removebg.model import UrlRow

from .columns import Row, find_columns
from .text import LONGEST_LINE

_MANY, _LONG = 512, 1 << 17
"""Lines that are parsed together, fewer where they are long: until this many characters are exceeded."""
_HTTP = ("https://", "http://")


def table_rows(lines: Iterator[str], name: str, delimiter: str | None = None) -> Iterator[Row | list[UrlRow]]:
    """The rows of a table after its header; by default `,` delimits, or `;` where the header has that alone."""
    skipped, first = next(((nth, line) for nth, line in enumerate(lines) if line.strip()), (0, ""))
    if delimiter is None:
        delimiter = ";" if ";" in first and "," not in first else ","
    number, end, cells = next(_records(chain([first], lines), name, skipped, delimiter), (1, 0, []))
    table = _Table(cells, name, number)
    while True:
        some, lines = _next(lines)
        if not some:
            return
        rows = _one_a_line(some, delimiter)
        if rows is not None:
            yield from table.rows(rows, end + 1)
            end += len(some)
            continue
        before, end = end, end + len(some)
        for number, last, cells in _records(chain(some, lines), name, before, delimiter):
            yield table.row(cells, number)
            if last >= end:
                end = last
                break


def _next(lines: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """The next lines, and the rest; an error is raised after the lines before it."""
    some, size = list[str](), 0
    try:
        for line in islice(lines, _MANY):
            some.append(line)
            size += len(line)
            if size > _LONG:
                break
    except ManifestError as error:
        if not some:
            raise
        return some, _failing(error)
    return some, lines


def _failing(error: ManifestError) -> Iterator[str]:
    yield from ()
    raise error


def _one_a_line(lines: Sequence[str], delimiter: str) -> list[list[str]] | None:
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:  # or a row continues after these lines
        return None
    return rows if len(rows) == len(lines) else None


def _records(lines: Iterator[str], name: str, before: int, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """(First line, last line, cells) of each row that isn't blank; `before` lines precede."""
    start, size = 0, 0

    def feed() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > LONGEST_LINE:
                raise ManifestError(f"{name}:{start}: the row is longer than {LONGEST_LINE:,} characters.")
            yield line

    # Strict, or a quote that is never closed would swallow the rest of the file as one cell.
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        start, size = before + reader.line_num + 1, 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ManifestError(f"{name}:{start}: the row can't be read ({error}); check its quotes.") from error
        if cells is None:
            return
        if _filled(cells):
            yield start, before + reader.line_num, cells


def _filled(cells: Sequence[str]) -> bool:
    return bool(cells and cells[0].strip()) or any(cell.strip() for cell in cells)


class _Table:
    """Converts cells to rows: those that need no check to UrlRows."""

    def __init__(self, cells: Sequence[str], name: str, number: int) -> None:
        """`cells`: the header, in line `number`."""
        self._name = name
        self._header = header = _header(cells, f"{name}:{number}")
        columns = find_columns(tuple(header), name)
        self._image = header.index(columns.image)
        # Without an id of its own a row has the URL's, which may need normalising.
        self._id = header.index(columns.id) if columns.id is not None and all(header) else None
        self._output = None if columns.output is None else header.index(columns.output)
        self._others = {column: header.index(column) for column in columns.others}

    def rows(self, many: Sequence[Sequence[str]], number: int) -> Iterator[Row | list[UrlRow]]:
        """The rows that aren't blank, of one line each, the first in line `number`."""
        if urls := self.url_rows(many, number):
            yield urls
            return
        for line, cells in enumerate(many, number):
            if _filled(cells):
                yield self.row(cells, line)

    def row(self, cells: Sequence[str], number: int) -> Row | list[UrlRow]:
        """The row that starts in line `number`."""
        if urls := self.url_rows([cells], number):
            return urls
        width = len(self._header)
        origin = f"{self._name}:{number}"
        if any(cell.strip() for cell in cells[width:]) or len(cells) < width:
            raise ManifestError(
                f"{origin}: the row has {len(cells)} cells where the header has {width}; "
                "a cell that holds the delimiter must stand in quotes."
            )
        return Row(origin, {column: cell for column, cell in zip(self._header, cells, strict=False) if column})

    def url_rows(self, rows: Sequence[Sequence[str]], line: int) -> list[UrlRow] | None:
        """The rows as they are, or None where `row_item` has to check one; column by column, which is quick."""
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:  # some are longer than others
            return None
        if self._id is None or len(columns) != len(self._header):
            return None
        ids, urls = columns[self._id], columns[self._image]
        if not all(ids) or False in [url.startswith(_HTTP) for url in urls]:
            return None
        if self._output is not None and any(columns[self._output]):
            return None
        others = zip(*[columns[nth] for nth in self._others.values()], strict=True)
        metas = [dict(zip(self._others, cells, strict=True)) for cells in others] if self._others else repeat({})
        return list(map(UrlRow, ids, urls, metas, repeat(self._name), count(line)))


def _header(cells: Sequence[str], origin: str) -> list[str]:
    """The columns' names; an unnamed one, as spreadsheets may leave it, is the empty string."""
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
