"""One turn at a time for each key, and what is refused for good is not tried again."""

from __future__ import annotations

import anyio
import pytest

from batch_removebg.errors import InputRejected, OutputBroken, PredictionFailed, SourceError
from batch_removebg.singleflight import Singleflight

pytestmark = pytest.mark.anyio


async def test_a_key_has_one_turn_at_a_time_and_everybody_gets_one() -> None:
    flights, busy, most, turns = Singleflight(), 0, 0, 0

    async def work() -> None:
        nonlocal busy, most, turns
        await flights.enter("a")
        busy, turns = busy + 1, turns + 1
        most = max(most, busy)
        await anyio.lowlevel.checkpoint()
        busy -= 1
        flights.leave("a")

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert (most, turns, flights.busy("a")) == (1, 20, False)


async def test_other_keys_do_not_wait() -> None:
    flights = Singleflight()
    await flights.enter("a")
    assert (flights.busy("a"), flights.busy("b")) == (True, False)
    with anyio.fail_after(1):
        await flights.enter("b")


@pytest.mark.parametrize("refusal", [PredictionFailed("no picture in it"), InputRejected("too large")])
async def test_what_was_refused_for_good_is_refused_with_the_same_word(refusal: Exception) -> None:
    flights = Singleflight()
    await flights.enter("a")
    flights.leave("a", refusal)
    with pytest.raises(type(refusal), match=str(refusal)):
        await flights.enter("a")
    await flights.enter("b")


@pytest.mark.parametrize("trouble", [OutputBroken("torn"), SourceError("is gone"), None])
async def test_other_trouble_leaves_the_next_one_to_try(trouble: Exception | None) -> None:
    flights = Singleflight()
    await flights.enter("a")
    flights.leave("a", trouble)
    await flights.enter("a")
    assert flights.busy("a")
