"""INPUTs → Items, one at a time and each of them once."""

from __future__ import annotations

import copy
import io
import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from batch_removebg.errors import ItemError, ManifestError, RetryError
from batch_removebg.events import ignore
from batch_removebg.model import Item, Lot, UrlRow
from batch_removebg.storage.objects import opened as opened_store

from .columns import Choice, RowError, as_item, path_item, row_items, value_item
from .folder import Folders, below, left_out_text, location, walk
from .identity import Identity, numbered
from .inputs import Input, InputKind, resolve
from .roots import Roots, Rows
from .rows import Parser, parser_for, read_mixed, read_txt
from .seen import Earlier, Marks, Seen
from .shard import Shard, Tally
from .text import Stream, between_nuls, nameable, opened, peeked, printable

_Some = Sequence[Item | UrlRow]
_NO_KEYS = "Keys with an empty part, `.` or `..` can't be read, nor what begins with a sign beside them. Rename them."
_NUMBERED = "numbered so for "  # before the origin of an item whose id ends in a number that this program gave it


@dataclass(frozen=True, slots=True)
class Reading:
    """How INPUTs are read."""

    choice: Choice = field(default_factory=Choice)
    folders: Folders = field(default_factory=Folders)
    identity: Identity = field(default_factory=Identity)
    root: str | None = None  # what ids and names of files are relative to; by default the folder they have in common
    warn: Callable[[str], None] = ignore
    keep: Callable[[Lot], None] = ignore  # told each row, also those without a picture
    shard: Shard | None = None  # whose rows are read alone
    whole: Tally = field(default_factory=Tally)  # of all shards' items, where there are shards


def read_rows(inputs: Sequence[str], reading: Reading, stdin: BinaryIO | None = None) -> Iterator[Item | UrlRow]:
    """Every picture that the INPUTs name, once, in a stable order, read lazily; `as_item` makes Items of UrlRows.

    `stdin`, a buffered reader, replaces the process's own. A row that makes no sense is an Item with that as its
    problem, one without a picture is counted. Raises ManifestError: before the first Item for an INPUT that doesn't
    exist, later where no picture is found and, if the choice is strict, for senseless rows and an id with two sources.
    """
    found = resolve(inputs, reading.folders, reading.warn)
    rows = _Reader(reading, found, stdin).rows()
    if (first := next(rows, None)) is None:
        _require_something(inputs, reading)
        return
    yield first
    yield from rows


def check(
    inputs: Sequence[str], reading: Reading, *, rows: int = 10_000, look: Callable[[Item], object] = ignore
) -> int | None:
    """Read at most `rows` Items, manifests first, so that a ManifestError stops the run before it costs anything.

    stdin can't be read twice and is skipped. `look` is called with each Item that has no problem, and may raise.
    Returns the number of Items, or None where not all were read.
    """
    found = resolve(inputs, reading.folders, ignore)
    rereadable = [each for each in found if each.kind is not InputKind.STDIN]
    rereadable.sort(key=lambda each: each.kind is not InputKind.MANIFEST)
    with closing(_Reader(_silent(reading), rereadable).rows()) as items:
        count = 0
        for count, item in enumerate(map(as_item, itertools.islice(items, rows)), 1):  # noqa: B007  # used below
            if item.problem is None:
                look(item)
        whole = count < rows or next(items, None) is None
    if not whole or len(rereadable) < len(found):
        return None
    if count == 0:
        _require_something(inputs, reading)
    return count


def _stream(data: bytes) -> Stream:
    return io.BufferedReader(cast("io.RawIOBase", io.BytesIO(data)))  # a raw stream for all that a reader needs


def _silent(reading: Reading) -> Reading:
    return replace(reading, warn=ignore, keep=ignore, choice=replace(reading.choice, note=ignore))


def _require_something(inputs: Sequence[str], reading: Reading) -> None:
    """Raise ManifestError where nothing was found; a shard may have nothing while others do."""
    if reading.whole.items:
        return
    named, left_out = ", ".join(map(printable, inputs)) or "no INPUT was given", left_out_text(reading.folders.left_out)
    raise ManifestError(f"There is nothing to do: no picture was found ({named}){'; ' if left_out else ''}{left_out}.")


@dataclass(slots=True)
class _Tally:
    """How often something came, and the first of them."""

    times: int = 0
    first: str = ""

    def add(self, what: str) -> None:
        self.times += 1
        self.first = self.first or what


