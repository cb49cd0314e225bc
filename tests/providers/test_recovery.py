"""A create whose answer was lost is looked for on the server's list before another is bought."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    CreateLost,
    KeyRejected,
    ServerError,
)
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Lost
from batch_removebg.model import CreateRequest, Prediction, PredictionPage
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from tests.support.doubles import FakeClock
from tests.support.losses import (
    BEGIN,
    LATER,
    REQUEST,
    URL,
    Listing,
    events,
    ledger,
    listed,
    recovery,
    time,
    with_a_later_one,
)
from tests.support.oracle import entry

__all__ = ["ledger", "time"]

pytestmark = pytest.mark.anyio


# Where the server lists


async def test_an_answer_that_comes_is_all_there_is(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing()
    assert await recovery(inner, ledger, time).create(REQUEST) == "p1"
    assert (events(ledger), inner.asked, time.slept) == (["submitting", "submitted"], [], [])


async def test_a_lost_create_is_found_by_its_input_and_not_bought_again(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("other", "https://x/b.jpg"), listed("mine")))], creates=[CreateLost("x")])
    found = await recovery(inner, ledger, time).create(REQUEST)
    assert found == "mine"
    assert events(ledger) == ["submitting", "submitted found"]
    assert (inner.calls.count("create"), ledger.fold.predictions) == (1, 1)
    assert (ledger.fold.items["shoe"].prediction_id, ledger.fold.items["shoe"].in_flight) == ("mine", True)


async def test_the_list_is_asked_from_a_little_before_the_create_on(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("mine"),))], creates=[CreateLost("x")])
    await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST)
    assert inner.asked == [(BEGIN - timedelta(seconds=5), None)]
    assert sum(time.slept) == 1.0


async def test_while_the_servers_clock_is_unknown_all_of_the_list_is_read(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("mine"),))], creates=[CreateLost("x")])
    await recovery(inner, ledger, time).create(REQUEST)
    assert inner.asked == [(None, None)]


async def test_a_create_that_appears_late_is_looked_for_again(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing(
        [PredictionPage(())], [PredictionPage(())], [PredictionPage((listed("mine"),))], creates=[CreateLost("x")]
    )
    assert await recovery(inner, ledger, time).create(REQUEST) == "mine"
    assert sum(time.slept) == 15.0
    assert inner.calls.count("create") == 1


async def test_a_create_is_found_on_a_later_page(ledger: Ledger, time: FakeClock) -> None:
    first = PredictionPage(tuple(listed(f"o{n}", f"https://x/{n}") for n in range(3)), "1")
    inner = Listing([first, PredictionPage((), "2"), PredictionPage((listed("mine"),))], creates=[CreateLost("x")])
    assert await recovery(inner, ledger, time).create(REQUEST) == "mine"
    assert [cursor for _, cursor in inner.asked] == [None, "1", "2"]


async def test_pages_from_before_the_create_are_not_read(ledger: Ledger, time: FakeClock) -> None:
    old = replace(listed("old", "https://x/old"), created_at=BEGIN - timedelta(seconds=6))
    inner = Listing([PredictionPage((LATER, old), "1")], creates=[CreateLost("x")])
    await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST)
    assert {cursor for _, cursor in inner.asked} == {None}
    assert events(ledger) == ["submitting", "rejected", "submitting", "submitted"]


async def test_a_list_without_times_is_read_on(ledger: Ledger, time: FakeClock) -> None:
    timeless = replace(listed("other", "https://x/b.jpg"), created_at=None)
    inner = Listing([PredictionPage((timeless,), "1"), PredictionPage((listed("mine"),))], creates=[CreateLost("x")])
    assert await recovery(inner, ledger, time).create(REQUEST) == "mine"


async def test_what_is_not_on_the_list_is_bought_anew_and_is_no_duplicate(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((LATER,))], creates=[CreateLost("x")])
    assert await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST) == "p1"
    assert events(ledger) == ["submitting", "rejected", "submitting", "submitted"]
    assert ledger.fold.possible_duplicates == 0
    assert [request.attempt for request in inner.requests] == [1, 2]


@pytest.mark.parametrize("shown", [(), (listed("older", "https://x/older.jpg"),)])
async def test_a_list_that_shows_nothing_later_of_ours_leaves_a_doubt(
    ledger: Ledger, time: FakeClock, shown: tuple[Prediction, ...]
) -> None:
    inner = Listing([PredictionPage(shown)], creates=[CreateLost("x")])
    buyer = recovery(inner, ledger, time)
    buyer.lost.answered(listed("older", "https://x/older.jpg"), "https://x/older.jpg", time.clock.monotonic() - 1)
    assert await buyer.create(REQUEST) == "p1"
    assert events(ledger) == ["submitting", "submitting duplicate", "submitted"]


@pytest.mark.parametrize("answered", ["https://shop.example/sent.jpg", LATER.image])
async def test_an_unknown_prediction_leaves_a_doubt_where_the_list_rewrites_urls(
    ledger: Ledger, time: FakeClock, answered: str
) -> None:
    inner = Listing([PredictionPage((LATER, listed("who knows", "https://x/0815")))], creates=[CreateLost("x")])
    buyer = recovery(inner, ledger, time)
    buyer.lost.answered(replace(LATER, image=answered), "https://shop.example/sent.jpg", math.inf)
    assert await buyer.create(REQUEST) == "p1"
    assert events(ledger) == ["submitting", "submitting duplicate", "submitted"]


async def test_a_create_is_found_though_its_url_is_spelled_otherwise(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing(
        [PredictionPage((listed("mine", "HTTPS://files.example:443/sh%6fe.jpg"),))], creates=[CreateLost("x")]
    )
    assert await recovery(inner, ledger, time).create(REQUEST) == "mine"


async def test_a_prediction_of_another_item_is_never_taken(ledger: Ledger, time: FakeClock) -> None:
    await ledger.append(entry("submitting", item="twin", key=URL, output="twin.png"))
    await ledger.append(entry("submitted", item="twin", prediction_id="twins"))
    inner = Listing([PredictionPage((listed("twins"),))], creates=[CreateLost("x")])
    assert await recovery(inner, ledger, time).create(REQUEST) == "p1"
    assert ledger.fold.items["twin"].prediction_id == "twins"


async def test_two_items_of_one_url_never_take_the_same_prediction(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("only"),))], creates=[CreateLost("x"), CreateLost("x")])
    shared, ids = recovery(inner, ledger, time), []

    async def buy(item: str) -> None:
        ids.append(await shared.create(replace(REQUEST, item=item)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(buy, "left")
        tasks.start_soon(buy, "right")
    assert sorted(ids) == ["only", "p1"]


async def test_answers_that_stay_away_end_the_item_after_a_few(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((LATER,))], creates=[CreateLost("x")] * 20)
    with pytest.raises(ServerError, match="12 creates in a row got no answer"):
        await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST)
    assert inner.calls.count("create") == 12
    assert ledger.fold.items["shoe"].lost is None


async def test_a_refusal_passes_through_and_so_does_trouble_while_looking(ledger: Ledger, time: FakeClock) -> None:
    with pytest.raises(KeyRejected):
        await recovery(Listing(creates=[KeyRejected("no")]), ledger, time).create(REQUEST)

    class NoList(Listing):
        async def list(self, **kwargs: Any) -> PredictionPage:
            raise ServerError("busy")

    inner = NoList(creates=[CreateLost("x")])
    with pytest.raises(ServerError, match="busy"):
        await recovery(inner, ledger, time).create(REQUEST)
    assert inner.calls == ["create"]
    assert ledger.fold.items["shoe"].lost is not None  # the next run looks again


async def test_the_looks_begin_with_the_loss_however_long_the_create_had_waited(
    ledger: Ledger, time: FakeClock
) -> None:
    inner = Listing([PredictionPage(())], [PredictionPage(())], [PredictionPage((listed("mine"),))])

    async def slow(request: CreateRequest) -> Prediction:
        time.now += 90.0  # for its turn at the rate limit, then for an answer
        raise CreateLost("no answer")

    inner.create = slow  # type: ignore[method-assign]
    lost_at = time.now + 90.0
    assert await recovery(inner, ledger, time).create(REQUEST) == "mine"
    assert time.now == lost_at + 15.0


async def test_what_was_found_before_the_list_broke_off_stays_found(ledger: Ledger, time: FakeClock) -> None:
    class BreaksOff(Listing):
        async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
            if cursor is None:
                return PredictionPage((listed("mine"),), "1")
            raise ServerError("busy")  # at once: nobody else has had a turn

    lost = LostCreates(BreaksOff(), LostPolicy(), clock=time.clock, known=lambda _: False)
    stamp, found = BEGIN.isoformat(), []

    async def find(key: str) -> None:
        try:
            found.append((await lost.find(Lost(key, stamp), ())).prediction)
        except ServerError as error:
            found.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lost.watch)
        async with anyio.create_task_group() as finders:
            finders.start_soon(find, URL)
            finders.start_soon(find, "https://files.example/other.jpg")
        tasks.cancel_scope.cancel()
    assert sorted(map(str, found)) == sorted([str(listed("mine")), "busy"])


def others(count: int, image: str | None = "https://x/b.jpg", seconds: float = 0.0) -> tuple[Prediction, ...]:
    """Predictions of other people, made so long after the clock's beginning."""
    moment = BEGIN + timedelta(seconds=seconds)
    return tuple(replace(listed(f"o{seconds}-{nth}", image), created_at=moment) for nth in range(count))


