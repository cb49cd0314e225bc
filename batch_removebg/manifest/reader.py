"""INPUTs → Items, one at a time and each of them once."""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
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
from .identity import BY_DEFAULT, Identity, numbered
from .inputs import Input, InputKind, resolve
from .roots import Roots
from .rows import Parser, parser_for, read_json, read_jsonl, read_mixed, read_txt
from .seen import Earlier, Marks, Seen
from .text import Stream, begins, between_nuls, nameable, opened, printable


def read_rows(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = ignore,
    choice: Choice = Choice(),
    folders: Folders | None = None,
    identity: Identity = BY_DEFAULT,
    root: str | None = None,
) -> Iterator[Item | UrlRow]:
    """Every picture that the INPUTs name, once, in a stable order, read lazily; `as_item` makes Items of UrlRows.

    `folders` (default: all but `out`) say what is taken of folders; `stdin`, a buffered reader, replaces the process's
    own; ids and names of files are relative to `root`, by default to the folder that they have in common. A row that
    makes no sense is an Item with that as its problem, one without a picture is counted. Raises ManifestError: before
    the first Item for an INPUT that doesn't exist, later where no picture is found and, if `choice` is strict, for
    senseless rows and for an id with two sources.
    """
    folders = folders or Folders(out)
    found = resolve(inputs, folders, on_warning)
    rows = _Reader(folders, on_warning, stdin, choice, identity, Roots.of(found, root)).rows(found)
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
    identity: Identity = BY_DEFAULT,
    root: str | None = None,
) -> int | None:
    """Read at most `rows` Items, manifests first, so that a ManifestError stops the run before it costs anything.

    stdin can't be read twice and is skipped. `look` is called with each Item that has no problem, and may raise.
    Returns the number of Items, or None where not all were read.
    """
    folders = folders or Folders(out)
    found = resolve(inputs, folders, ignore)
    rereadable = [each for each in found if each.kind is not InputKind.STDIN]
    rereadable.sort(key=lambda each: each.kind is not InputKind.MANIFEST)
    reader = _Reader(folders, ignore, None, replace(choice, note=ignore), identity, Roots.of(found, root))
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
    _choice: Choice
    _identity: Identity
    _roots: Roots
    _seen: Seen = field(default_factory=Seen)
    _files: Seen = field(default_factory=Seen)
    _marks: Marks | None = None
    _found: Sequence[Input] = ()
    _passed: int = 0
    _empty: int = 0  # rows without a picture
    _first_empty: str = ""
    _again: int = 0  # rows whose id stands for another picture already
    _first_again: str = ""

    def rows(self, found: Sequence[Input]) -> Generator[Item | UrlRow]:
        # Manifests can be read again should an id repeat; until then a mark for each id is enough.
        self._found = found
        self._marks = Marks() if all(each.kind is InputKind.MANIFEST for each in found) else None
        with closing(self._seen), closing(self._files):
            for each in found:
                by_file = len(found) > 1 and each.kind not in {InputKind.MANIFEST, InputKind.STDIN}
                for rows in map(self._identity.of_all, self._read(each)):
                    if self._marks is not None and self._are_unmarked(self._marks, rows):
                        yield from rows
                    else:
                        new = (self._new(as_item(row), by_file=by_file) for row in rows)
                        yield from (item for item in new if item is not None)
            if self._empty:
                rows_have = "1 row has" if self._empty == 1 else f"{self._empty} rows have"
                self._warn(f"{rows_have} no picture, the first in {self._first_empty}; passed by.")
            if self._again:
                more = f" ({self._again} such rows)" if self._again > 1 else ""
                self._warn(f"{self._first_again}{more}; --strict stops there.")

    def _read(self, each: Input) -> Iterator[Sequence[Item | UrlRow]]:
        """The rows, one or several at a time."""
        path = Path(each.value)
        match each.kind:
            case InputKind.MANIFEST:
                name, base = (printable(path), path.parent) if each.url is None else (each.origin, each.url)
                yield from self._roots.below(lambda: self._manifest(path, name, parser_for(path) or read_txt, base))
            case InputKind.STDIN:
                stdin = cast("Stream", self._stdin or sys.stdin.buffer)
                if self._roots.given is not None or not begins(stdin, b"/"):
                    yield from self._roots.below(lambda: self._lines(stdin), once=True)
                    return
                with tempfile.NamedTemporaryFile() as copy:  # read to its end, to know what its paths have in common
                    shutil.copyfileobj(stdin, copy)
                    copy.flush()
                    yield from self._roots.below(lambda: self._copied(Path(copy.name)))
            case InputKind.FOLDER:
                yield from ([item] for item in self._folder(path, each))
            case InputKind.FILE:
                name = self._roots.name(path) if each.base is None else path.relative_to(each.base).as_posix()
                yield [replace(path_item(each.value, each.origin), name=nameable(name) or name)]
            case InputKind.URL:
                yield [value_item(each.value, each.origin, Path())]

    def _manifest(self, path: Path, name: str, parser: Parser, base: Path | str) -> Iterator[Sequence[Item | UrlRow]]:
        with opened(path) as stream:
            yield from self._rows(stream, name, parser, base)

    def _copied(self, path: Path) -> Iterator[Sequence[Item | UrlRow]]:
        with opened(path) as stream:
            yield from self._lines(stream)

    def _lines(self, stream: Stream) -> Iterator[Sequence[Item | UrlRow]]:
        """The rows of stdin, each in a line or, as `find -print0` writes them, up to a NUL."""
        yield from ([value_item(path, "stdin", Path())] for path in between_nuls(stream))
        yield from self._rows(stream, "stdin", read_mixed, Path())

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
        others: Sequence[str] = ()
        if each.pattern:
            prefix = "" if root == Path() else f"{root.as_posix().rstrip('/')}/"
        else:
            prefix, *others = self._roots.prefixes(root)
        try:
            for name, error in walk(root, replace(self._folders, only=each.pattern)):
                path, problem = root / name, None
                shown = nameable(name) or name if each.pattern else nameable(prefix + name)
                if error is not None:
                    reason = error.strerror or str(error)
                    problem = f"The folder can't be read: {reason}. Give yourself the right to read it, then run again."
                file = path if error is None else None
                was = tuple([printable(other + name) for other in others])
                yield Item(
                    printable(prefix + name), printable(path), each.origin, file, shown, problem=problem, was=was
                )
        except OSError as error:
            raise ManifestError(f"{printable(root)} can't be read: {error.strerror or error}.") from error

    def _are_unmarked(self, marks: Marks, rows: Sequence[Item | UrlRow]) -> bool:
        """Whether each id is certainly new; where one may not be, marks are given up for exact records."""
        if marks.add([row.id + row.suffix for row in rows]):
            self._record_passed()
            return False
        self._passed += len(rows)
        return True

    def _new(self, item: Item, *, by_file: bool) -> Item | None:
        """The item if it has to be processed; numbered where its id belongs to another picture."""
        source = self._seen.source(item)
        earlier = self._seen.add(item.id, source, item.origin)
        if earlier is not None and not earlier.same_source:
            item, earlier = self._numbered(item, source, earlier)
        if earlier is None and by_file:
            earlier = self._files.add(source, source, item.origin)
        if earlier is None:
            return item
        self._warn(f"{item.origin}: {item.source} was named before ({earlier.origin}); it is done once.")
        return None

    def _numbered(self, item: Item, source: str, first: Earlier) -> tuple[Item, Earlier | None]:
        """The item under the next id of its kind; raises ManifestError if that is not wanted."""
        what = f"{item.origin}: the id {item.id!r} stands for another picture already ({first.origin})"
        if self._choice.strict:
            raise ManifestError(
                f"{what}; give each its own in an id column, or rename one of two folders with the same name."
            )
        if (earlier := self._seen.add(f"{item.id}\0{source}", source, item.origin)) is not None:
            return item, earlier
        new = numbered(item, self._seen.times(item.id))
        while self._seen.add(new.id, source, item.origin) is not None:  # a row has that for its own id
            new = numbered(item, self._seen.times(item.id))
        self._again += 1
        self._first_again = self._first_again or f"{what}: this one is {new.id!r}"
        return new, None

    def _record_passed(self) -> None:
        """Read the rows that have passed once more, to record where each id first occurred, and for which source."""
        self._marks = None
        told = self._empty, self._first_empty, self._choice
        self._choice = replace(self._choice, note=ignore)
        read = (rows for each in self._found for rows in self._read(each))
        again = itertools.chain.from_iterable(map(self._identity.of_all, read))
        for item in map(as_item, itertools.islice(again, self._passed)):
            self._seen.add(item.id, self._seen.source(item), item.origin)
        self._empty, self._first_empty, self._choice = told
