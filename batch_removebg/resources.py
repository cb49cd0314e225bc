"""The machine's cores and memory, and threads and processes for work on pixels that stay within both."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import anyio.to_thread

from batch_removebg.errors import Stopping, WorkFailed
from batch_removebg.worker import LEFT, Answer, Shared, Worker

P = ParamSpec("P")
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

# Linux control groups: microseconds of CPU time (or `max`) in each period, and the period's; bytes of memory, or `max`,
# in version 2 and in version 1.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_BUG = 1  # python's exit code where it can't go on; libraries that crash end it in other ways
_CRASHES = 3  # of a process that several share, after which the picture is to blame
STOPPING = 3.0  # seconds for work on a picture once a signal stops the run: with the one that has begun, over in 5


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


def patience(pixels: int, effort: int | None = None) -> float:
    """Seconds after which decoding a picture is given up, or finishing it with so much effort."""
    # It takes 0.03 s a megapixel to decode, and noise as AVIF 1.8 s with an effort of 2 and 55 s with 9.
    return 30 + 1e-6 * pixels * (1 if effort is None else 5 * 2**effort)


class Cpu:
    """Runs pure functions in threads or in processes, by default as many of each at once as there are cores."""

    def __init__(self, *, threads: int | None = None, budget: int = 2 << 30, sleep: Sleep = anyio.sleep) -> None:
        """`budget`: bytes of decoded pixels at a time; a single picture that exceeds it runs alone."""
        self._limiter, self._processes = (anyio.CapacityLimiter(threads or cores()) for _ in range(2))
        self._sleep = sleep
        self._longest = math.inf
        self.memory = Memory(budget).reserved  # reserves bytes of the budget during a block

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; a call that has begun isn't cancelled."""
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)

    async def isolated(self, seconds: float, function: Callable[..., T], *args: Any) -> T:
        """The function's result, from a process that is killed after so many seconds, or when this is cancelled.

        Raises WorkFailed where it crashed or took too long, and Stopping where that was for the end of the run.
        """
        async with self._processes:
            answer: Answer = LEFT
            while answer == LEFT:
                worker = Worker.take()
                try:
                    answer = await self.answer(worker, seconds, function, args)
                except anyio.get_cancelled_exc_class():
                    worker.kill()
                    raise
        if not isinstance(answer, int):
            worker.give_back()
        return cast(T, _result(answer))

    async def answer(self, worker: Worker, seconds: float, *asked: Any) -> Answer:
        """What the process answers, which is killed after so many seconds; raises WorkFailed or Stopping then."""
        late = False

        async def watch() -> None:
            nonlocal late
            left = seconds
            while (left := min(left, self._longest)) > 0:
                await self._sleep(1.0)
                left -= 1  # also where this process was stopped for more
            late = True
            worker.kill()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            own = anyio.CapacityLimiter(1)
            answer = await anyio.to_thread.run_sync(worker.do, *asked, abandon_on_cancel=True, limiter=own)
            tasks.cancel_scope.cancel()
        if not late or not isinstance(answer, int):
            return answer
        self.go_on()
        raise WorkFailed(f"was given up after {seconds:.0f} seconds of work: save it anew as PNG or JPEG")

    def go_on(self) -> None:
        """Raise Stopping once there is a hurry: nothing is begun anew any more."""
        if self._longest < math.inf:
            raise Stopping("the run is stopping")

    def hurry(self) -> None:
        """Give work on each picture 3 s at most from now on; what that ends raises Stopping."""
        self._longest = STOPPING


class Resident:
    """One process for functions that keep what they load, as many at a time as there are cores."""

    def __init__(self, cpu: Cpu) -> None:
        """It begins with the first call, is replaced where it has ended, and hurries with the rest of `cpu`."""
        self._cpu, self._limiter = cpu, anyio.CapacityLimiter(cores())
        self._worker: Shared | None = None
        self._closed = False

    async def run(self, seconds: float, function: Callable[..., T], *args: Any) -> T:
        """The function's result; raises WorkFailed where it takes longer or crashes thrice, Stopping once closed."""
        async with self._limiter:
            crashes = 0
            while not self._closed:
                if self._worker is None or self._worker.code is not None:
                    self._cpu.go_on()
                    self._worker = Shared(cores())
                worker = self._worker
                answer = await self._cpu.answer(worker, seconds, function, args)
                crashes += not worker.killed  # which is another's fault
                if not isinstance(answer, int) or crashes == _CRASHES:
                    return cast(T, _result(answer))
        raise Stopping("the run is stopping")

    def lend(self, cpu: Cpu) -> None:
        """Hurry with this one from now on."""
        self._cpu = cpu

    def close(self) -> None:
        """End the process at once, and what is waiting for it."""
        self._closed = True
        if self._worker is not None:
            self._worker.close()


def _result(answer: Answer) -> Any:
    if isinstance(answer, int):
        if answer == _BUG:
            raise RuntimeError("a process for work on pictures couldn't go on; its traceback is above")
        name = signal.Signals(-answer).name if -answer in set(signal.Signals) else f"exit code {answer}"
        why = "for want of memory, most likely" if name == "SIGKILL" else "save it anew as PNG or JPEG"
        raise WorkFailed(f"made the process that worked on it end ({name}): {why}")
    worked, result = answer
    if not worked:
        raise result
    return result


class Memory:
    """Bytes that may be taken at a time; what exceeds them all by itself goes alone."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._used = 0
        self._freed = anyio.Event()

    @asynccontextmanager
    async def reserved(self, cost: int) -> AsyncIterator[None]:
        """Take so many bytes during the block, once they are free."""
        while self._used and self._used + cost > self._budget:
            await self._freed.wait()
        self._used += cost
        try:
            yield
        finally:
            self._used -= cost
            self._freed.set()
            self._freed = anyio.Event()
