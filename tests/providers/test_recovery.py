"""A create whose answer was lost is looked for before it is sent again, and what can't be looked for is counted."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    BatchError,
    CreateLost,
    CreateUnaccounted,
    KeyRejected,
    NotAnApi,
    RateLimited,
    ServerError,
    Verdict,
)
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import Capabilities, CreateRequest, Item, Prediction, PredictionPage, Provider, Status
from batch_removebg.pipeline.brake import Brake
from batch_removebg.pipeline.purchase import Purchaser
from batch_removebg.pipeline.work import Prepared, Todo, Turn
from batch_removebg.providers.journaled import Budget, Journaled
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.wire import key_of
from batch_removebg.stop import Gate
from tests.support.doubles import FakeClock, ScriptedProvider, pausing
from tests.support.fake_api import FakeApi, connected, data_uri
from tests.support.oracle import entry
from tests.support.wire import after, reset, says

pytestmark = pytest.mark.anyio

URL = "https://files.example/shoe.jpg"
REQUEST = CreateRequest(item="shoe", image=URL, output="shoe.png", fingerprint="f1")
HOSTED = Capabilities(files=True, list=True, cancel=True)
GATEWAY = Capabilities()
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
