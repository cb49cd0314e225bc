"""Doubles of the local engine's parts: a clock in our hands, networks without weights, pictures made on the spot."""

from __future__ import annotations

import base64
import functools
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_removebg.clock import Clock
from batch_removebg.engine import network as engine
from batch_removebg.engine import weights
from batch_removebg.engine.devices import Precision
from batch_removebg.errors import PredictionFailed, SettingsError
from batch_removebg.finish.options import Finished
from batch_removebg.model import Matte
from batch_removebg.resources import Cpu
from batch_removebg.server.blob_store import BlobStore
from batch_removebg.server.jobs import Jobs
from batch_removebg.server.listen import INPUT_POLICY, ServeSettings, serving

SMALL = weights.MODELS["u2netp"]
BEGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
MODEL = msgspec.structs.replace(SMALL, name="stub", sha256="5" * 64)


class Hands:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._sleepers: list[tuple[float, anyio.Event]] = []
        self.clock = Clock(monotonic=self.read, wall=self.read, sleep=self._sleep)

    def read(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for due, event in self._sleepers:
            if due <= self.now:
                event.set()
        self._sleepers = [(due, event) for due, event in self._sleepers if due > self.now]

    async def _sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()


class LeftHalf:
    """A network that sees the object in the left half of every picture."""

    used, model = "a double", MODEL

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        self.seen.append(rgb.shape)
        alpha = np.zeros(rgb.shape[:2], np.uint8)
        alpha[:, : rgb.shape[1] // 2] = 255
        return Matte(alpha, 1.0, self.used)


class GivesUp:
    """A network whose runtime fails."""

    used, model = "a double", MODEL

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        raise PredictionFailed("onnxruntime gave up: no memory")


class Here:
    """An engine whose network works in threads of this process, loaded at the first call."""

    def __init__(self, load: Callable[[], engine.Network], cpu: Cpu | None = None) -> None:
        self._network = functools.cache(load)

    async def open(self) -> str:
        return self._network().used

    async def matte(self, small: bytes) -> Matte:
        return await anyio.to_thread.run_sync(engine.matte, self._network(), small)

    def close(self) -> None:
        self._network.cache_clear()


class Stalled:
    """A network, and a render, that hangs until it is let go."""

    used = "a double"

    def __init__(self) -> None:
        self.released = threading.Event()
        self.calls = 0

    def matte(self, rgb: NDArray[np.uint8]) -> Matte:
        self.render(b"")
        return LeftHalf().matte(rgb)

    def render(self, data: bytes) -> Finished:
        self.calls += 1
        assert self.released.wait(30)
        return Finished(data.upper(), 1, 1)


def picture(width: int = 48, height: int = 32, *, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """An encoded picture of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 200 if mode == "L" else (200, 60, 20)).save(buffer, kind)
    return buffer.getvalue()


@asynccontextmanager
async def running(
    render: Callable[[bytes], Finished] | Stalled,
    folder: Path,
    hands: Hands,
    *,
    workers: int = 1,
    room: int = 100,
) -> AsyncIterator[Jobs]:
    """Jobs whose workers run; a render that blocks does so in a thread, and a stalled one is let go at the end."""
    async with Jobs(
        partial(anyio.to_thread.run_sync, render.render if isinstance(render, Stalled) else render),
        inputs=BlobStore(folder / "inputs", hands.read),
        outputs=BlobStore(folder / "outputs", hands.read),
        workers=workers,
        clock=hands.clock,
        room=room,
    ) as jobs:
        try:
            yield jobs
        finally:
            if isinstance(render, Stalled):
                render.released.set()


def brought(model: weights.Weights) -> weights.Weights:
    """A network whose weights are here now; the test is skipped where they can't be had."""
    try:
        weights.ensure(model, progress=lambda done, total: None)
    except SettingsError as error:
        pytest.skip(str(error))
    return model


@functools.cache
def real_engine(model: weights.Weights = SMALL, precision: Precision = "auto") -> engine.Network:
    """A network with its true weights, downloaded the first time; the test is skipped where they can't be."""
    return engine.load(brought(model), precision=precision)


@dataclass
class Api:
    """A client of the running server."""

    base: str
    session: aiohttp.ClientSession
    hands: Hands

    async def ask(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON."""
        async with self.session.request(method, self.base + path, **kwargs) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def create(self, image: str, *, wait: bool = True, **headers: str) -> Any:
        """A prediction that was accepted."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | ({"Prefer": "wait"} if wait else {})
        status, body = await self.ask(
            "POST", "/predictions", json={"version": MODEL.sha256, "input": {"image": image}}, headers=sent
        )
        assert status == 201, body
        return body

    async def upload(
        self, data: bytes | io.BytesIO, name: str = "cat.png", kind: str = "image/png", **fields: str
    ) -> Any:
        """A file that was accepted."""
        form = aiohttp.FormData(fields, quote_fields=False)
        form.add_field("content", data, filename=name, content_type=kind)
        status, body = await self.ask("POST", "/files", data=form)
        assert status == 201, body
        return body


@asynccontextmanager
async def api_server(network: engine.Network | None = None, **settings: Any) -> AsyncIterator[Api]:
    """A server on loopback, and a client of it; a stalled network is let go at the end."""
    hands = Hands()
    # Inputs of these tests lie on loopback, which the server itself would not fetch from.
    fixed = {"port": 0, "workers": 1, "model": MODEL, "fetching": replace(INPUT_POLICY, public_only=False)}
    run = ServeSettings(**fixed | settings)
    async with (
        serving(run, engine=Here(lambda: network or LeftHalf()), clock=hands.clock) as base,
        aiohttp.ClientSession() as session,
    ):
        try:
            yield Api(base, session, hands)
        finally:
            if isinstance(network, Stalled):
                network.released.set()


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
