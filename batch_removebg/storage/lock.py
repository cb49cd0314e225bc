"""One writer for each OUT: a lock that the system releases with its process, and a file that says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch_removebg.clock import Clock
from batch_removebg.errors import LockedError

from .atomic import disk_errors


@contextmanager
def locked(folder: Path, *, clock: Clock, by: str = "") -> Iterator[None]:
    """Hold the lock of a state folder during the block; raises LockedError, which names another process that has it.

    `by`: what locks it, where that leaves it free for runs.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{by}lock", timeout=0.5, poll_interval=0.1, thread_local=False)  # `held` may be looking
    holder = folder / f"{by}holder.json"
    with disk_errors(folder / "lock"):
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
                f"{folder.parent} is in use by another {by or 'run'} ({_who(holder)}); "
                "wait for it, or choose another --out"
            ) from None
    try:
        with disk_errors(holder):
            holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": clock.stamp()}))
        yield
    finally:
        with suppress(OSError):  # on a disk that has become read-only, the run's own error is the one to report
            holder.unlink()
        lock.release()


def held(folder: Path) -> bool:
    """Whether a process holds the lock of a state folder; it isn't disturbed."""
    if sys.platform == "win32":
        return (folder / "holder.json").exists()
    from fcntl import LOCK_NB, LOCK_SH, flock

    try:
        with (folder / "lock").open("rb") as file:
            flock(file, LOCK_SH | LOCK_NB)  # until the file is closed
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False


def _who(holder: Path) -> str:
    try:
        known = json.loads(holder.read_text())
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
