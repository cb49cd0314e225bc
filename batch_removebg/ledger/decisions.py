"""What people decided about the pictures: `OUT/decisions.jsonl`, a journal of its own beside the ledger; see README.md.

Whoever reviews appends to it, also while a run holds the lock of OUT. A verdict is about one picture of one item, and
the last one wins: a picture that is made anew is undecided again. An edit outlives that, until it is given up.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sys import intern
from typing import Any, BinaryIO, Final, Literal, Self, get_args

from msgspec.json import Decoder
from msgspec.structs import replace

from batch_removebg.errors import DecisionsDamaged, LedgerError
from batch_removebg.storage.atomic import disk_errors, fsync_dir, make_folder, put_aside, write_atomic
from batch_removebg.storage.layout import DECISIONS, STATE

from . import codec
from .events import Entry, decode, encode
from .state import ItemState

Verdict = Literal["accepted", "rejected", "redo", "undecided"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
NEWS = 20_000
_PATIENCE = 30.0  # seconds for others who are appending


class Decided(Entry, tag="decided", frozen=True, kw_only=True):
    """A verdict about the picture of an item that has `output_sha256`; `undecided` takes an earlier one back."""

    item: str
    verdict: Verdict
    note: str = ""
    output_sha256: str | None = None
    redo: Mapping[str, Any] = {}  # of `redo`: the options of a run that shall be others


class Edited(Entry, tag="edited", frozen=True, kw_only=True):
    """An alpha that somebody has touched up, for every picture of that content from now on; `alpha` None: given up."""

    item: str
    content: str  # sha256 of the source, else the fingerprint of what was bought for it
    alpha: str | None  # sha256 of the file under `.batch-removebg/edits`
    output_sha256: str | None = None  # of the picture that it was drawn on
    operations: int = 0  # strokes and the like


_EVENTS: Final[Mapping[str, type[Entry]]] = {"decided": Decided, "edited": Edited}
_decode = partial(decode, name=DECISIONS, known=_EVENTS, quick=Decoder(Decided | Edited).decode)
_NO_OPTIONS: Final[Mapping[str, Any]] = {}  # one for all in memory


class Decisions:
    """The decisions on record: `read`, then `refresh`, `append` and questions. All of it blocks."""

    edited: dict[str, Edited]  # the last of each content
    lines: int  # that there are
    news: deque[str]  # the items of the last lines that were read, for who takes them from it

    def __init__(self, path: Path) -> None:
        """`path`: of the file, which needn't exist."""
        self.path, self.news = path, deque(maxlen=NEWS)
        self._begin(0)

    def _begin(self, file: int) -> None:
        self._file, self._end, self.lines = file, 0, 0
        self._said = dict[str, Decided]()  # by item and picture, and without these
        self._latest: Decided | None = None
        self.edited = {}

    @classmethod
    def read(cls, out: Path) -> Self:
        """Those of an OUT; raises LedgerError where they can't be read, DecisionsDamaged for a line that is none."""
        decisions = cls(out / DECISIONS)
        decisions.refresh()
        return decisions

    def refresh(self) -> bool:
        """Read what has been appended meanwhile, by whomever; returns whether there was something. Raises as `read`."""
        known = self._file, self._end
        try:
            with self.path.open("rb") as file:
                self._go_on(file)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or being written
                    if (entry := _decode(line, self.lines + 1)) is None:
                        raise DecisionsDamaged(self.path, f"line {self.lines + 1} is damaged")
                    self._take(entry)
                    self.lines += 1
                    self._end += len(line)
        except FileNotFoundError:
            self._begin(0)
        except OSError as error:
            raise LedgerError(f"{self.path}: can't be read: {error.strerror or error}") from error
        return known != (self._file, self._end)

    def _go_on(self, file: BinaryIO) -> None:
        """Go to the end of what is known; to the beginning of a file that is another one, or was cut."""
        number = os.fstat(file.fileno()).st_ino
        file.seek(max(0, self._end - 1))
        if number != self._file or (self._end and file.read(1) != b"\n"):
            self._begin(number)
            file.seek(0)

    def append(self, entries: Sequence[Decided | Edited], stamp: str) -> None:
        """Put entries on disk, durably, then on record; raises DiskError where none of them counts, else as `read`."""
        data = b"".join(encode(replace(entry, t=""), stamp) for entry in entries)
        with _writing(self.path):
            self.refresh()
            with disk_errors(self.path):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                descriptor = os.open(self.path, flags, 0o666)
                try:
                    if os.fstat(descriptor).st_size > self._end:  # what a crash has left of a line
                        put_aside(self.path, stamp, start=self._end)
                        os.ftruncate(descriptor, self._end)
                    _write(descriptor, data)
                finally:
                    os.close(descriptor)
            if not self._end:
                fsync_dir(self.path.parent)
            self.refresh()

    def of(self, item: str, state: ItemState) -> Decided | None:
        """The verdict about the item's picture as it is now; None where there is none, or it was taken back."""
        found = self.last(item, state)
        return found if found is not None and found.verdict != "undecided" else None

    def last(self, item: str, state: ItemState) -> Decided | None:
        """What was said last of the item's picture as it is now, `undecided` included where there is a note."""
        keys = (_key(one, state.sha256) for one in (item, *state.was))
        found = next((said for key in keys if (said := self._said.get(key)) is not None), None)
        if found is None or (found.verdict, found.note) == ("undecided", ""):
            return None
        return replace(found, item=item, output_sha256=state.sha256)

    def edit(self, state: ItemState) -> Edited | None:
        """The edit in force for an item's source."""
        found = self.edited.get(state.source_sha256 or state.fingerprint or "")
        return found if found is not None and found.alpha is not None else None

    def items(self) -> Iterator[str]:
        """The ids that verdicts were given to, perhaps several times, and under those that they had then."""
        return (key.rpartition("\0")[0] for key in list(self._said))

    def _take(self, entry: Entry) -> None:
        self.news.extend([entry.item] if isinstance(entry, Decided | Edited) else [])
        if isinstance(entry, Edited) and entry.content:
            self.edited[entry.content] = entry
        elif isinstance(entry, Decided):
            verdict: Verdict = entry.verdict if entry.verdict in VERDICTS else "undecided"  # one of a later version
            said = replace(entry, item="", output_sha256=None, verdict=intern(verdict), redo=entry.redo or _NO_OPTIONS)
            if said != self._latest:  # else many were decided at once, and share it
                self._latest = said
            self._said[_key(entry.item, entry.output_sha256)] = self._latest


def repair(out: Path, stamp: str, values: Iterable[Mapping[str, Any]], *, dry_run: bool = False) -> int | None:
    """Make a damaged file anew of the sound ones among its `values`, and put it aside; returns how many lines that are.

    None where it is sound. Raises DiskError, and LedgerError for a format newer than this program knows.
    """
    try:
        Decisions.read(out)
        return None
    except DecisionsDamaged:
        lines = [line for value in values if _decode(line := codec.encode(value) + b"\n", 0) is not None]
    if not dry_run:
        with _writing(path := out / DECISIONS):
            put_aside(path, stamp, start=0)
            write_atomic(path, lines)
    return len(lines)


def _key(item: str, sha256: str | None) -> str:
    return f"{item}\0{(sha256 or '')[:16]}"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Others who append wait meanwhile, and are waited for."""
    from filelock import FileLock

    make_folder(path.parent / STATE)
    with disk_errors(path), FileLock(path.parent / STATE / "decisions.lock", timeout=_PATIENCE):
        yield


def _write(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