@pytest.mark.parametrize(
    ("shown", "sure"),
    [
        ((LATER, *others(3, seconds=-4), *others(3)), True),  # as machines' clocks may differ
        ((*others(3, seconds=-6), LATER), False),
        ((LATER, *others(3, seconds=-60), *others(3)), False),
        ((LATER, *others(8)), True),
        ((LATER, *others(9)), False),  # ten, and no word of more
        ((LATER, *others(99)), False),
        ((LATER, *others(98), *others(1, seconds=-60)), True),  # it goes back far enough
    ],
)
async def test_a_list_out_of_order_or_cut_off_proves_no_absence(
    ledger: Ledger, time: FakeClock, shown: tuple[Prediction, ...], sure: bool
) -> None:
    inner = Listing([PredictionPage(shown)], creates=[CreateLost("x")])
    assert await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST) == "p1"
    assert ledger.fold.possible_duplicates == (not sure)


async def test_a_list_out_of_order_is_read_to_its_end(ledger: Ledger, time: FakeClock) -> None:
    pages = [
        PredictionPage((*others(1, seconds=-60), LATER, *others(1, seconds=-61)), "1"),
        PredictionPage((listed("mine"),)),
    ]
    inner = Listing(pages, creates=[CreateLost("x")])
    assert await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST) == "mine"


async def test_where_a_servers_clocks_contradict_each_other_all_of_the_list_is_read(
    ledger: Ledger, time: FakeClock
) -> None:
    inner = Listing([PredictionPage((listed("mine"),))], creates=[CreateLost("x")])
    buyer = with_a_later_one(recovery(inner, ledger, time))
    for seconds in (0, 6):
        other = replace(listed(f"o{seconds}", "https://x/o.jpg"), created_at=BEGIN + timedelta(seconds=seconds))
        buyer.lost.answered(replace(other, held=0.5), "https://x/o.jpg", time.now)
    assert await buyer.create(REQUEST) == "mine"
    assert inner.asked == [(None, None)]


@pytest.mark.parametrize(("seconds", "doubtful"), [(-60.0, False), (-4.0, True), (1.0, True)])
async def test_a_wiped_input_of_before_the_create_is_no_doubt(
    ledger: Ledger, time: FakeClock, seconds: float, doubtful: bool
) -> None:
    inner = Listing([PredictionPage((LATER, *others(1, None, seconds)))], creates=[CreateLost("x")])
    assert await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST) == "p1"
    assert ledger.fold.possible_duplicates == doubtful
