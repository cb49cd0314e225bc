"""INPUTs → Items, one at a time, each of them once."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from batch_removebg.errors import ManifestError
from batch_removebg.model import Item, UrlRow

from .columns import as_item, path_item, row_item, value_item
from .folder import walk
from .inputs import Input, Kind, matches, resolve
from .rows import Parser, parser_for, read_mixed, read_txt
from .seen import Marks, Seen
from .text import lines, opened, printable


def _ignore(_: str) -> None:
    """Takes warnings nobody asked for."""


def read(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = _ignore,
) -> Iterator[Item]:
    """Every picture the INPUTs name, once, in a stable order, read lazily; see `read_rows`."""
    for row in read_rows(inputs, out=out, stdin=stdin, on_warning=on_warning):
        yield as_item(row)


def read_rows(
    inputs: Sequence[str],
    *,
    out: Path | None,
    stdin: BinaryIO | None = None,
    on_warning: Callable[[str], None] = _ignore,
) -> Iterator[Item | UrlRow]:
    """The same, where a row that can be looked at as it is may stay one: `as_item` makes the Item of it.

    `out` is left out of folders; `stdin` stands for the process's own. What a person should know but need not act on
    goes to `on_warning`. Raises ManifestError, before the first Item for an INPUT that does not exist, later for a row
    that makes no sense, an id that stands for two sources, and where there is nothing to do at all.
    """
    found = resolve(inputs, out, on_warning)
    reader = _Reader(out, on_warning, stdin, many=len(found) > 1)
    rows = reader.rows(found)
    for first in rows:
        yield first
        yield from rows
        return
    raise _nothing_to_do(inputs)


def check(
    inputs: Sequence[str], *, out: Path | None, rows: int = 10_000, look: Callable[[Item], object] = lambda _: None
) -> int | None:
    """Read at most `rows` Items and raise the ManifestError met there, so that it stops a run before it costs.

    Manifests are read first. Stdin can't be read twice and is left alone. `look` is shown each Item, and may raise.
    Returns the number of Items, or None where not all were read.
    """
    found = resolve(inputs, out, _ignore)
    rereadable = [each for each in found if each.kind is not Kind.STDIN]
    rereadable.sort(key=lambda each: each.kind is not Kind.MANIFEST)
    reader = _Reader(out, _ignore, None, many=len(found) > 1)
    with contextlib.closing(reader.rows(rereadable)) as items:
        count = 0
        for row in itertools.islice(items, rows):
            look(as_item(row))
            count += 1
        whole = count < rows or next(items, None) is None
    if not whole or len(rereadable) < len(found):
        return None
    if count == 0:
        raise _nothing_to_do(inputs)
    return count


def _nothing_to_do(inputs: Sequence[str]) -> ManifestError:
    named = ", ".join(map(printable, inputs)) or "no INPUT was given"
    return ManifestError(f"There is nothing to do: no picture was found ({named}).")


class _Reader:
    """Reads each kind of INPUT and lets nothing through twice."""

    def __init__(
        self, out: Path | None, on_warning: Callable[[str], None], stdin: BinaryIO | None, *, many: bool
    ) -> None:
        self._out = out
        self._warn = on_warning
        self._stdin = stdin
        self._many = many
        self._seen = Seen()
        self._files = Seen()
        self._marks: Marks | None = None
        self._found: Sequence[Input] = ()
        self._passed = 0

    def rows(self, found: Sequence[Input]) -> Generator[Item | UrlRow]:
        # What can be read twice is, should an id come twice: until then a mark for each is enough.
        self._found = found
        self._marks = Marks() if all(each.kind is Kind.MANIFEST for each in found) else None
        for each in found:
            named = self._many and each.kind not in {Kind.MANIFEST, Kind.STDIN}
            for some in self._read(each):
                if self._marks is not None and self._are_unmarked(some):
                    yield from some
                    continue
                for row in some:
                    if self._is_new(as_item(row), by_file=named):
                        yield row

    def _read(self, each: Input) -> Iterator[Sequence[Item | UrlRow]]:
        """The rows, one or several at a time."""
        if each.kind is Kind.MANIFEST:
            return self._manifest(Path(each.value))
        if each.kind is Kind.STDIN:
            return _rows(self._stdin or sys.stdin.buffer, "stdin", read_mixed, Path())
        return ([item] for item in self._pictures(each))

    def _pictures(self, each: Input) -> Iterator[Item]:
        if each.kind is Kind.FOLDER:
            return self._folder(each)
        if each.kind is Kind.TREE:
            return self._tree(each)
        if each.kind is Kind.FILE:
            base = each.base if each.base is not None else Path(each.value).parent
            name = printable(Path(each.value).relative_to(base).as_posix())
            return iter([replace(path_item(each.value, each.origin, Path()), name=name)])
        return iter([value_item(each.value, each.origin, Path())])

    def _folder(self, each: Input) -> Iterator[Item]:
        root = Path(each.value)
        prefix = f"{_own_name(root)}/" if self._many and _own_name(root) else ""
        for path, error in self._walk(root):
            yield _walked(path, error, root, prefix=prefix, origin=each.origin)

    def _tree(self, each: Input) -> Iterator[Item]:
        root = Path(each.value)
        prefix = "" if root == Path() else f"{root.as_posix().rstrip('/')}/"
        for path, error in self._walk(root):
            if error is not None or matches(path, each.pattern):
                item = _walked(path, error, root, prefix=prefix, origin=each.origin)
                yield replace(item, name=printable(path))

    def _walk(self, root: Path) -> Iterator[tuple[str, OSError | None]]:
        try:
            yield from walk(root, out=self._out, warn=self._warn)
        except OSError as error:
            raise ManifestError(f"{printable(root)} can't be read: {error.strerror or error}.") from error

    def _manifest(self, path: Path) -> Iterator[Sequence[Item | UrlRow]]:
        parser = parser_for(path) or read_txt
        with opened(path) as stream:
            yield from _rows(stream, printable(path), parser, path.parent)

    def _are_unmarked(self, rows: Sequence[Item | UrlRow]) -> bool:
        """Whether it is certain that each id comes for the first time; there are no marks any more where it is not."""
        assert self._marks is not None  # noqa: S101  # narrows the type
        if self._marks.add([row.id for row in rows]):
            self._look_back()
            return False
        self._passed += len(rows)
        return True

    def _is_new(self, item: Item, *, by_file: bool) -> bool:
        """Whether the item has to be done; raises ManifestError where its id stands for another picture already."""
        source = self._seen.source(item)
        earlier = self._seen.add(item.id, source, item.origin)
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

    def _look_back(self) -> None:
        """Read what has passed once more, to know from now on where each id came first, and what it stands for."""
        self._marks = None
        again = itertools.chain.from_iterable(some for each in self._found for some in self._read(each))
        for item in map(as_item, itertools.islice(again, self._passed)):
            self._seen.add(item.id, self._seen.source(item), item.origin)


def _rows(stream: BinaryIO, name: str, parser: Parser, base: Path) -> Iterator[Sequence[Item | UrlRow]]:
    for row in parser(lines(stream, name), name):
        yield row if isinstance(row, list) else [row_item(row.cells, row.origin, base)]


def _own_name(root: Path) -> str:
    """The folder's name, also where it is given as `.` or `..`."""
    return root.name if root.name not in {"", ".."} else root.resolve().name


def _walked(path: str, error: OSError | None, root: Path, *, prefix: str, origin: str) -> Item:
    item_id, source = printable(prefix + path), printable(root / path)
    if error is None:
        return Item(item_id, source, origin, path=root / path)
    reason = error.strerror or str(error)
    problem = f"The folder can't be read: {reason}. Give yourself the right to read it, then run again."
    return Item(item_id, source, origin, problem=problem)
