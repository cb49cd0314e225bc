"""Messages between a process and its child: what is large passes by memory that both hold, the rest by a pipe.

Only Linux has memory without a name, which nobody can leave behind; elsewhere all passes by the pipe. It is written and
read as a file, so a receiver has a copy of its own.
"""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from typing import IO, Any

LEAST = 64 << 10  # bytes; what is smaller is as quick in the pipe
MOST = 1 << 30  # bytes; Linux writes and reads up to twice as many in one call
KEPT = 16 << 20  # bytes of each region, since new memory takes six times as long to write as what was used before


def regions(count: int) -> list[IO[bytes]]:
    """Memory for so many messages at a time, to be handed to a child by `pass_fds`; fewer where there is none."""
    made: list[IO[bytes]] = []
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # not allowed, or too many files are open
            made.extend(os.fdopen(os.memfd_create("batch-removebg"), "w+b", 0) for _ in range(count))
    return [region for region in made if region.fileno() > 2]  # those below are the child's own pipes


class Sender(pickle.Pickler):
    """Pickles a message; its region (a file's number) is not to be used again until the message has been loaded."""

    def __init__(self, pipe: IO[bytes], region: int | None) -> None:
        super().__init__(pipe, pickle.HIGHEST_PROTOCOL)
        self._region, self._end = region, 0

    def persistent_id(self, part: Any) -> tuple[int, int, int, bool] | None:
        """Where a part lies in the region; None where it shall pass by the pipe."""
        if self._region is None or type(part) not in (bytes, pickle.PickleBuffer):
            return None
        view = memoryview(part) if isinstance(part, bytes) else part.raw()  # the latter is an array's
        place, size = self._end, view.nbytes
        with suppress(OSError):  # there is no memory for it
            if LEAST <= size <= MOST and os.pwrite(self._region, view, place) == size:
                self._end += size
                return self._region, place, size, view.readonly
        return None


class Receiver(pickle.Unpickler):
    """Loads one message; its region is free for another then."""

    _region: int | None = None

    def load(self) -> Any:
        """The message, once it is there; gives memory back but what is kept."""
        message = super().load()
        if self._region is not None and os.fstat(self._region).st_size > KEPT:
            os.ftruncate(self._region, KEPT)
        return message

    def persistent_load(self, where: tuple[int, int, int, bool]) -> bytes | bytearray:
        """A copy of the part that lies there, which may be changed where that could be."""
        self._region, place, size, constant = where
        if constant:
            return os.pread(self._region, size, place)
        os.preadv(self._region, [part := bytearray(size)], place)
        return part
