"""The real command, or a touch-up that clears an item's picture, killed by SIGKILL at its N-th tick.

    python tests/crash/victim.py N WORDS...
    python tests/crash/victim.py N touch-up OUT ITEM

A tick lies before and after each write, fsync, rename and unlink under OUT and each exchange with the API, and in the
middle of each ledger line. With N = 0 nothing happens, and the number of ticks goes to stderr at the end. `begun` on
stdout says that the imports are done. With CORES in the environment a cluster of its own has so many.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batch_removebg.cli.main import run_command
from batch_removebg.clock import Clock
from batch_removebg.ledger.journal import look
from batch_removebg.providers import recovery
from batch_removebg.providers.replicate import Replicate
from batch_removebg.resources import Cpu
from batch_removebg.review.apply import Applier
from batch_removebg.review.touch_up import Stroke
from batch_removebg.run import assemble
from batch_removebg.workers import ray_cluster

FATAL = int(sys.argv[1])
_lock = threading.Lock()
_count = 0


def tick() -> None:
    """Die, if it is time."""
    global _count
    with _lock:
        _count += 1
        if _count == FATAL:
            os.kill(os.getpid(), signal.SIGKILL)


def around(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call with a tick on either side."""

    def ticking(*args: Any, **kwargs: Any) -> Any:
        tick()
        result = call(*args, **kwargs)
        tick()
        return result

    return ticking


_write = os.write


def torn_write(descriptor: int, data: bytes) -> int:
    """A write that a crash may find half done."""
    if not data.startswith(b'{"v":'):
        return _write(descriptor, data)
    tick()
    half = len(data) // 2
    _write(descriptor, data[:half])
    tick()
    _write(descriptor, data[half:])
    tick()
    return len(data)


async def touch_up(out: Path, item: str) -> None:
    """Erase all of an item's picture."""
    with closing(look(out / "ledger.jsonl", out / ".batch-removebg/index.sqlite")) as fold:
        state = fold.items[item]
    stroke = Stroke(keep=False, size=500, hardness=1, points=((1, 1),))
    print(await Applier(out, Cpu(), Clock()).touch_up(item, state, [stroke], state.sha256 or ""), file=sys.stderr)


def main() -> None:
    """Set the ticks and run."""
    os.write = torn_write  # type: ignore[assignment]
    os.fsync = around(os.fsync)
    os.replace = around(os.replace)
    exchange = Replicate._exchange

    async def ticking(*args: Any, **kwargs: Any) -> Any:
        tick()
        answer = await exchange(*args, **kwargs)
        tick()
        return answer

    Replicate._exchange = ticking  # type: ignore[method-assign]
    # The real policy waits for creates to appear on the list; this list is up to date.
    assemble.LostPolicy = partial(recovery.LostPolicy, looks=(0.0,))  # type: ignore[assignment,misc]
    if cores := os.environ.get("CORES"):
        ray_cluster.cores = lambda: int(cores)
    print("begun", flush=True)
    words = sys.argv[2:]
    if words[0] == "touch-up":
        anyio.run(touch_up, Path(words[1]), words[2])
    code = 0 if words[0] == "touch-up" else run_command(words)
    print(f"ticks={_count}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
