"""Stand-ins that test modules share: a clock that moves only when told, and a provider that follows a script."""

from __future__ import annotations

import asyncio
import heapq
import io
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
from PIL import Image

from batch_removebg.clock import Clock
from batch_removebg.errors import PredictionLost
from batch_removebg.model import Capabilities, CreateRequest, Prediction, PredictionPage, ProxySpec, Status, Upload
from batch_removebg.providers.base import BUYING, Operation, Pause


class FakeClock:
    """Time that passes only in sleeps: the sleeper due first wakes as soon as nobody else has anything to do."""

    def __init__(self, start: float = 1_800_000_000.0, *, idle: float = 0.002) -> None:
        """`idle`: real seconds without anything to do after which fake time moves; longer where sockets are at work."""
        self._idle = idle
        self.now = start
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, anyio.Event, asyncio.Task[Any] | None]] = []
        self._order = count()
        self.clock = Clock(monotonic=lambda: self.now, wall=lambda: self.now, sleep=self.sleep, random=lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of fake time pass; no real time does, but for other tasks' turns."""
        self.slept.append(seconds)
        if seconds == math.inf:
            await anyio.sleep_forever()
        entry = (self.now + seconds, next(self._order), anyio.Event(), asyncio.current_task())
        heapq.heappush(self._sleepers, entry)
        try:
            while not entry[2].is_set():
                # Real work (threads, loopback sockets) goes first; fake time moves when none has come for a moment.
                with anyio.move_on_after(self._idle):
                    await entry[2].wait()
                if not entry[2].is_set() and self._sleepers and self._sleepers[0] is entry and self._still():
                    self.now = max(self.now, entry[0])
                    entry[2].set()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    def _still(self) -> bool:
        """Whether nobody works: every task waits, and no thread is busy, but for those that have been for long."""
        begun = time.monotonic() - _LONG
        others = asyncio.all_tasks() - {task for _, _, awake, task in self._sleepers if task and not awake.is_set()}
        waiting = (task._fut_waiter for task in others)  # type: ignore[attr-defined]  # None while it runs
        return all(one is not None and not one.done() for one in waiting) and all(at < begun for at in _busy.values())


_LONG = 2.0
"""Seconds after which work in a thread is taken for waiting: for stdin, say."""
_busy: dict[object, float] = {}
"""When the threads began what they are at."""
_run_sync = anyio.to_thread.run_sync


@contextmanager
def at_work() -> Iterator[None]:
    """No fake time passes meanwhile, unless it lasts."""
    _busy[key := object()] = time.monotonic()
    try:
        yield
    finally:
        del _busy[key]


async def _counted(*args: Any, **kwargs: Any) -> Any:
    with at_work():
        return await _run_sync(*args, **kwargs)


anyio.to_thread.run_sync = _counted


def pausing(
    sleep: Callable[[float], Awaitable[None]], buying: Callable[[float], Awaitable[None]] | None = None
) -> Pause:
    """How wrappers wait: by `sleep`, and by `buying` before what leads to a purchase."""

    async def pause(operation: Operation, seconds: float) -> None:
        await (buying if buying is not None and operation in BUYING else sleep)(seconds)

    return pause


def photo(width: int = 40, height: int = 30, colour: tuple[int, int, int] = (200, 40, 90)) -> bytes:
    """A plain JPEG."""
    return encoded(Image.new("RGB", (width, height), colour), "JPEG")


def cutout(width: int = 40, height: int = 30, alpha: int = 128) -> bytes:
    """What a provider returns: an RGBA PNG."""
    return encoded(Image.new("RGBA", (width, height), (200, 40, 90, alpha)), "PNG")


def encoded(image: Image.Image, form: str) -> bytes:
    """The image as file bytes."""
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


Step = Prediction | Exception | Callable[[CreateRequest], Prediction]


class ScriptedProvider:
    """A provider that keeps the bill: `creates` follow the script, then succeed at once with a fitting cutout."""

    name = "scripted"
    version = "v1"
    proxy = ProxySpec(longest=2048)

    def __init__(self, *, creates: Iterable[Step] = (), capabilities: Capabilities | None = None) -> None:
        self.capabilities = capabilities or Capabilities(files=True, list=True, cancel=True)
        self.script: deque[Step] = deque(creates)
        self.requests: list[CreateRequest] = []
        self.calls: list[str] = []
        self.known: dict[str, Prediction] = {}
        self.outputs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self._ids = count(1)

    @property
    def bill(self) -> int:
        """Predictions that were accepted."""
        return len(self.known)

    async def create(self, request: CreateRequest) -> Prediction:
        await anyio.lowlevel.checkpoint()
        self.calls.append("create")
        self.requests.append(request)
        step = self.script.popleft() if self.script else self.succeed
        if isinstance(step, Exception):
            raise step
        made = step(request) if callable(step) else step
        if made.id is not None:
            self.known[made.id] = made
        return made

    def succeed(self, request: CreateRequest) -> Prediction:
        """A prediction that has ended well, with an output of the input's size."""
        size = Image.open(io.BytesIO(self.uploads[request.image])).size if request.image in self.uploads else (40, 30)
        name = f"p{next(self._ids)}"
        url = f"https://out.example/{name}.png"
        self.outputs[url] = cutout(*size)
        return Prediction(name, Status.SUCCEEDED, output=url, image=request.image)

    async def get(self, prediction_id: str) -> Prediction:
        await anyio.lowlevel.checkpoint()
        self.calls.append("get")
        if prediction_id not in self.known:
            raise PredictionLost(f"{prediction_id} is not known")
        return self.known[prediction_id]

    async def cancel(self, prediction_id: str) -> None:
        self.calls.append("cancel")

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        await anyio.lowlevel.checkpoint()
        self.calls.append("list")
        return PredictionPage(tuple(reversed(self.known.values())))

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        await anyio.lowlevel.checkpoint()
        self.calls.append("upload")
        url = f"https://files.example/{len(self.uploads)}/{filename}"
        self.uploads[url] = data
        return Upload(url)

    async def fetch(self, url: str) -> bytes:
        await anyio.lowlevel.checkpoint()
        self.calls.append("fetch")
        if url not in self.outputs:
            raise PredictionLost(f"{url} is not there")
        return self.outputs[url]

    async def abandon(self) -> None:
        self.calls.append("abandon")
