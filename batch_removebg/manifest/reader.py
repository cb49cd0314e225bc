"""INPUTs → Items, one at a time and each of them once."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from batch_removebg.errors import ManifestError
from batch_removebg.events import ignore
from batch_removebg.model import Item, UrlRow

from .columns import Choice, NoPicture, RowError, as_item, find_columns, path_item, row_items, value_item
from .folder import Folders, left_out_text, walk
from .inputs import Input, InputKind, resolve
from .rows import Parser, parser_for, read_json, read_jsonl, read_mixed, read_txt
from .seen import Marks, Seen
from .text import Stream, between_nuls, nameable, opened, printable


def read_rows(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = ignore,
    choice: Choice = Choice(),
    folders: Folders | None = None,
) -> Iterator[Item | UrlRow]:
    """Every picture that the INPUTs name, once, in a stable order, read lazily; `as_item` makes Items of UrlRows.

    `folders` (default: all but `out`) say what is taken of folders; `stdin`, a buffered reader, replaces the process's
    own. A row that makes no sense is an Item with that as its problem, one without a picture is counted. Raises
    ManifestError: before the first Item for an INPUT that doesn't exist, later for an id with two sources, where no
    picture is found, and for rows if `strict`.
    """
    folders = folders or Folders(out)
    found = resolve(inputs, folders, on_warning)
    rows = _Reader(folders, on_warning, stdin, len(found) > 1, choice).rows(found)
    if (first := next(rows, None)) is None:
        raise _nothing_to_do(inputs, folders)
    yield first
    yield from rows


def check(
    inputs: Sequence[str],
    *,
    out: Path | None,
    rows: int = 10_000,
    look: Callable[[Item], object] = ignore,
    choice: Choice = Choice(),
    folders: Folders | None = None,
) -> int | None:
    """Read at most `rows` Items, manifests first, so that a ManifestError stops the run before it costs anything.

    stdin can't be read twice and is skipped. `look` is called with each Item that has no problem, and may raise.
    Returns the number of Items, or None where not all were read.
    """
    folders = folders or Folders(out)
    found = resolve(inputs, folders, ignore)
    rereadable = [each for each in found if each.kind is not InputKind.STDIN]
    rereadable.sort(key=lambda each: each.kind is not InputKind.MANIFEST)
    reader = _Reader(folders, ignore, None, len(found) > 1, replace(choice, note=ignore))
    with closing(reader.rows(rereadable)) as items:
        count = 0
        for count, item in enumerate(map(as_item, itertools.islice(items, rows)), 1):  # noqa: B007  # used below
            if item.problem is None:
                look(item)
        whole = count < rows or next(items, None) is None
    if not whole or len(rereadable) < len(found):
        return None
    if count == 0:
        raise _nothing_to_do(inputs, folders)
    return count


def _nothing_to_do(inputs: Sequence[str], folders: Folders) -> ManifestError:
    named, left_out = ", ".join(map(printable, inputs)) or "no INPUT was given", left_out_text(folders.left_out)
    return ManifestError(f"There is nothing to do: no picture was found ({named}){'; ' if left_out else ''}{left_out}.")


@dataclass(eq=False)
class _Reader:
    """Reads every kind of INPUT and drops repetitions."""

    _folders: Folders
    _warn: Callable[[str], None]
    _stdin: BinaryIO | None
    _many: bool
    _choice: Choice
    _seen: Seen = field(default_factory=Seen)
    _files: Seen = field(default_factory=Seen)
    _marks: Marks | None = None
    _found: Sequence[Input] = ()
    _passed: int = 0
    _empty: int = 0  # rows without a picture
    _first_empty: str = ""

    def rows(self, found: Sequence[Input]) -> Generator[Item | UrlRow]:
        # Manifests can be read again should an id repeat; until then a mark for each id is enough.
        self._found = found
        self._marks = Marks() if all(each.kind is InputKind.MANIFEST for each in found) else None
        with closing(self._seen), closing(self._files):
            for each in found:
                by_file = self._many and each.kind not in {InputKind.MANIFEST, InputKind.STDIN}
                for rows in self._read(each):
                    if self._marks is not None and self._are_unmarked(self._marks, rows):
                        yield from rows
                    else:
                        yield from (row for row in rows if self._is_new(as_item(row), by_file=by_file))
            if self._empty:
                rows_have = "1 row has" if self._empty == 1 else f"{self._empty} rows have"
                self._warn(f"{rows_have} no picture, the first in {self._first_empty}; passed by.")

    def _read(self, each: Input) -> Iterator[Sequence[Item | UrlRow]]:
        """The rows, one or several at a time."""
        path = Path(each.value)
        match each.kind:
            case InputKind.MANIFEST:
                name, base = (printable(path), path.parent) if each.url is None else (each.origin, each.url)
                with opened(path) as stream:
                    yield from self._rows(stream, name, parser_for(path) or read_txt, base)
            case InputKind.STDIN:
                stdin = cast("Stream", self._stdin or sys.stdin.buffer)
                yield from ([value_item(path, "stdin", Path())] for path in between_nuls(stdin))
                yield from self._rows(stdin, "stdin", read_mixed, Path())
            case InputKind.FOLDER:
                yield from ([item] for item in self._folder(path, each))
            case InputKind.FILE:
                name = path.relative_to(path.parent if each.base is None else each.base).as_posix()
                yield [replace(path_item(each.value, each.origin), name=nameable(name) or name)]
            case InputKind.URL:
                yield [value_item(each.value, each.origin, Path())]

    def _rows(self, stream: Stream, name: str, parser: Parser, base: Path | str) -> Iterator[Sequence[Item | UrlRow]]:
        none_named, found, told = None, False, False
        for row in parser(stream, name, self._choice):
            if isinstance(row, list):
                items: Sequence[Item | UrlRow] = row
            else:
                try:
                    if isinstance(row, RowError):
                        raise row
                    items = row_items(row.cells, row.origin, base, self._choice)
                    if not told and parser in (read_json, read_jsonl):
                        told = bool(items)
                        self._choice.note(find_columns(tuple(row.cells), row.origin, self._choice).told(name))
                except RowError as error:
                    if self._choice.strict:
                        raise
                    items = [Item(error.origin, error.origin, error.origin, problem=error.problem)]
                except NoPicture as error:  # as objects in JSON leave out what they don't have
                    none_named, items = none_named or error, []
                if not items:
                    self._empty, self._first_empty = self._empty + 1, self._first_empty or row.origin
            found = found or bool(items)
            yield items
        if none_named is not None and not found:
            raise none_named

    def _folder(self, root: Path, each: Input) -> Iterator[Item]:
        if each.pattern:
            prefix = "" if root == Path() else f"{root.as_posix().rstrip('/')}/"
        else:
            # The folder's name, also where it is given as `.` or `..`.
            own = root.name if root.name not in {"", ".."} else root.resolve().name
            prefix = f"{own}/" if self._many and own else ""
        try:
            for name, error in walk(root, replace(self._folders, only=each.pattern)):
                path, problem = root / name, None
                shown = nameable(name) or name if each.pattern else nameable(prefix + name)
                if error is not None:
                    reason = error.strerror or str(error)
                    problem = f"The folder can't be read: {reason}. Give yourself the right to read it, then run again."
                file = path if error is None else None
                yield Item(printable(prefix + name), printable(path), each.origin, file, shown, problem=problem)
        except OSError as error:
            raise ManifestError(f"{printable(root)} can't be read: {error.strerror or error}.") from error

    def _are_unmarked(self, marks: Marks, rows: Sequence[Item | UrlRow]) -> bool:
        """Whether each id is certainly new; where one may not be, marks are given up for exact records."""
        if marks.add([row.id + row.suffix for row in rows]):
            self._record_passed()
            return False
        self._passed += len(rows)
        return True

    def _is_new(self, item: Item, *, by_file: bool) -> bool:
        """Whether the item has to be processed; raises ManifestError where its id belongs to another picture."""
        source = self._seen.source(item)
        earlier = self._seen.add(item.id + item.suffix, source, item.origin)
        if earlier is not None and not earlier.same_source:
            raise ManifestError(
                f"{item.origin}: the id {item.id!r} stands for another picture already ({earlier.origin}); "
                "give each its own in an id column, or rename one of two folders with the same name."
            )
        if earlier is None and by_file:
            earlier = self._files.add(source, source, item.origin)
        if earlier is not None:
            self._warn(f"{item.origin}: {item.source} was named before ({earlier.origin}); it is done once.")
        return earlier is None

    def _record_passed(self) -> None:
        """Read the rows that have passed once more, to record where each id first occurred, and for which source."""
        self._marks = None
        told = self._empty, self._first_empty, self._choice
        self._choice = replace(self._choice, note=ignore)
        again = itertools.chain.from_iterable(rows for each in self._found for rows in self._read(each))
        for item in map(as_item, itertools.islice(again, self._passed)):
            self._seen.add(item.id + item.suffix, self._seen.source(item), item.origin)
        self._empty, self._first_empty, self._choice = told
