"""How far into the ledger an index reaches, and whether that part is still what it was."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

_BLOCK = 1 << 20
_MUCH = 1 << 24
"""Bytes, and a quarter of what an index covers: where the ledger has grown by more, to build it anew is quicker."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The part of a ledger that has been folded: its first `end` bytes."""

    end: int = 0
    lines: int = 0
    crc: int = 0
    stat: str | None = None  # the ledger's size, times and inode when it ended there: while they are the same, so is it

    def longer(self, lines: list[bytes]) -> Checkpoint:
        """The checkpoint with these lines after it."""
        data = b"".join(lines)
        return Checkpoint(self.end + len(data), self.lines + len(lines), zlib.crc32(data, self.crc))

    def stamped(self, status: os.stat_result) -> Checkpoint:
        """The checkpoint with the file's present state, if the file ends where the cover does."""
        return replace(self, stat=_stat(status) if status.st_size == self.end else None)

    def lacking(self, path: Path) -> str:
        """How the ledger fails to begin with what is covered, in words or empty; one that was touched is read."""
        if self.end == 0:
            return ""
        if not path.exists():
            return f"it is gone, and its index covers {self.lines} lines of it"
        status = path.stat()
        if status.st_size < self.end:
            return f"it ends after {status.st_size} bytes, and its index covers {self.end}"
        if self.stat != _stat(status) and _crc(path, self.end) != self.crc:
            return f"its first {self.lines} lines aren't those that its index covers: it was edited, or is another one"
        return ""

    def far_behind(self, path: Path) -> bool:
        """Whether the ledger has grown by so much that the index is better built anew; raises OSError."""
        return path.exists() and path.stat().st_size - self.end > max(_MUCH, self.end / 4)


def _stat(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def _crc(path: Path, size: int) -> int:
    crc = 0
    with path.open("rb") as file:
        for start in range(0, size, _BLOCK):
            crc = zlib.crc32(file.read(min(size - start, _BLOCK)), crc)
    return crc
