"""Programs run and measured: ours, those it is compared with, and the simulated API beside them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.bench.behaviour import Behaviour

ROOT = Path(__file__).parent.parent.parent
SIDE_BY_SIDE = 3
"""Runs at a time where all they do is wait; each has an API of its own."""
_APART = 1.5
"""Seconds between the starts of runs side by side: starting is what takes a whole core."""
_SAMPLE = 0.05
"""Seconds between looks at a process's memory."""

T = TypeVar("T")


class CaseFailed(Exception):
    """A run did not do what it should: there is no figure to be had from it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process came to. Times are seconds since 1970."""

    began: float
    ended: float
    code: int
    """Exit code; `KILLED` where it ran past its limit and was killed."""
    cpu: float
    """Seconds, user and system, of the process and its children."""
    rss: int
    """Bytes at its peak: on Linux VmHWM, seen up to 50 ms before its end; with that of the processes it has begun."""
    said: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


KILLED = -9


def measured(words: Sequence[str | Path], *, limit: float) -> Ran:
    """Run a program to its end, `limit` seconds at most."""
    began = time.time()
    process = subprocess.Popen(
        [*map(str, words)],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said: list[bytes] = []
    reader = threading.Thread(target=lambda pipe: said.append(pipe.read()), args=(process.stderr,), daemon=True)
    killer = threading.Timer(limit, process.kill)
    reader.start()
    killer.start()
    peak, done = _watch_memory(process.pid)
    # wait4 (not on Windows) tells the use of this child alone; getrusage(RUSAGE_CHILDREN) can't while others run.
    _, status, usage = os.wait4(process.pid, 0)
    ended = time.time()
    killer.cancel()
    done.set()
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join(5)
    process.stderr.close()
    text = b"".join(said).decode(errors="replace")
    # The second is for systems without /proc: there it is the child's own, and on macOS it counts bytes.
    rss = peak[0] or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Ran(began, ended, process.returncode, usage.ru_utime + usage.ru_stime, rss, text)


def ours(api: Simulated, manifest: Path, out: Path, *flags: str, limit: float = 300.0, code: int | None = 0) -> Ran:
    """`batch-removebg run`; raises CaseFailed where it doesn't end with `code` (None: whatever it ends with)."""
    words = ["run", manifest, "--out", out, "--provider", "replicate", "--base-url", f"{api.url}/v1"]
    ran = command(*words, "--progress", "none", "-q", *flags, limit=limit)
    if code is not None and ran.code != code:
        ending = f"did not end within {limit:.0f} s" if ran.code == KILLED else f"ended with exit code {ran.code}"
        raise CaseFailed(f"the run {ending}: {ran.said[-800:].strip()}")
    return ran


def command(*words: str | Path, limit: float = 300.0) -> Ran:
    """The command with these words."""
    return measured([sys.executable, "-m", "batch_removebg", *words], limit=limit)


class Simulated:
    """The API in its process: `with Simulated() as api`."""

    def __enter__(self) -> Simulated:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.api"],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        # Opened before the first reset, and kept: it is no part of what is counted.
        self._control = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def reset(self, behaviour: Behaviour) -> None:
        """Begin anew with other settings."""
        self._ask("POST", "/_reset", behaviour.as_json())

    def facts(self, *, series: bool = False) -> dict[str, Any]:
        """What it has seen since the reset."""
        return self._ask("GET", "/_facts?series" if series else "/_facts")

    def _ask(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        self._control.request(method, path, body)
        answer: dict[str, Any] = json.loads(self._control.getresponse().read())
        return answer


def side_by_side(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """What the jobs give, in their order; a few run at a time, and no two start at the same time."""

    def begin(number: int) -> T:
        time.sleep(number % SIDE_BY_SIDE * _APART)
        return jobs[number]()

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(begin, range(len(jobs))))


@contextlib.contextmanager
def simulated(behaviour: Behaviour) -> Iterator[Simulated]:
    """An API that behaves so."""
    with Simulated() as api:
        api.reset(behaviour)
        yield api


def _environment() -> dict[str, str]:
    """Without keys, and without proxies that would stand between us and the loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_PROXY", "_API_TOKEN", "_API_KEY"))
    }


def _watch_memory(pid: int) -> tuple[list[int], threading.Event]:
    """The peak so far, kept up to date until the event is set.

    Not ru_maxrss: on Linux a child begins with that of its parent.
    """
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(_SAMPLE):
            peak[0] = max(peak[0], _high_water(pid))

    threading.Thread(target=watch, daemon=True).start()
    return peak, done


def _high_water(pid: int) -> int:
    """Bytes of a process's high-water mark and of its children's; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        begun = [child for each in Path(f"/proc/{pid}/task").glob("*/children") for child in each.read_text().split()]
    except OSError:
        return 0
    own = text.partition("VmHWM:")[2].split(None, 1)
    return (int(own[0]) * 1024 if own else 0) + sum(_high_water(int(child)) for child in begun)
