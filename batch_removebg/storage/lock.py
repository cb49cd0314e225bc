"""One writer for each OUT: a lock that the system releases with its process, and a file that says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batch_removebg.clock import Clock
from batch_removebg.errors import LockedError

from .atomic import disk_errors

_BRIEF = 15.0  # seconds for which a lock is waited for that is held for some seconds


@contextmanager
def locked(folder: Path, *, clock: Clock, brief: bool = False, by: str = "") -> Iterator[bool]:
    """Hold the lock of a state folder during the block; raises LockedError, which names another process that has it.

    `brief`: for some seconds, for which others wait; `by`: what locks it, where that leaves it free for runs. The block
    gets whether the last one who held it was killed.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{by}lock", timeout=0.5, poll_interval=0.1, thread_local=False)  # `held` may be looking
    holder = folder / f"{by}holder.json"
    with disk_errors(folder / "lock"):
        try:
            try:
                lock.acquire()
            except Timeout:
                lock.acquire(timeout=_BRIEF if _holder(holder).get("brief") else 0)
        except Timeout:
            raise LockedError(
                f"{folder.parent} is in use by another {by or 'run'} ({_who(holder)}); "
                "wait for it, or choose another --out"
            ) from None
    try:
        with disk_errors(holder):
            killed, who = holder.exists(), {"pid": os.getpid(), "host": socket.gethostname(), "since": clock.stamp()}
            holder.write_text(json.dumps(who | ({"brief": True} if brief else {})))
        yield killed
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
    known = _holder(holder)
    return "process {pid} on {host}, since {since}".format_map(known) if known else "process unknown"


def _holder(holder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        known = json.loads(holder.read_text())
        return known if isinstance(known, dict) and {"pid", "host", "since"} <= known.keys() else {}
    return {}
