"""Creates that an earlier run lost, and servers that offer no list: what can be known is used, the rest is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batch_removebg.errors import (
    BatchError,
    CreateLost,
    CreateUnaccounted,
    KeyRejected,
    NotAnApi,
    RateLimited,
    Verdict,
)
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import Lost
from batch_removebg.model import Capabilities, PredictionPage, Provider
from batch_removebg.providers.journaled import Journaled
from batch_removebg.providers.recovery import LostPolicy
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.wire import key_of
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, pausing
from tests.support.fake_api import FakeApi, connected, data_uri
from tests.support.losses import (
    BEGIN,
    LATER,
    REQUEST,
    URL,
    Buyer,
    Listing,
    events,
    ledger,
    listed,
    recovery,
    time,
    with_a_later_one,
)
from tests.support.oracle import entry
from tests.support.wire import after, reset, says

__all__ = ["ledger", "time"]

pytestmark = pytest.mark.anyio
HOSTED = Capabilities(files=True, list=True, cancel=True)
GATEWAY = Capabilities()


# A create that an earlier run lost


def of_earlier_run(hours: float, key: str = URL) -> Lost:
    return Lost(key, (BEGIN - timedelta(hours=hours)).isoformat())


async def test_a_create_of_an_earlier_run_is_looked_for_first(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("mine"),))])
    found = await recovery(inner, ledger, time).create(REQUEST, of_earlier_run(0.5))
    assert (found, inner.calls) == ("mine", [])
    assert inner.asked == [(None, None)]  # the clock may have been wrong when it was sent
    assert time.slept == []  # it has had its time to appear
    assert events(ledger) == ["submitted found"]


async def test_a_create_of_an_earlier_run_that_is_not_there_is_bought_anew(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((LATER,))])
    assert await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST, of_earlier_run(0.5)) == "p1"
    assert events(ledger) == ["rejected", "submitting", "submitted"]
    assert len(inner.asked) == 2


@pytest.mark.parametrize("stamp", ["", "yesterday"])
async def test_without_a_readable_time_the_whole_list_is_read(ledger: Ledger, time: FakeClock, stamp: str) -> None:
    inner = Listing([PredictionPage((listed("mine"),))])
    assert await recovery(inner, ledger, time).create(REQUEST, Lost(URL, stamp)) == "mine"


async def test_a_wiped_input_may_be_the_lost_one_so_buying_anew_may_be_a_duplicate(
    ledger: Ledger, time: FakeClock
) -> None:
    wiped = PredictionPage((listed("who knows", None, data_removed=True),))
    inner = Listing([wiped])
    assert await recovery(inner, ledger, time).create(REQUEST, of_earlier_run(9)) == "p1"
    assert events(ledger) == ["submitting duplicate", "submitted"]
    assert ledger.fold.possible_duplicates == 1


async def test_a_wiped_input_of_a_known_prediction_is_nobodys_doubt(ledger: Ledger, time: FakeClock) -> None:
    await ledger.append(entry("submitted", item="other", prediction_id="known"))
    inner = Listing([PredictionPage((LATER, listed("known", None, data_removed=True)))])
    await with_a_later_one(recovery(inner, ledger, time)).create(REQUEST, of_earlier_run(9))
    assert ledger.fold.possible_duplicates == 0


async def test_a_list_too_long_to_read_leaves_a_doubt(ledger: Ledger, time: FakeClock) -> None:
    pages = [PredictionPage((listed(f"o{n}", f"https://x/{n}"),), str(n + 1)) for n in range(9)]
    inner = Listing(pages)
    await recovery(inner, ledger, time, LostPolicy(pages=3)).create(REQUEST, of_earlier_run(0.5))
    assert len(inner.asked) == 9  # three looks
    assert events(ledger) == ["submitting duplicate", "submitted"]


async def test_a_doubt_is_not_bought_where_the_policy_forbids(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((listed("who knows", None, data_removed=True),))])
    with pytest.raises(CreateUnaccounted):
        await recovery(inner, ledger, time, LostPolicy(resend=0)).create(REQUEST, of_earlier_run(9))
    assert inner.calls == []


# Where nothing can be looked for

BLIND = [
    (GATEWAY, URL),
    (GATEWAY, data_uri(b"picture")),
    (HOSTED, data_uri(b"picture")),
]


@pytest.mark.parametrize(("capabilities", "image"), BLIND)
async def test_what_cannot_be_looked_for_is_sent_once_more_and_counted(
    ledger: Ledger, time: FakeClock, capabilities: Capabilities, image: str
) -> None:
    inner = Listing(creates=[CreateLost("x")], capabilities=capabilities)
    assert await recovery(inner, ledger, time).create(replace(REQUEST, image=image)) == "p1"
    assert events(ledger) == ["submitting", "submitting duplicate", "submitted"]
    assert (ledger.fold.possible_duplicates, inner.asked, time.slept) == (1, [], [5.0])


@pytest.mark.parametrize(("capabilities", "image"), BLIND)
async def test_once_more_is_not_twice_more(
    ledger: Ledger, time: FakeClock, capabilities: Capabilities, image: str
) -> None:
    inner = Listing(creates=[CreateLost("x")] * 9, capabilities=capabilities)
    with pytest.raises(CreateUnaccounted, match="--retry-failed") as caught:
        await recovery(inner, ledger, time).create(replace(REQUEST, image=image))
    assert caught.value.verdict is Verdict.FAIL
    assert inner.calls.count("create") == 2
    assert ledger.fold.items["shoe"].lost is not None


@pytest.mark.parametrize(("capabilities", "image"), BLIND)
async def test_where_no_duplicate_may_be_risked_the_item_fails(
    ledger: Ledger, time: FakeClock, capabilities: Capabilities, image: str
) -> None:
    inner = Listing(creates=[CreateLost("x")], capabilities=capabilities)
    with pytest.raises(CreateUnaccounted):
        await recovery(inner, ledger, time, LostPolicy(resend=0)).create(replace(REQUEST, image=image))
    assert inner.calls.count("create") == 1
    assert ledger.fold.possible_duplicates == 0


async def test_a_create_of_an_earlier_run_that_cannot_be_looked_for_is_a_possible_duplicate(
    ledger: Ledger, time: FakeClock
) -> None:
    inner = Listing(capabilities=GATEWAY)
    lost = of_earlier_run(1, key_of(data_uri(b"picture")))
    await recovery(inner, ledger, time).create(replace(REQUEST, image=data_uri(b"picture")), lost)
    assert events(ledger) == ["submitting duplicate", "submitted"]
    with pytest.raises(CreateUnaccounted):
        await recovery(inner, ledger, time, LostPolicy(resend=0)).create(REQUEST, lost)
    assert inner.calls.count("create") == 1


# Over the wire


def over_the_wire(provider: Provider, ledger: Ledger, time: FakeClock) -> Buyer:
    on_record = Journaled(provider, ledger, Gate(time.clock))
    chain = Retrying(on_record, RetryPolicy(), clock=time.clock, pause=pausing(time.sleep), waiting=lambda text: None)
    return Buyer(chain, ledger, time)


@pytest.mark.parametrize("accepted", [True, False])
async def test_over_the_wire_a_lost_answer_costs_no_second_prediction(
    ledger: Ledger, time: FakeClock, accepted: bool
) -> None:
    async with FakeApi(now=lambda: time.now) as api, connected(api) as provider:
        api.page = 2
        for number in range(5):
            await provider.create(replace(REQUEST, image=f"https://x/{number}"))  # somebody else's
        upload = await provider.upload(b"x", filename="shoe.jpg", content_type="image/jpeg")
        api.respond("GET", "/predictions", says(503), times=1)
        api.respond("POST", "/predictions", says(429, {"retry_after": 3}), times=1)
        api.respond("POST", "/predictions", after(api.normal, reset) if accepted else reset, times=1)
        made = await over_the_wire(provider, ledger, time).create(replace(REQUEST, image=upload.url))
        assert [bought.id for bought in api.bill if bought.input["image"] == upload.url] == [made]
    assert ledger.fold.predictions == 1
    assert ledger.fold.possible_duplicates == (not accepted)  # nothing later of ours proves that it is missing


async def test_over_the_wire_a_gateways_lost_answer_is_counted(ledger: Ledger, time: FakeClock) -> None:
    async with FakeApi(gateway=True, now=lambda: time.now) as api, connected(api) as provider:
        api.respond("POST", "/predictions", after(api.normal, reset), times=1)
        made = await over_the_wire(provider, ledger, time).create(REQUEST)
        assert len(api.bill) == 2
        assert made == api.bill[1].id
        assert api.foreign == []
    assert (ledger.fold.predictions, ledger.fold.possible_duplicates) == (1, 1)


@pytest.mark.parametrize("error", [RateLimited("x"), KeyRejected("x")])
async def test_a_refusal_is_not_a_loss(ledger: Ledger, time: FakeClock, error: BatchError) -> None:
    inner = Listing(creates=[error])
    with pytest.raises(type(error)):
        await recovery(inner, ledger, time).create(REQUEST)
    assert (inner.asked, events(ledger)) == ([], ["submitting", "rejected"])


async def test_a_server_whose_clock_is_hours_behind_hides_no_lost_create(ledger: Ledger, time: FakeClock) -> None:
    behind = BEGIN - timedelta(hours=3)
    answered = replace(listed("p1", "https://files.example/hat.jpg"), created_at=behind)
    found = replace(listed("p2"), created_at=behind)
    server = Listing([PredictionPage((found,))], creates=[answered, CreateLost("no answer")])
    buyer = recovery(server, ledger, time)
    await buyer.create(replace(REQUEST, item="hat", image="https://files.example/hat.jpg"))
    assert await buyer.create(REQUEST) == "p2"
    asked = server.asked[0][0]
    assert asked is not None
    assert asked <= behind
    assert len(server.requests) == 2


async def test_a_prediction_of_another_model_is_neither_taken_nor_a_doubt(ledger: Ledger, time: FakeClock) -> None:
    inner = Listing([PredictionPage((LATER, listed("theirs", version="a" * 64)))], creates=[CreateLost("x")])
    inner.version = "b" * 64
    buyer = with_a_later_one(recovery(inner, ledger, time))
    assert await buyer.create(REQUEST) == "p1"
    assert events(ledger) == ["submitting", "rejected", "submitting", "submitted"]


@pytest.mark.parametrize("error", [NotAnApi("404"), KeyRejected("403")])
async def test_a_list_that_is_not_offered_is_as_none(ledger: Ledger, time: FakeClock, error: BatchError) -> None:
    class NoList(Listing):
        async def list(self, **kwargs: Any) -> PredictionPage:
            raise error

    assert await recovery(NoList(creates=[CreateLost("x")]), ledger, time).create(REQUEST) == "p1"
    assert events(ledger) == ["submitting", "submitting duplicate", "submitted"]
