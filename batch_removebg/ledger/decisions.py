"""What people decided about the pictures: `OUT/decisions.jsonl`, a journal of its own beside the ledger; see README.md.

Whoever reviews appends to it, also while a run holds the lock of OUT. The last line of an item wins, and a verdict is
about one picture: a picture that is made anew is undecided again. An edit outlives that, until it is given up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import Any, Literal, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batch_removebg.errors import LedgerDamaged, LedgerError
from batch_removebg.storage.atomic import disk_errors, fsync_dir
from batch_removebg.storage.layout import DECISIONS

from .state import ItemState

Verdict = Literal["accepted", "rejected", "redo", "undecided"]


class Decided(Struct, frozen=True, kw_only=True, tag_field="event", tag="decided", omit_defaults=True, gc=False):
    """A verdict about the picture of an item that has `output_sha256`; `undecided` takes an earlier one back."""

    v: Literal[1] = 1
    t: str = ""  # when: an ISO stamp
    item: str
    verdict: Verdict
    note: str = ""
    output_sha256: str | None = None
    redo: Mapping[str, Any] = {}  # of `redo`: the options of a run that shall be others


class Edited(Struct, frozen=True, kw_only=True, tag_field="event", tag="edited", omit_defaults=True, gc=False):
    """An alpha that somebody has touched up, for every picture of that content from now on; `alpha` None: given up."""

    v: Literal[1] = 1
    t: str = ""
    item: str
    content: str  # sha256 of the source, else the fingerprint of what was bought for it
    alpha: str | None  # sha256 of the file under `.batch-removebg/edits`
    output_sha256: str | None = None  # of the picture that it was drawn on
    operations: int = 0  # strokes and the like


_decode = msgspec.json.Decoder(Decided | Edited).decode
_encode = msgspec.json.Encoder().encode


class Decisions:
    """The decisions on record: by item, and edits by content; `read`, then `refresh` and `append`. All of it blocks."""

    def __init__(self, path: Path) -> None:
        """`path`: of the file, which needn't exist."""
        self.path = path
        self.decided: dict[str, Decided] = {}
        self.edited: dict[str, Edited] = {}
        self._end = self._lines = 0

    @classmethod
    def read(cls, out: Path) -> Self:
        """Those of an OUT; raises LedgerError where they can't be read, LedgerDamaged for a line that is none."""
        decisions = cls(out / DECISIONS)
        decisions.refresh()
        return decisions

    def refresh(self) -> bool:
        """Read what has been appended meanwhile, by whomever; returns whether there was something. Raises as `read`."""
        begun = self._end
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._end:
                    raise LedgerDamaged(self.path, "it was cut short")
                file.seek(self._end)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn, or being written
                    self._lines += 1
                    self._take(self._entry(line))
                    self._end += len(line)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LedgerError(f"{self.path}: can't be read: {error.strerror or error}") from error
        return self._end > begun

    def append(self, entries: Sequence[Decided | Edited], stamp: str) -> None:
        """Put entries on disk, durably, then on record; raises DiskError where nothing of them counts."""
        lines = [_encode(replace(entry, t=stamp)) + b"\n" for entry in entries]
        new = not self.path.exists()
        with disk_errors(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            try:
                _end_torn(descriptor, self.path)
                _write(descriptor, b"".join(lines))
            finally:
                os.close(descriptor)
        if new:
            fsync_dir(self.path.parent)
        self.refresh()

    def of(self, item: str, state: ItemState) -> Decided | None:
        """The verdict about the item's picture as it is now; None where there is none."""
        found = self.decided.get(item)
        return found if found is not None and found.output_sha256 == state.sha256 else None

    def _take(self, entry: Decided | Edited) -> None:
        if isinstance(entry, Edited):
            self.edited[entry.content] = entry
        elif entry.verdict == "undecided":
            self.decided.pop(entry.item, None)
        else:
            self.decided[entry.item] = replace(entry, verdict=intern(entry.verdict))

    def _entry(self, line: bytes) -> Decided | Edited:
        try:
            entry: Decided | Edited = _decode(line)
            return entry
        except (msgspec.MsgspecError, ValueError) as error:
            raise LedgerDamaged(self.path, f"line {self._lines} is damaged") from error


def _end_torn(descriptor: int, path: Path) -> None:
    """Cut what a crash left of a last line."""
    size = os.fstat(descriptor).st_size
    if not size or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 20)))
        tail = file.read()
    if not tail.endswith(b"\n"):
        os.ftruncate(descriptor, size - len(tail) + tail.rfind(b"\n") + 1)


def _write(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
