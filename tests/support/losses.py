"""What the tests of lost creates share: a server with a list, a ledger, and a buyer."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    BatchError,
    CreateLost,
)
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import CreateRequest, Item, Prediction, PredictionPage, Provider, Status
from batch_removebg.pipeline.brake import Brake
from batch_removebg.pipeline.purchase import Purchaser
from batch_removebg.pipeline.work import Prepared, Todo, Turn
from batch_removebg.providers.journaled import Budget, Journaled
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, ScriptedProvider

URL = "https://files.example/shoe.jpg"
REQUEST = CreateRequest(item="shoe", image=URL, output="shoe.png", fingerprint="f1")
BEGIN = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
"""Of the fake clock."""


class Listing(ScriptedProvider):
    """Its list is what the test says, look by look; the last one stays."""

    def __init__(self, *looks: list[PredictionPage], creates: Iterable[Any] = (), **more: Any) -> None:
        super().__init__(creates=creates, **more)
        self.looks = list(looks) or [[PredictionPage(())]]
        self.asked: list[tuple[datetime | None, str | None]] = []

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        await anyio.lowlevel.checkpoint()
        self.asked.append((created_after, cursor))
        if cursor is None and len(self.looks) > 1 and len(self.asked) > 1:
            self.looks.pop(0)
        return self.looks[0][int(cursor or 0)]


def listed(prediction_id: str, image: str | None = URL, **fields: Any) -> Prediction:
    return Prediction(prediction_id, Status.PROCESSING, image=image, created_at=BEGIN, **fields)


@pytest.fixture
def time() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, time: FakeClock) -> AsyncIterator[Ledger]:
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite", clock=time.clock) as opened:
        yield opened


class Buyer:
    """Buys one picture at a time through the real bookkeeping, and looks for what was lost, as the pipeline does."""

    def __init__(self, provider: Provider, ledger: Ledger, time: FakeClock, policy: LostPolicy | None = None) -> None:
        clock = time.clock
        context = SimpleNamespace(
            provider=provider, ledger=ledger, clock=clock, gate=Gate(clock), brake=Brake(lambda reason: None)
        )
        self.lost = LostCreates(provider, policy or LostPolicy(), clock=clock, known=ledger.fold.has_prediction)
        self._purchaser = Purchaser(context, self, self.lost, Budget(None))  # type: ignore[arg-type]

    async def outcome(self, opened: Prediction, picture: str, *, polls: float) -> Prediction:
        return replace(opened, status=Status.SUCCEEDED, output="https://out.example/x.png")

    async def create(self, request: CreateRequest, lost: Lost | None = None, turn: Turn | None = None) -> str | None:
        """The id of the prediction that was bought or found."""
        item = Item(request.item, request.image, "test")
        todo = Todo(item, request.output, ItemState())
        prepared = Prepared(todo, request.fingerprint, None, 0.0)
        turn = turn or Turn(prepared)
        turn.lost = lost
        outcome: str | BatchError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.lost.watch)
            try:
                outcome = await self._bought(prepared, turn)
            except BatchError as error:
                outcome = error
            tasks.cancel_scope.cancel()
        if isinstance(outcome, BatchError):
            raise outcome
        return outcome

    async def _bought(self, prepared: Prepared, turn: Turn) -> str | None:
        while True:
            if turn.lost is not None:
                await self._purchaser.recover(prepared, turn)
            if turn.open is not None:
                return turn.open
            with contextlib.suppress(CreateLost):
                return (await self._purchaser.buy(prepared, turn)).prediction_id


def recovery(inner: Provider, ledger: Ledger, time: FakeClock, policy: LostPolicy | None = None) -> Buyer:
    return Buyer(Journaled(inner, ledger, Gate(time.clock)), ledger, time, policy)


LATER = listed("later", "https://x/later.jpg")


def with_a_later_one(buyer: Buyer) -> Buyer:
    """One whose server has answered a later create, faithfully."""
    buyer.lost.answered(LATER, "https://x/later.jpg", math.inf)
    return buyer


def events(ledger: Ledger) -> list[str]:
    entries = [json.loads(line) for line in ledger.path.read_text(encoding="utf-8").splitlines()]
    marks = {"found": "found", "possible_duplicate": "duplicate"}
    return [" ".join([entry["event"], *(mark for name, mark in marks.items() if entry.get(name))]) for entry in entries]
