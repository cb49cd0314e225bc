"""The real command in a hurry: its time runs faster, and its wall clock jumps when told.

    HURRY='{"speed": 40, "zero": 81.5, "jumps": [[12.0, 3600.0]]}' python tests/crash/hurried.py WORDS...

`zero` is the system's monotonic time at which the hurried time began, which a server can share; each of `jumps` sets
the wall clock so many seconds off from that hurried second on. `begun` on stdout says that the imports are done, and
`peak=KIB` on stderr how much memory the process has used.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio

START = 1_800_000_000.0
"""Seconds since 1970 at which hurried time begins."""


@dataclass(frozen=True)
class Hurry:
    """A time that runs faster."""

    speed: float = 40.0
    zero: float = field(default_factory=time.monotonic)
    jumps: tuple[tuple[float, float], ...] = ()

    def monotonic(self) -> float:
        return (time.monotonic() - self.zero) * self.speed

    def wall(self) -> float:
        """The right time."""
        return START + self.monotonic()

    def jumping(self) -> float:
        """The time of a clock that is set wrong, and put right."""
        now = self.monotonic()
        return START + now + next((off for since, off in reversed(self.jumps) if since <= now), 0.0)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self.speed)

    def told(self) -> dict[str, str]:
        """The environment that says so to a process."""
        return {"HURRY": json.dumps({"speed": self.speed, "zero": self.zero, "jumps": self.jumps})}


def peak(process: int | str = "self") -> int:
    """The most memory, in KiB, that a process has used; 0 where the system doesn't say."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:")), 0)


def main() -> int:
    hurry = Hurry(**json.loads(os.environ["HURRY"]))
    time.time = hurry.jumping

    from batch_removebg.cli.main import run_command
    from batch_removebg.clock import Clock
    from batch_removebg.providers.replicate import Replicate
    from batch_removebg.run import batch, night
    from batch_removebg.run.settings import Settings

    clock = partial(Clock, monotonic=hurry.monotonic, wall=hurry.jumping, sleep=hurry.sleep)
    batch.Clock = night.Clock = clock  # type: ignore[assignment,misc]
    endpoint, fetching, exchange = Settings.endpoint, Settings.fetching, Replicate._exchange

    async def impatient(*args: Any, patience: float = 0.0, **kwargs: Any) -> Any:
        return await exchange(*args, patience=patience / hurry.speed, **kwargs)

    def sooner(policy: Any) -> Any:
        return replace(policy, seconds=policy.seconds / hurry.speed)

    Settings.endpoint = lambda self: sooner(endpoint(self))  # type: ignore[method-assign]
    Settings.fetching = lambda self: sooner(fetching(self))  # type: ignore[method-assign]
    Replicate._exchange = impatient  # type: ignore[method-assign]
    print("begun", flush=True)
    code = run_command(sys.argv[1:])
    print(f"peak={peak()}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
