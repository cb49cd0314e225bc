"""Messages between a process and its child: what is large passes by memory that both hold, the rest by a pipe.

Only Linux has such memory without a name, of which nothing stays behind whoever is killed; elsewhere all passes by the
pipe. It is written and read as a file: a receiver has a copy of its own, so the memory is free again at once.
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


def dump(message: tuple[Any, ...], pipe: IO[bytes], region: int | None) -> None:
    """Send a message; the region, by its number as a file, is not to be used again until that has been loaded."""
    _Pickler(pipe, region).dump(message)
    pipe.flush()


def load(pipe: IO[bytes]) -> Any:
    """The next message, once it is there; raises what pickle raises, and EOFError at the end."""
    return _Unpickler(pipe).load_all()


def shrink(region: int | None, size: int) -> None:
    """Give memory back but so many bytes."""
    if region is not None and os.fstat(region).st_size > size:
        os.ftruncate(region, size)


class _Pickler(pickle.Pickler):
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


class _Unpickler(pickle.Unpickler):
    _region: int | None = None

    def load_all(self) -> Any:
        message = self.load()
        shrink(self._region, KEPT)
        return message

    def persistent_load(self, where: tuple[int, int, int, bool]) -> bytes | bytearray:
        self._region, place, size, constant = where
        if constant:
            return os.pread(self._region, size, place)
        part = bytearray(size)
        os.preadv(self._region, [part], place)
        return part
