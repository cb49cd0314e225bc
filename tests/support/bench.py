"""Whole runs in one process: real files, real ledger, a provider that follows a script and keeps the bill."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    Interrupted,
)
from batch_removebg.events import Event
from batch_removebg.model import Capabilities, CreateRequest, Prediction, Status
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.resources import Cpu
from batch_removebg.run import assemble, batch
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import FakeClock, ScriptedProvider, photo

GATEWAY = Capabilities()


@dataclass
class Bench:
    """Runs batches over `photos` into `out` with a scripted provider in the API's place."""

    photos: Path
    out: Path
    provider: ScriptedProvider = field(default_factory=ScriptedProvider)
    pipeline: Pipeline | None = None
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda _: None

    async def run(self, *inputs: str, **settings: Any) -> Summary:
        def listen(event: Event) -> None:
            self.events.append(event)
            self.on_event(event)

        # Fake time may pass while threads work for real: the grace period ends only where a test wants it to.
        settings = {"grace": math.inf, **settings}
        given = Settings(out=self.out, provider="replicate", base_url="http://127.0.0.1:9/v1", **settings)
        with anyio.fail_after(20):
            return await batch.run(list(inputs) or [str(self.photos)], given, listener=listen, clock=FakeClock().clock)

    def add(self, *names: str) -> None:
        for number, name in enumerate(names):
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo(40 + number, 30, (number, 40, len(name))))

    def stop(self, number: int = 2) -> None:
        assert self.pipeline is not None
        self.pipeline.context.gate.close(Interrupted(number))

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "ledger.jsonl").read_text().splitlines()]

    def results(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out / "results.json").read_text())
        return loaded

    def saved(self) -> list[str]:
        return sorted(p.relative_to(self.out).as_posix() for p in self.out.rglob("*.png") if ".batch" not in str(p))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "photos", tmp_path / "out")
    made.photos.mkdir()

    @asynccontextmanager
    async def provider(settings: Settings, clock: Clock, cpu: Cpu, loaded: object) -> AsyncIterator[Any]:
        yield made.provider, assemble.workers_here(lambda: None, settings, cpu)

    build = assemble.pipeline

    def pipeline(*args: Any, **kwargs: Any) -> Pipeline:
        made.pipeline = build(*args, **kwargs)
        return made.pipeline

    monkeypatch.setattr(assemble, "provider", provider)
    monkeypatch.setattr(assemble, "pipeline", pipeline)
    return made


def processing(name: str) -> Prediction:
    return Prediction(name, Status.PROCESSING)


def stop_after(bench: Bench, made: Prediction) -> Callable[[CreateRequest], Prediction]:
    """A create in whose course the user presses Ctrl-C."""

    def create(_: CreateRequest) -> Prediction:
        bench.stop()
        return made

    return create
