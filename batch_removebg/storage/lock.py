"""One writer for each OUT: a lock held for the whole run, that dies with its process.

filelock is used for the lock itself: it is small, well kept, and right on every system, Windows included. Who holds it
is written beside it, for the message that a second run prints.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch_removebg.clock import Clock
from batch_removebg.errors import LockedError

from .atomic import disk_errors


@contextmanager
def locked(folder: Path, *, clock: Clock) -> Iterator[None]:
    """Hold the lock of the state folder `folder` for the length of the block.

    Raises LockedError, naming the holder, if another live process has it. A lock of a dead process does not block.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "lock", timeout=0, thread_local=False)
    holder = folder / "holder.json"
    with disk_errors(folder / "lock"):
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
                f"{folder.parent} is in use by another run ({_who(holder)}); wait for it, or choose another --out"
            ) from None
    try:
        with disk_errors(holder):
            holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": clock.stamp()}))
        yield
    finally:
        with suppress(OSError):  # on a disk that has become read-only, the run's own error is the one to tell
            holder.unlink()
        lock.release()


def _who(holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
