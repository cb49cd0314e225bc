"""Tables: lines → rows, many at a time where all of them are plain."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, count, repeat

from batch_removebg.errors import ManifestError
from batch_removebg.model import Lot, UrlRow
from batch_removebg.storage.naming import URLS

from .columns import Choice, Row, RowError, columns_of, find_columns
from .text import LONGEST_LINE, Flawed, Stream, lines

MANY, _LONG = 512, 1 << 17
"""Lines that are parsed together, fewer where they are long: until this many characters are exceeded."""
HEAD = 10  # lines or rows in which the header is looked for
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP = re.compile(r'\s*"?sep=([^"\r\n])"?\s*', re.IGNORECASE)  # as Excel understands it
Rows = Iterator[tuple[Lot | None, Row | list[UrlRow] | RowError]]
"""As it stands in the manifest, None for a line of a plain list, and what is made of it."""
NOTHING = Lot((), [()])  # of a row that can't be read


def table_rows(
    stream: Stream, name: str, choice: Choice, listed: Callable[[Iterator[str], str, Choice], Rows] | None = None
) -> Rows:
    """The rows of a table after its header, delimited by what gives a column with pictures.

    `listed` reads the lines where there is no such header of several columns.
    """
    source = lines(stream, name)
    together = _together(source)
    head = next(together, [])
    delimiter, end, cells = _find_header(head, choice)
    if listed is not None and (len(cells) < 2 or columns_of(tuple(cells), choice) is None):
        yield from listed(chain(head, chain.from_iterable(together)), name, choice)
        return
    for number, line in enumerate(head[:end], 1):
        if isinstance(line, Flawed):
            raise ManifestError(f"{name}:{number}: {line.problem}")
    table = Table(cells, f"{name}:{end}", choice, f"{_DELIMITERS.get(delimiter, repr(delimiter))} divide it; ")
    for some in chain([head[end:]], together):
        rows = _one_a_line(some, delimiter)
        if rows is not None:
            yield from table.rows(rows, end + 1)
            end += len(some)
            continue
        before, end, held = end, end + len(some), deque[str]()
        for number, last, found in _records(chain(some, source), before, delimiter, held):
            yield (NOTHING, RowError(f"{name}:{number}", found)) if isinstance(found, str) else table.row(found, number)
            end = max(end, last)
            if last >= end and not held:
                break


def header_at(rows: Sequence[Sequence[str]], choice: Choice) -> int | None:
    """Which of the first rows is the header: the first that names the picture, or the next that says the same again."""
    for nth, cells in enumerate(rows):
        alone = sum(map(bool, cells)) < 2 and any(map(any, rows[:nth]))
        if not alone and not any("://" in cell for cell in cells) and (found := columns_of(tuple(cells), choice)):
            break
    else:
        return None
    for again in rows[nth + 1 :]:  # as in Amazon's: one header for people, one for programs
        also = columns_of(tuple(again), choice)
        if also is None or not also.ids or not found.ids or also.image == found.image:
            break
        if again.index(also.image) != rows[nth].index(found.image):
            break
        nth += 1
    return nth


def _find_header(head: Sequence[str], choice: Choice) -> tuple[str, int, list[str]]:
    """(Delimiter, number of lines up to its end, cells)."""
    said = _SEP.fullmatch(head[0]) if head else None
    best, shown = None, (",", 1, list[str]())
    for delimiter in [said[1]] if said else _DELIMITERS:
        reader = csv.reader(head[said is not None :], delimiter=delimiter)
        with suppress(csv.Error):
            records = [([cell.strip() for cell in cells], reader.line_num + (said is not None)) for cells in reader]
            nth = header_at([cells for cells, _ in records], choice)
            if nth is None:
                cells, end = next((record for record in records if any(record[0])), ([], 1))
                shown = max(shown, (delimiter, end, cells), key=lambda found: len(found[2]))
            elif best is None or (-records[nth][1], len(records[nth][0])) > (-best[1], len(best[2])):
                best = delimiter, records[nth][1], records[nth][0]
    return best or shown


def _together(lines: Iterator[str]) -> Iterator[list[str]]:
    """HEAD lines, then MANY at a time, fewer where they are long; an error is raised after the lines before it."""
    some, size, most = list[str](), 0, HEAD
    try:
        for line in lines:
            some.append(line)
            size += len(line)
            if len(some) >= most or size > _LONG:
                yield some
                some, size, most = [], 0, MANY
    except ManifestError:
        yield from [some] if some else []
        raise
    yield from [some] if some else []


def _one_a_line(lines: Sequence[str], delimiter: str) -> list[list[str]] | None:
    if Flawed in map(type, lines):
        return None
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:  # or a row continues after these lines
        return None
    return rows if len(rows) == len(lines) else None


def _records(
    lines: Iterator[str], before: int, delimiter: str, held: deque[str]
) -> Iterator[tuple[int, int, list[str] | str]]:
    """(First line, last line, cells or what is wrong) of each row that isn't blank; `before` lines precede.

    Of a row that can't be read only the first line is passed over; those after it are `held`, and read as rows.
    """
    taken: list[str] = []

    def feed() -> Iterator[str]:
        size = 0
        while (line := held.popleft() if held else next(lines, None)) is not None:
            size = size + len(line) if taken else len(line)
            taken.append(line)
            if size > LONGEST_LINE:
                raise csv.Error(f"it is longer than {LONGEST_LINE:,} characters")
            yield line

    while True:
        # Strict, or a quote that is never closed would swallow the rest of the file as one cell.
        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                start, before = before + 1, before + len(taken)
                flawed = next((line.problem for line in taken if isinstance(line, Flawed)), None)
                taken.clear()
                if flawed or any(map(str.strip, cells)):
                    yield start, before, flawed or cells
            return
        except csv.Error as error:
            before += 1
            held.extendleft(reversed(taken[1:]))
            taken.clear()
            yield before, before, f"the row can't be read ({error}); check its quotes."


class Table:
    """Converts cells to rows: those that need no check to UrlRows."""

    def __init__(self, cells: Sequence[str], origin: str, choice: Choice, how: str = "") -> None:
        """`cells`: the header, at `origin`; `how`: more to say about it, ending in a semicolon and a space."""
        self._name = origin.rpartition(":")[0]
        self._header = header = [cell.strip() for cell in cells]
        while header and not header[-1]:
            header.pop()
        columns = find_columns(tuple(header), origin, choice)
        twice = sorted({name for nth, name in enumerate(header) if name and name in header[:nth]})
        choice.note(columns.told(self._name, how) + (f"; of two named {twice[0]!r} the first counts" if twice else ""))
        self._at = {name: header.index(name) for name in header if name}  # the first of equal ones
        self._image, self._id = self._at[columns.image], self._at[columns.ids[0]] if columns.ids else None
        self._output = None if columns.output is None else self._at[columns.output]
        self._others = {name: self._at[name] for name in dict.fromkeys(columns.others)}

    def rows(self, many: Sequence[Sequence[str]], number: int) -> Rows:
        """The rows that aren't blank, of one line each, the first in line `number`."""
        if urls := self.url_rows(many, number):
            yield Lot(self._header, many), urls
            return
        for line, cells in enumerate(many, number):
            if any(map(str.strip, cells)):
                yield self.row(cells, line)

    def row(self, cells: Sequence[str], number: int) -> tuple[Lot, Row | list[UrlRow] | RowError]:
        """The row that starts in line `number`; cells that are missing at its end are empty."""
        width, origin = len(self._header), f"{self._name}:{number}"
        cells = [*cells, *[""] * (width - len(cells))]
        lot = Lot(self._header, [cells[:width]])
        if urls := self.url_rows([cells], number):
            return lot, urls
        if any(cell.strip() for cell in cells[width:]):
            return lot, RowError(
                origin,
                f"the row has {len(cells)} cells where the header has {width}; "
                "a cell that holds the delimiter must stand in quotes.",
            )
        return lot, Row(origin, {name: cells[nth] for name, nth in self._at.items()})

    def url_rows(self, rows: Sequence[Sequence[str]], line: int) -> list[UrlRow] | None:
        """The rows as they are, or None where `row_item` has to check one; column by column, which is quick."""
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:  # some are longer than others
            return None
        if self._id is None or len(columns) != len(self._header):
            return None
        ids, urls = columns[self._id], columns[self._image]
        if not all(ids) or list(map(str.strip, ids)) != list(ids):
            return None
        if False in [url.startswith(URLS) for url in urls] or "\n".join(urls).count("//") > len(urls):
            return None  # or a cell may hold several URLs
        if self._output is not None and any(columns[self._output]):
            return None
        others = zip(*[columns[nth] for nth in self._others.values()], strict=True)
        metas = [dict(zip(self._others, cells, strict=True)) for cells in others] if self._others else repeat({})
        return list(map(UrlRow, ids, urls, metas, repeat(self._name), count(line)))
