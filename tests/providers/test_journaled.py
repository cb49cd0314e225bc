"""Every create is on disk before it is sent, and its answer before anything is done with it (invariant 2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    CreateLost,
    DiskError,
    InputRejected,
    KeyRejected,
    PageInstead,
    RateLimited,
    ServerError,
    Stopping,
    UploadExpired,
)
from batch_removebg.ledger.journal import Ledger
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.providers.journaled import Budget, Journaled
from batch_removebg.providers.wire import key_of
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, ScriptedProvider

pytestmark = pytest.mark.anyio

URL = "https://files.example/shoe.jpg"
REQUEST = CreateRequest(item="shoe", image=URL, output="shoe.png", fingerprint="f1", attempt=2)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(tmp_path / "ledger.jsonl", index=tmp_path / "index.sqlite", clock=FakeClock().clock) as opened:
        yield opened


def lines(ledger: Ledger) -> list[dict[str, Any]]:
    """What is on disk at this moment."""
    return [json.loads(line) for line in ledger.path.read_text(encoding="utf-8").splitlines()]


def events(ledger: Ledger) -> list[str]:
    return [line["event"] for line in lines(ledger)]


def journaled(
    inner: ScriptedProvider, ledger: Ledger, gate: Gate | None = None, budget: Budget | None = None
) -> Journaled:
    return Journaled(inner, ledger, gate or Gate(FakeClock().clock), budget=budget or Budget())


async def test_submitting_is_on_disk_before_the_create_is_sent_and_submitted_before_it_returns(ledger: Ledger) -> None:
    on_disk_when_sent: list[dict[str, Any]] = []

    def look(request: CreateRequest) -> Prediction:
        on_disk_when_sent.extend(lines(ledger))
        return Prediction("p1", Status.STARTING)

    made = await journaled(ScriptedProvider(creates=[look]), ledger).create(REQUEST)
    stamp = {"v": 1, "t": "2027-01-15T08:00:00.000Z"}
    named = {"item": "shoe", "attempt": 2, "key": URL, "output": "shoe.png", "fingerprint": "f1"}
    submitting = {**stamp, "event": "submitting", **named}
    assert on_disk_when_sent == [submitting]
    assert lines(ledger) == [submitting, {**stamp, "event": "submitted", "item": "shoe", "prediction_id": made.id}]
    state = ledger.fold.items["shoe"]
    assert (state.prediction_id, state.in_flight, state.lost, state.fingerprint) == ("p1", True, None, "f1")


@pytest.mark.parametrize(
    "error", [RateLimited("x"), ServerError("x"), InputRejected("x"), KeyRejected("x"), BudgetReached("x")]
)
async def test_a_refusal_closes_the_create(ledger: Ledger, error: BatchError) -> None:
    with pytest.raises(type(error)) as caught:
        await journaled(ScriptedProvider(creates=[error]), ledger).create(REQUEST)
    assert caught.value is error
    assert events(ledger) == ["submitting", "rejected"]
    assert lines(ledger)[1]["kind"] == error.kind
    assert ledger.fold.items["shoe"].lost is None
    assert ledger.fold.predictions == 0


@pytest.mark.parametrize("error", [CreateLost("x"), PageInstead("x")], ids=["no answer", "page with status 200"])
async def test_a_create_that_may_have_been_accepted_stays_open(ledger: Ledger, error: BatchError) -> None:
    with pytest.raises(type(error)):
        await journaled(ScriptedProvider(creates=[error]), ledger).create(REQUEST)
    assert events(ledger) == ["submitting"]
    lost = ledger.fold.items["shoe"].lost
    assert lost is not None
    assert (lost.key, lost.since) == (URL, "2027-01-15T08:00:00.000Z")


async def test_what_nobody_foresaw_leaves_the_create_open(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        await journaled(ScriptedProvider(creates=[ZeroDivisionError()]), ledger).create(REQUEST)
    assert events(ledger) == ["submitting"]


async def test_a_result_without_an_id_is_on_record_too(ledger: Ledger) -> None:
    await journaled(
        ScriptedProvider(creates=[Prediction(None, Status.SUCCEEDED, output="https://x/a")]), ledger
    ).create(REQUEST)
    assert events(ledger) == ["submitting", "submitted"]
    state = ledger.fold.items["shoe"]
    assert (state.in_flight, state.lost is not None, ledger.fold.predictions) == (False, True, 1)


async def test_a_possible_duplicate_is_said_to_be_one(ledger: Ledger) -> None:
    provider = journaled(ScriptedProvider(), ledger)
    await provider.create(REQUEST)
    await provider.create(CreateRequest(item="b", image=URL, output="b.png", possible_duplicate=True))
    assert [line.get("possible_duplicate") for line in lines(ledger) if line["event"] == "submitting"] == [None, True]
    assert ledger.fold.possible_duplicates == 1


async def test_a_closed_gate_buys_and_writes_nothing(ledger: Ledger) -> None:
    inner, gate = ScriptedProvider(), Gate(FakeClock().clock)
    gate.close(KeyRejected("no"))
    with pytest.raises(Stopping):
        await journaled(inner, ledger, gate).create(REQUEST)
    assert (inner.calls, lines(ledger)) == ([], [])


async def test_what_cannot_be_put_on_record_is_not_bought(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Ledger, batch: list[bytes]) -> None:
        raise DiskError("no space left")

    monkeypatch.setattr(Ledger, "_write", full)
    inner = ScriptedProvider()
    with pytest.raises(DiskError):
        await journaled(inner, ledger).create(REQUEST)
    assert inner.calls == []


class Slow(ScriptedProvider):
    """The answer takes as long as the test wants."""

    def __init__(self, then: BatchError | None = None) -> None:
        super().__init__(creates=[then] if then else [])
        self.sent, self.answer = anyio.Event(), anyio.Event()

    async def create(self, request: CreateRequest) -> Prediction:
        self.sent.set()
        await self.answer.wait()
        return await super().create(request)


@pytest.mark.parametrize(
    ("then", "recorded"),
    [
        (None, ["submitting", "submitted"]),
        (RateLimited("x"), ["submitting", "rejected"]),
        (CreateLost("x"), ["submitting"]),
    ],
)
async def test_a_cancellation_inside_the_exchange_waits_for_the_answer_and_its_record(
    ledger: Ledger, then: BatchError | None, recorded: list[str]
) -> None:
    inner, outcome = Slow(then), []
    provider = journaled(inner, ledger)

    async def buy() -> None:
        try:
            outcome.append(await provider.create(REQUEST))
            await anyio.lowlevel.checkpoint()
            outcome.append("went on")
        except BatchError as error:
            outcome.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(buy)
            await inner.sent.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
                assert events(ledger) == ["submitting"]
                inner.answer.set()
    assert events(ledger) == recorded
    assert len(outcome) == 1


async def test_an_item_cancelled_before_its_turn_is_not_bought(ledger: Ledger) -> None:
    inner = ScriptedProvider()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.lowlevel.checkpoint()
        await journaled(inner, ledger).create(REQUEST)
    assert (inner.calls, lines(ledger)) == ([], [])


def test_the_key_of_a_url_is_the_url_and_of_a_data_uri_a_digest() -> None:
    uri = "data:image/jpeg;base64,AAAA"
    assert key_of(URL) == URL
    assert key_of(f"{URL}?pass=1&v=2", {"pass"}) == f"{URL}?v=2"
    assert key_of(uri) == "sha256:" + hashlib.sha256(uri.encode()).hexdigest()


async def test_nothing_is_bought_with_an_upload_that_has_expired_while_its_create_was_held(ledger: Ledger) -> None:
    time, provider = FakeClock(), ScriptedProvider()
    buyer = Journaled(provider, ledger, Gate(time.clock), time.clock)
    now = datetime.fromtimestamp(time.now, UTC)
    await buyer.create(replace(REQUEST, until=now + timedelta(seconds=1)))
    with pytest.raises(UploadExpired):
        await buyer.create(replace(REQUEST, until=now))
    assert (len(provider.requests), events(ledger)) == (1, ["submitting", "submitted"])


def answers(*ids: str) -> ScriptedProvider:
    return ScriptedProvider(creates=[Prediction(each, Status.STARTING) for each in ids])


async def test_an_answer_with_the_id_of_another_create_is_no_answer(ledger: Ledger) -> None:
    provider = journaled(answers("p1", "p1"), ledger)
    await provider.create(REQUEST)
    with pytest.raises(CreateLost, match="another create"):
        await provider.create(replace(REQUEST, item="boot"))
    assert events(ledger) == ["submitting", "submitted", "submitting"]
    assert ledger.fold.items["boot"].lost is not None


async def test_of_two_answers_with_one_id_at_once_one_counts(ledger: Ledger) -> None:
    provider, lost = journaled(answers("p1", "p1"), ledger), []

    async def create(item: str) -> None:
        try:
            await provider.create(replace(REQUEST, item=item))
        except CreateLost:
            lost.append(item)

    async with anyio.create_task_group() as group:
        group.start_soon(create, "shoe")
        group.start_soon(create, "boot")
    assert len(lost) == 1


async def test_a_server_may_answer_the_same_item_with_the_same_prediction_again(ledger: Ledger) -> None:
    provider = journaled(answers("p1", "p1"), ledger)
    assert [(await provider.create(REQUEST)).id for _ in range(2)] == ["p1", "p1"]


# The budget


async def test_the_budget_is_spent_to_the_last_and_no_further(ledger: Ledger) -> None:
    inner = ScriptedProvider()
    provider = journaled(inner, ledger, budget=Budget(2, "spent"))
    await provider.create(REQUEST)
    await provider.create(REQUEST)
    with pytest.raises(BudgetReached, match="spent"):
        await provider.create(REQUEST)
    assert (inner.bill, inner.calls) == (2, ["create", "create"])


async def test_a_budget_of_nothing_buys_nothing(ledger: Ledger) -> None:
    inner = ScriptedProvider()
    with pytest.raises(BudgetReached):
        await journaled(inner, ledger, budget=Budget(0)).create(REQUEST)
    assert inner.calls == []


async def test_without_a_limit_everything_passes_and_is_counted(ledger: Ledger) -> None:
    provider = journaled(ScriptedProvider(), ledger, budget=(budget := Budget(None)))
    for _ in range(20):
        await provider.create(REQUEST)
    assert budget.bought == 20


@pytest.mark.parametrize("kind", [RateLimited, ServerError, InputRejected, KeyRejected])
async def test_a_refused_create_is_given_back(ledger: Ledger, kind: type[BatchError]) -> None:
    inner = ScriptedProvider(creates=[kind("x")] * 5)
    provider = journaled(inner, ledger, budget=(budget := Budget(1)))
    for _ in range(5):
        with pytest.raises(kind):
            await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert (budget.bought, inner.bill) == (1, 1)


@pytest.mark.parametrize("kind", [CreateLost, PageInstead])
async def test_a_create_that_may_have_been_accepted_counts_as_bought(ledger: Ledger, kind: type[BatchError]) -> None:
    provider = journaled(ScriptedProvider(creates=[kind("x")]), ledger, budget=Budget(1))
    with pytest.raises(kind):
        await provider.create(REQUEST)
    with pytest.raises(BudgetReached):
        await provider.create(REQUEST)


async def test_creates_at_the_same_time_do_not_slip_through_together(ledger: Ledger) -> None:
    inner = ScriptedProvider()
    provider, refused = journaled(inner, ledger, budget=Budget(3)), 0

    async def buy() -> None:
        nonlocal refused
        try:
            await provider.create(REQUEST)
        except BudgetReached:
            refused += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(buy)
    assert (inner.bill, refused) == (3, 7)
