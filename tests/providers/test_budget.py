"""No run buys more predictions than it was allowed to, and none is lost to a refusal."""

from __future__ import annotations

import anyio
import pytest

from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    CreateLost,
    InputRejected,
    KeyRejected,
    RateLimited,
    ServerError,
    Stopping,
)
from batch_removebg.model import CreateRequest
from batch_removebg.providers.budget import Budget, Budgeted
from tests.support.doubles import ScriptedProvider

pytestmark = pytest.mark.anyio

REQUEST = CreateRequest(item="a", image="https://x/a.jpg", output="a.png")


async def test_the_budget_is_spent_to_the_last_and_no_further() -> None:
    inner = ScriptedProvider()
    provider = Budgeted(inner, Budget(2, "spent"))
    await provider.create(REQUEST)
    await provider.create(REQUEST)
    with pytest.raises(BudgetReached, match="spent"):
        await provider.create(REQUEST)
    assert (inner.bill, inner.calls) == (2, ["create", "create"])


async def test_a_budget_of_nothing_buys_nothing() -> None:
    inner = ScriptedProvider()
    with pytest.raises(BudgetReached):
        await Budgeted(inner, Budget(0)).create(REQUEST)
    assert inner.calls == []


async def test_without_a_limit_everything_passes_and_is_counted() -> None:
    provider = Budgeted(ScriptedProvider(), budget := Budget(None))
    for _ in range(20):
        await provider.create(REQUEST)
    assert budget.bought == 20


@pytest.mark.parametrize("kind", [RateLimited, ServerError, InputRejected, KeyRejected, Stopping])
async def test_a_refused_create_is_given_back(kind: type[BatchError]) -> None:
    inner = ScriptedProvider(creates=[kind("x")] * 5)
    provider = Budgeted(inner, budget := Budget(1))
    for _ in range(5):
        with pytest.raises(kind):
            await provider.create(REQUEST)
    await provider.create(REQUEST)
    assert (budget.bought, inner.bill) == (1, 1)


async def test_a_lost_create_counts_as_bought() -> None:
    provider = Budgeted(ScriptedProvider(creates=[CreateLost("x")]), Budget(1))
    with pytest.raises(CreateLost):
        await provider.create(REQUEST)
    with pytest.raises(BudgetReached):
        await provider.create(REQUEST)


async def test_creates_at_the_same_time_do_not_slip_through_together() -> None:
    inner = ScriptedProvider()
    provider, refused = Budgeted(inner, Budget(3)), 0

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
