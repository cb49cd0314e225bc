"""The machine's cores and memory, and threads for work on pixels that stay within both."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Linux control groups, version 2: microseconds of CPU time (or `max`) in each period, and the period's."""
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Bytes that a container may use, or `max`: control groups of version 2 and of version 1."""


def cores() -> int:
    """Cores this process may use: those it is allowed to run on, or fewer where a container gets less CPU time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    match _words(_QUOTA):
        case [time, period] if time.isdecimal() and period.isdecimal() and int(period):
            return min(allowed, max(1, math.ceil(int(time) / int(period))))
    return allowed


def memory() -> int:
    """Bytes of memory for this process: the machine's or the container's limit; 8 GiB where the system doesn't say."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        whole = 8 << 30
    return min([whole, *(int(word) for limit in _LIMITS for word in _words(limit) if word.isdecimal())])


def open_files() -> int:
    """Files and sockets that this process may have open at a time."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 8192
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 8192 if most == resource.RLIM_INFINITY else most


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except (OSError, ValueError):
        return []


class Cpu:
    """Runs pure functions in worker threads, by default as many at once as there are cores."""

    def __init__(self, *, threads: int | None = None, budget: int = 2 << 30) -> None:
        """`budget`: bytes of decoded pixels at a time; a single picture that exceeds it runs alone."""
        self._limiter = anyio.CapacityLimiter(threads or cores())
        self._budget = budget
        self._used = 0
        self._freed = anyio.Condition()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; a call that has begun isn't cancelled."""
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)

    @asynccontextmanager
    async def memory(self, cost: int) -> AsyncIterator[None]:
        """Reserve `cost` bytes of the budget during the block."""
        async with self._freed:
            while self._used and self._used + cost > self._budget:
                await self._freed.wait()
            self._used += cost
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self._freed:
                    self._used -= cost
                    self._freed.notify_all()
