"""Standard input that can be ended from within, so that a run which waits for more lines can be stopped."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Endable(io.RawIOBase):
    """The bytes of a file descriptor, up to its end or to `end()`, whichever comes first.

    On Windows, where `select` doesn't accept pipes, `end` takes effect with the next line.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._woken, self._wake = os.pipe()
        self._ended = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read bytes as they arrive; returns their number, 0 at the end."""
        if sys.platform != "win32":
            select.select([self._descriptor, self._woken], [], [])
        if self._ended:
            return 0
        view = memoryview(buffer).cast("B")
        data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        return len(data)

    def end(self) -> None:
        """Make the current read and all later ones return the end."""
        self._ended = True
        os.write(self._wake, b"\0")

    def close(self) -> None:
        """Close the wake-up pipe; the descriptor itself stays open."""
        if not self.closed:
            os.close(self._woken)
            os.close(self._wake)
        super().close()


def endable_stdin() -> tuple[BinaryIO, Endable]:
    """Standard input for reading, and the object that ends it."""
    raw = Endable(sys.stdin.fileno())
    return cast(BinaryIO, io.BufferedReader(raw)), raw
