"""Time, sleep and randomness as one value that tests can replace."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio


@dataclass(frozen=True, slots=True)
class Clock:
    """Source of time and randomness for every part that waits."""

    monotonic: Callable[[], float] = time.monotonic  # seconds, for durations
    wall: Callable[[], float] = time.time  # seconds since 1970, for stamps
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    random: Callable[[], float] = random.random  # uniform in [0, 1), for jitter

    def stamp(self) -> str:
        """The current time as the ledger writes it: UTC, milliseconds, `Z`."""
        return stamp(self.wall())


def stamp(seconds: float) -> str:
    """Seconds since 1970 as `2026-01-31T02:00:00.123Z`."""
    thousandths = round(seconds * 1_000_000) // 1000
    return f"{_whole(thousandths // 1000)}.{thousandths % 1000:03d}Z"


@functools.lru_cache(maxsize=2)
def _whole(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
