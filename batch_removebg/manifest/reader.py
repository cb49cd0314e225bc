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

from .columns import as_item, path_item, row_item, value_item
from .folder import walk
from .identity import BY_DEFAULT, Identity, numbered
from .inputs import Input, InputKind, matches, resolve
from .roots import Roots
from .rows import Parser, parser_for, read_mixed, read_txt
from .seen import Earlier, Marks, Seen
from .text import Stream, begins, lines, opened, printable


def read_rows(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = ignore,
    identity: Identity = BY_DEFAULT,
    root: str | None = None,
    strict: bool = False,
) -> Iterator[Item | UrlRow]:
    """Every picture that the INPUTs name, once, in a stable order, read lazily; `as_item` makes Items of UrlRows.

    `out` is left out of folders; `stdin`, a buffered reader, replaces the process's own; ids and names of files are
    relative to `root`, by default to the folder that they have in common. Raises ManifestError: before
    the first Item for an INPUT that doesn't exist, later for an invalid row, where no picture is found and, if it is
    `strict`, for an id with two sources.
    """
    found = resolve(inputs, out, on_warning)
    rows = _Reader(out, on_warning, stdin, identity, Roots.of(found, root), strict).rows(found)
    if (first := next(rows, None)) is None:
        raise _nothing_to_do(inputs)
    yield first
    yield from rows


def check(
    inputs: Sequence[str],
    *,
    out: Path | None,
    rows: int = 10_000,
    look: Callable[[Item], object] = lambda _: None,
    identity: Identity = BY_DEFAULT,
    root: str | None = None,
    strict: bool = False,
) -> int | None:
    """Read at most `rows` Items, manifests first, so that a ManifestError stops the run before it costs anything.

    stdin can't be read twice and is skipped. `look` is called with each Item, and may raise.
    Returns the number of Items, or None where not all were read.
    """
    found = resolve(inputs, out, ignore)
    rereadable = [each for each in found if each.kind is not InputKind.STDIN]
    rereadable.sort(key=lambda each: each.kind is not InputKind.MANIFEST)
    reader = _Reader(out, ignore, None, identity, Roots.of(found, root), strict)
    with closing(reader.rows(rereadable)) as items:
        count = sum(1 for _ in map(look, map(as_item, itertools.islice(items, rows))))
        whole = count < rows or next(items, None) is None
    if not whole or len(rereadable) < len(found):
        return None
    if count == 0:
        raise _nothing_to_do(inputs)
    return count


def _nothing_to_do(inputs: Sequence[str]) -> ManifestError:
    named = ", ".join(map(printable, inputs)) or "no INPUT was given"
    return ManifestError(f"There is nothing to do: no picture was found ({named}).")


@dataclass(eq=False)
class _Reader:
    """Reads every kind of INPUT and drops repetitions."""

    _out: Path | None
    _warn: Callable[[str], None]
    _stdin: BinaryIO | None
    _identity: Identity
    _roots: Roots
    _strict: bool
    _seen: Seen = field(default_factory=Seen)
    _files: Seen = field(default_factory=Seen)
    _marks: Marks | None = None
    _found: Sequence[Input] = ()
    _passed: int = 0
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
            if self._again:
                more = f" ({self._again} such rows)" if self._again > 1 else ""
                self._warn(f"{self._first_again}{more}; --strict stops there.")

    def _read(self, each: Input) -> Iterator[Sequence[Item | UrlRow]]:
        """The rows, one or several at a time."""
        path = Path(each.value)
        match each.kind:
            case InputKind.MANIFEST:
                yield from self._roots.below(lambda: _manifest(path, printable(path)))
            case InputKind.STDIN:
                stdin = cast("Stream", self._stdin or sys.stdin.buffer)
                if self._roots.given is not None or not begins(stdin, b"/"):
                    yield from self._roots.below(lambda: _rows(stdin, "stdin", read_mixed, Path()), once=True)
                    return
                with tempfile.NamedTemporaryFile() as copy:  # read to its end, to know what its paths have in common
                    shutil.copyfileobj(stdin, copy)
                    copy.flush()
                    yield from self._roots.below(lambda: _manifest(Path(copy.name), "stdin", read_mixed, Path()))
            case InputKind.FOLDER:
                yield from ([item] for item in self._folder(path, each))
            case InputKind.FILE:
                name = self._roots.name(path) if each.base is None else path.relative_to(each.base).as_posix()
                yield [replace(path_item(each.value, each.origin), name=printable(name))]
            case InputKind.URL:
                yield [value_item(each.value, each.origin, Path())]

    def _folder(self, root: Path, each: Input) -> Iterator[Item]:
        others: Sequence[str] = ()
        if each.pattern:
            prefix = "" if root == Path() else f"{root.as_posix().rstrip('/')}/"
        else:
            prefix, *others = self._roots.prefixes(root)
        try:
            for name, error in walk(root, out=self._out, warn=self._warn):
                if error is None and each.pattern and not matches(name.split("/"), each.pattern):
                    continue
                path, shown, problem = root / name, printable(name) if each.pattern else None, None
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
        if marks.add([row.id for row in rows]):
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
        if self._strict:
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
        read = (rows for each in self._found for rows in self._read(each))
        again = itertools.chain.from_iterable(map(self._identity.of_all, read))
        for item in map(as_item, itertools.islice(again, self._passed)):
            self._seen.add(item.id, self._seen.source(item), item.origin)


def _manifest(
    path: Path, name: str, parser: Parser | None = None, base: Path | None = None
) -> Iterator[Sequence[Item | UrlRow]]:
    with opened(path) as stream:
        yield from _rows(stream, name, parser or parser_for(path) or read_txt, base or path.parent)


def _rows(stream: Stream, name: str, parser: Parser, base: Path) -> Iterator[Sequence[Item | UrlRow]]:
    for row in parser(lines(stream, name), name):
        yield row if isinstance(row, list) else [row_item(row.cells, row.origin, base)]
