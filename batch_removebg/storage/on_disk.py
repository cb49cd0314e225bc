"""Data URIs that wait in a file of their own instead of in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from batch_removebg.hashing import sha256_hex

from .atomic import disk_errors, temp_name


class OnDisk(str):
    """Stands for a data URI, equal where that is equal; its file goes with the last who holds this."""

    path: Path

    def __del__(self, unlink: Callable[[Path], None] = os.unlink, gone: type[Exception] = OSError) -> None:
        try:  # noqa: SIM105  # with nothing that may be gone already when the interpreter ends
            unlink(self.path)
        except gone:
            pass


def stand_in(uri: str) -> str:
    """A short text for a data URI: its header and its digest."""
    return f"{uri.partition(',')[0][:80]},{sha256_hex(uri)}"


def read(path: Path) -> str:
    """The data URI itself; raises DiskError."""
    with disk_errors(path):
        return path.read_text("utf-8")


def put(folder: Path, uri: str) -> OnDisk:
    """Put a data URI into a temp file, which needn't survive this process; raises DiskError."""
    waiting = OnDisk(stand_in(uri))
    waiting.path = folder / temp_name()
    with disk_errors(waiting.path):
        waiting.path.write_text(uri, "utf-8")
    return waiting
