"""Processes that work for this one and can be killed: `python -m batch_removebg.worker [CALLS AT A TIME]`.

They aren't those of `multiprocessing`, which run the main script of the calling program once more. Encoded pictures and
mattes pass by shared memory where the system has it: each call has a region of its own, first for what is asked and
then, once that has been copied out, for the answer.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any, cast

from batch_removebg.errors import BatchError
from batch_removebg.shared_memory import Receiver, Sender, regions

_IDLE = 30.0  # seconds without work after which a process ends
LEFT = 75  # its exit code then, which no library ends it with
Answer = tuple[bool, Any] | int  # (True, result), (False, exception), or the exit code of one that ended meanwhile
_waiting: list[Worker] = []
_BROKEN = (OSError, EOFError, pickle.UnpicklingError)  # what a pipe to a process that has ended gives


class Worker:
    """A process for pure functions of values that can be pickled; it ends once nobody holds this any more."""

    _owner = -1  # the process that made it: a fork of that must neither use nor end it

    def __init__(self, *options: str, at_once: int = 1) -> None:
        # It must find what this process found, wherever that came from. Pictures are worked on side by side: threads of
        # numpy's own would take turns with them.
        found = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-P", "-m", __name__, *options]
        self.killed = False  # by us
        self._regions = regions(at_once)
        passed = [region.fileno() for region in self._regions]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, env=found, pass_fds=passed)  # noqa: S603
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
        try:
            self._send(0, function, args)
            return self._receive()[1]
        except _BROKEN:
            return self._ended()

    def _send(self, number: int, *call: Any) -> None:
        assert self._process.stdin  # noqa: S101  # a pipe
        region = self._regions[number].fileno() if number < len(self._regions) else None
        Sender(self._process.stdin, region).dump((number, region, *call))
        self._process.stdin.flush()

    def _receive(self) -> tuple[int, Answer]:
        assert self._process.stdout  # noqa: S101  # a pipe
        return cast(tuple[int, Answer], Receiver(self._process.stdout).load())

    def kill(self) -> None:
        """End it at once, whatever it does; what waits for its answer gets its exit code."""
        self.killed = True
        self._process.kill()

    def _ended(self) -> int:
        """The exit code of the process, which has ended or is about to."""
        self._process.communicate()  # closes the pipes
        for region in self._regions:
            region.close()
        return self._process.returncode

    def __del__(self) -> None:
        if self._owner == os.getpid():
            self._process.kill()
            self._ended()


class Shared(Worker):
    """A process for several calls at a time, which keeps what they have loaded; it ends when it is killed."""

    def __init__(self, at_once: int) -> None:
        super().__init__(str(at_once), at_once=at_once)
        self.code: int | None = None  # its exit code, once it has ended
        self._asked: dict[int, Future[Answer]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._hand_out, daemon=True)
        self._thread.start()

    def do(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Answer:
        """What the process answers; blocks."""
        answer: Future[Answer] = Future()
        with self._lock:
            if self.code is not None:
                return self.code
            number = next(number for number in itertools.count() if number not in self._asked)
            self._asked[number] = answer
            with suppress(OSError):  # it has ended: its exit code will be the answer
                self._send(number, function, args)
        return answer.result()

    def close(self) -> None:
        """Kill it, and wait until it has ended."""
        self.kill()
        self._thread.join()

    def _hand_out(self) -> None:
        with suppress(*_BROKEN):
            while True:
                number, answer = self._receive()
                self._asked.pop(number).set_result(answer)
        with self._lock:
            self.code = self._ended()
        for asked in self._asked.values():
            asked.set_result(self.code)


atexit.register(_waiting.clear)


def main(at_once: int | None = None) -> None:
    """Answer requests on stdin until it is closed or, if they come one at a time, none has come for a while."""
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
    asked: queue.Queue[tuple[Any, ...]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, asked), daemon=True).start()
    work = partial(_work, asked, answers, threading.Lock(), shared=at_once is not None)
    for _ in range((at_once or 1) - 1):
        threading.Thread(target=work, daemon=True).start()
    work()


def _work(asked: queue.Queue[Any], answers: IO[bytes], one_at_a_time: threading.Lock, *, shared: bool) -> None:
    while True:
        try:
            number, region, function, args = asked.get(timeout=None if shared else _IDLE)
        except queue.Empty:
            os._exit(LEFT)
        answer = answered(function, args)
        try:
            with one_at_a_time:
                Sender(answers, region).dump((number, answer))
                answers.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(LEFT)
        except BaseException:  # noqa: BLE001  # in another thread than the main one, nobody else would end the process
            traceback.print_exc()
            os._exit(1)
        del function, args, answer


def _listen(requests: IO[bytes], asked: queue.Queue[Any]) -> None:
    """Pass requests on; a parent that is gone needs no answer, so the process ends in the midst of its work."""
    try:
        while True:
            asked.put(Receiver(requests).load())
    except EOFError:
        os._exit(LEFT)
    except BaseException:  # noqa: BLE001  # nobody else would end the process
        traceback.print_exc()
        os._exit(1)


def answered(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """What a call gives or raises, as it travels to who has asked."""
    try:
        return True, function(*args)
    except Exception as error:  # noqa: BLE001  # raised again by the parent
        if not isinstance(error, BatchError):
            error.add_note(traceback.format_exc())
        return False, error


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
