"""Processes that work on one picture at a time for this one, and can be killed: `python -m batch_removebg.worker`.

They aren't those of `multiprocessing`, which run the main script of the calling program once more.
"""

from __future__ import annotations

import atexit
import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from batch_removebg.errors import BatchError

_IDLE = 30.0  # seconds without work after which a process ends
LEFT = 75  # its exit code then, which no library ends it with
Answer = tuple[bool, Any] | int  # (True, result), (False, exception), or the exit code of one that ended meanwhile
_waiting: list[Worker] = []


class Worker:
    """A process for pure functions of values that can be pickled; it ends once nobody holds this any more."""

    _owner = -1  # the process that made it: a fork of that must neither use nor end it

    def __init__(self) -> None:
        # It must find what this process found, wherever that came from. Pictures are worked on side by side: threads of
        # numpy's own would take turns with them.
        found = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-P", "-m", __name__]
        self.killed = False  # by us
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=found)  # noqa: S603
        self._owner = os.getpid()

    @classmethod
    def take(cls) -> Worker:
        """One that waits for work, or a new one; blocks for some milliseconds."""
        while _waiting:
            worker = _waiting.pop()
            if worker._owner == os.getpid() and worker._process.poll() is None:
                return worker
        return cls()

    def give_back(self) -> None:
        """Let it wait for other work."""
        _waiting.append(self)

    def do(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Answer:
        """What the process answers; blocks."""
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018  # both are pipes
        try:
            pickle.dump((function, args), self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            return cast(Answer, pickle.load(self._process.stdout))  # noqa: S301  # our own process's
        except (OSError, EOFError, pickle.UnpicklingError):
            return self._ended()

    def kill(self) -> None:
        """End it at once, whatever it does; what waits for its answer gets its exit code."""
        self.killed = True
        self._process.kill()

    def _ended(self) -> int:
        """The exit code of the process, which has ended or is about to."""
        self._process.communicate()  # closes the pipes
        return self._process.returncode

    def __del__(self) -> None:
        if self._owner == os.getpid():
            self._process.kill()
            self._ended()


atexit.register(_waiting.clear)


def main() -> None:
    """Answer requests on stdin until it is closed or nothing has come for a while."""
    # What libraries print must not get between the answers, and signals are for the parent: it may have more to save.
    answers, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with suppress(OSError):  # where memory runs out, Linux shall end this process, which costs one picture
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    warnings.filterwarnings("ignore", module="PIL")
    gc.set_threshold(20_000, 20, 50)
    asked: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, asked), daemon=True).start()
    while True:
        try:
            function, args = asked.get(timeout=_IDLE)
        except queue.Empty:
            os._exit(LEFT)
        try:
            pickle.dump(_answer(function, args), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(LEFT)
        del function, args


def _listen(requests: IO[bytes], asked: queue.Queue[Any]) -> None:
    """Pass requests on; a parent that is gone needs no answer, so the process ends in the midst of its work."""
    try:
        while True:
            asked.put(pickle.load(requests))  # noqa: S301  # our parent's
    except EOFError:
        os._exit(LEFT)
    except BaseException:  # noqa: BLE001  # nobody else would end the process
        traceback.print_exc()
        os._exit(1)


def _answer(function: Callable[..., Any], args: tuple[Any, ...]) -> Answer:
    try:
        return True, function(*args)
    except Exception as error:  # noqa: BLE001  # raised again by the parent
        if not isinstance(error, BatchError):
            error.add_note(traceback.format_exc())
        return False, error


if __name__ == "__main__":
    main()
