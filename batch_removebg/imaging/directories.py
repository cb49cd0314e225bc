"""TIFF's directories of tags, of either size and byte order (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

Tags = dict[int, tuple[int, ...]]
"""Whole numbers by tag, the first of them; none of a tag that holds something else."""
_FORMS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}  # by their type
_ENTRIES = 1 << 10  # that are looked at in a directory: cameras write up to a hundred
_VALUES = 1 << 8


class Directories:
    """Where the directories of a file lie, and what they say; a file cut short anywhere says less."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        self.big = self._number(2, 2) == 43
        # Bytes of a directory's count of entries, of each entry, and of an offset; where the first of these stands.
        self._counted, self._entry, self._wide, self._first = (8, 20, 8, 8) if self.big else (2, 12, 4, 4)

    def chain(self, most: int) -> Iterator[int]:
        """Offsets of the pages' directories, up to the first that comes a second time or isn't there, or `most`."""
        seen, at = set[int](), self._number(self._first, self._wide)
        while 0 < at < len(self._data) and at not in seen and len(seen) < most:
            seen.add(at)
            yield at
            at = self._number(at + self._counted + self._entry * self._number(at, self._counted), self._wide)

    def tags(self, at: int) -> Tags:
        """What the directory at that offset says."""
        found: Tags = {}
        count = min(self._number(at, self._counted), _ENTRIES, (len(self._data) - at) // self._entry)
        for start in range(at + self._counted, at + self._counted + count * self._entry, self._entry):
            kind, number = self._number(start + 2, 2), self._number(start + 4, self._wide)
            where, form = start + self._entry - self._wide, _FORMS.get(kind, "")
            size = number * struct.calcsize(f"={form}")
            if size > self._wide:
                where = self._number(where, self._wide)
            values = f"{'<' if self.order == 'little' else '>'}{min(number, _VALUES)}{form}" if form else ""
            whole = where + size <= len(self._data)
            found.setdefault(self._number(start, 2), struct.unpack_from(values, self._data, where) if whole else ())
        return found

    def with_first(self, at: int) -> bytes:
        """The file with the directory at that offset as its first."""
        start, end = self._data[: self._first], self._data[self._first + self._wide :]
        return start + at.to_bytes(self._wide, self.order) + end

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._data[at : at + size], self.order)