class _Reader:
    """Reads every kind of INPUT and drops repetitions."""

    def __init__(self, reading: Reading, found: Sequence[Input], stdin: BinaryIO | None = None) -> None:
        self._reading, self._found, self._stdin = reading, found, stdin
        self._roots = Roots(found, reading.root)
        self._seen, self._files = Seen(), Seen()
        # Manifests can be read again should an id repeat; until then a mark for each id is enough.
        kinds = [each.kind for each in found]
        self._marks = Marks() if {*kinds} == {InputKind.MANIFEST} or kinds == [InputKind.PREFIX] else None
        self._passed = 0
        self._empty, self._again = _Tally(), _Tally()  # rows without a picture; with an id that another picture has

    def rows(self) -> Generator[Item | UrlRow]:
        with closing(self._seen), closing(self._files):
            for each in self._found:
                by_file = len(self._found) > 1 and each.kind not in {InputKind.MANIFEST, InputKind.STDIN}
                for lots, many in self._identified(each):
                    ids = [row.id for row in many]
                    if self._marks is not None and not self._marks.add(ids):
                        self._passed += len(many)
                        yield from self._own(lots, many, many, ids)
                        continue
                    if self._marks is not None:  # an id may have come before
                        self._record_passed()
                    for lot, rows in _one_by_one(lots, many):
                        found = [self._new(as_item(row), by_file=by_file) for row in rows]
                        yield from self._own(lot, rows, [item for _, item in found], [key for key, _ in found])
            if times := self._empty.times:
                rows_have = "1 row has" if times == 1 else f"{times} rows have"
                self._reading.warn(f"{rows_have} no picture, the first in {self._empty.first}; passed by.")
            if times := self._again.times:
                more = f" ({times} such rows)" if times > 1 else ""
                self._reading.warn(f"{self._again.first}{more}; --strict stops there.")

    def _own(
        self, lot: Lot | None, rows: _Some, found: Sequence[Item | UrlRow | None], ids: Sequence[str]
    ) -> Sequence[Item | UrlRow]:
        """Those of the `found` that are new, for a shard its own alone; the `rows` are kept, with their ids."""
        if (shard := self._reading.shard) is not None:
            has = [shard.has(self._roots.relative(self._seen.source(row))) for row in rows]
            for item in found:
                if item is not None:
                    self._reading.whole.add(item.id)
            if lot is not None and not any(has):  # what has no picture is the first one's
                lot = None if rows or shard.number > 1 else lot
            elif lot is not None and len(lot.rows) > 1:
                lot = lot._replace(rows=list(compress(lot.rows, has)))
            found, ids = list(compress(found, has)), list(compress(ids, has))
        new = [item for item in found if item is not None]
        self._keep(lot, new, ids)
        return new

    def _keep(self, lot: Lot | None, rows: _Some, ids: Sequence[str]) -> None:
        if lot is not None:
            self._reading.keep(lot._replace(ids=ids))
        elif rows:
            self._reading.keep(Lot(("id", "source"), [(row.id, row.source) for row in rows], [row.id for row in rows]))

    def _identified(self, each: Input) -> Rows:
        """The rows, one or several at a time, under ids of their own."""
        return ((lot, self._reading.identity.of_all(rows)) for lot, rows in self._read(each))

    def _read(self, each: Input) -> Rows:
        path = Path(each.value)
        match each.kind:
            case InputKind.MANIFEST:
                yield from self._roots.below(partial(self._manifest, path, each))
            case InputKind.STDIN:
                stdin = cast("Stream", self._stdin or sys.stdin.buffer)
                if self._roots.given is not None:
                    yield from self._roots.below(partial(self._lines, stdin))
                elif not peeked(stdin).startswith(b"/"):
                    yield from self._lines(stdin)
                else:
                    held = stdin.read()  # to its end, to know what its paths have in common
                    yield from self._roots.below(lambda: self._lines(_stream(held)))
            case InputKind.FOLDER:
                yield from ((None, [item]) for item in self._folder(path, each))
            case InputKind.FILE:
                name = self._roots.name(path) if each.base is None else path.relative_to(each.base).as_posix()
                yield None, [replace(path_item(each.value, path, each.origin), name=nameable(name) or name)]
            case InputKind.PREFIX:
                yield from ((None, [item]) for item in self._prefix(each))
            case InputKind.URL:
                yield None, [value_item(each.value, each.origin, Path())]

    def _manifest(self, path: Path, each: Input) -> Rows:
        name, base = (printable(path), path.parent) if each.url is None else (each.origin, each.url or Path())
        with opened(path) as stream:
            yield from self._rows(stream, name, parser_for(path) or read_txt, base)

    def _lines(self, stream: Stream) -> Rows:
        """The rows of stdin, each in a line or, as `find -print0` writes them, up to a NUL."""
        yield from ((None, [value_item(path, "stdin", Path())]) for path in between_nuls(stream))
        yield from self._rows(stream, "stdin", read_mixed, Path())

    def _rows(self, stream: Stream, name: str, parser: Parser, base: Path | str) -> Rows:
        choice = self._reading.choice
        for lot, row in parser(stream, name, choice):
            if isinstance(row, list):
                yield lot, row
                continue
            try:
                if isinstance(row, RowError):
                    raise row
                items = row_items(row.cells, row.origin, base, choice)
            except RowError as error:
                if choice.strict:
                    raise
                items = [Item(error.origin, error.origin, error.origin, problem=error.problem)]
            if not items:
                self._empty.add(row.origin)
            yield lot, items

    def _folder(self, root: Path, each: Input) -> Iterator[Item]:
        others: Sequence[str] = ()
        if each.pattern:
            prefix = "" if root == Path() else f"{root.as_posix().rstrip('/')}/"
        else:
            prefix, *others = self._roots.prefixes(root)
        try:
            for name, error in walk(root, replace(self._reading.folders, only=each.pattern)):
                item = path_item(prefix + name, root / name, each.origin)
                if error is not None:
                    problem = f"The folder can't be read: {error.strerror or error}. Allow yourself to read it."
                    item = replace(item, path=None, problem=problem)
                shown = nameable(name) or name if each.pattern else nameable(prefix + name)
                yield replace(item, name=shown, was=tuple([printable(other + name) for other in others]))
        except OSError as error:
            raise ManifestError(f"{printable(root)} can't be read: {error.strerror or error}.") from error

    def _prefix(self, each: Input) -> Iterator[Item]:
        store, _ = opened_store(each.value)
        (bucket, _), name = location(each.value), PurePosixPath(each.value).name
        above = f"{name}/" if len(self._found) > 1 else ""
        try:
            for key, name in below(store.listed, each.value, self._reading.folders):
                problem = _NO_KEYS if key.endswith("/") else None
                yield Item(printable(above + name), f"{bucket}/{printable(key)}", each.origin, problem=problem)
        except (ItemError, RetryError) as error:
            raise ManifestError(f"{each.origin} can't be listed: {error}.") from error

    def _record_passed(self) -> None:
        """Give up marks for exact records: read what has passed again, for where each id was first, and its source."""
        self._marks = None
        again = copy.copy(self)
        again._reading, again._empty = _silent(self._reading), _Tally()
        rows = (row for each in self._found for _, rows in again._identified(each) for row in rows)
        for item in map(as_item, itertools.islice(rows, self._passed)):
            self._seen.add(item.id, self._seen.source(item), _first(item))

    def _new(self, item: Item, *, by_file: bool) -> tuple[str, Item | None]:
        """The item's id, numbered where that belongs to another picture; and the item if it has to be processed."""
        source = self._seen.source(item)
        earlier = self._seen.add(item.id, source, _first(item))
        if earlier is not None and not earlier.same_source:
            item, earlier = self._numbered(item, source, earlier)
        if earlier is None and by_file:
            earlier = self._files.add(source, source, item.origin)
        if earlier is None:
            return item.id, item
        before = earlier.origin.removeprefix(_NUMBERED)
        self._reading.warn(f"{item.origin}: {item.source} was named before ({before}); it is done once.")
        return item.id, None

    def _numbered(self, item: Item, source: str, first: Earlier) -> tuple[Item, Earlier | None]:
        """The item under the next id of its kind; raises ManifestError if that is not wanted."""
        what = f"{item.origin}: the id {item.id!r} stands for another picture already ({first.origin})"
        if self._reading.choice.strict:
            raise ManifestError(
                f"{what}; give each its own in an id column, or rename one of two folders with the same name."
            )
        new, key = item, f"{item.id}\0{source}"
        if (earlier := self._seen.add(key, source, item.origin)) is not None:
            again = self._seen.add(f"{key}\0", "", "")
            return (numbered(item, int(again.origin)) if again is not None else item), earlier
        while self._seen.add(new.id, source, _first(new)) is not None:  # or a row has that for its own id
            new = numbered(item, number := self._seen.times(item.id))
        self._seen.add(f"{key}\0", "", str(number))
        say = self._reading.warn if first.origin.startswith(_NUMBERED) and not item.suffix else self._again.add
        say(f"{what}: this one is {new.id!r}")
        return new, None


def _one_by_one(lot: Lot | None, rows: Sequence[Item | UrlRow]) -> Rows:
    """A lot of several rows as one for each."""
    if lot is None or len(lot.rows) == 1:
        return iter([(lot, rows)])
    return ((lot._replace(rows=[cells]), [row]) for cells, row in zip(lot.rows, rows, strict=True))


def _first(item: Item) -> str:
    """Where an id was first, for people: a row that has it for its own is told whose number took it."""
    return _NUMBERED + item.origin if item.suffix else item.origin
