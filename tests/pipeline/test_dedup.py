"""One decision for each content: who buys, who copies, who waits, and what has to be looked for first."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import Item
from batch_removebg.pipeline.dedup import Deduplicator, Way, way_of
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Prepared, Todo
from batch_removebg.resources import Cpu
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache
from tests.support.doubles import photo

LOST = Lost("https://files.example/shoe.jpg", "2027-01-15T08:00:00.000Z")


class Nothing:
    """Sources of which nothing is kept."""

    def hold(self, key: str, data: bytes) -> None: ...

    def let_go(self, key: str) -> None: ...


def dedup(folder: Path, *unsettled: ItemState, billed: bool = True) -> Deduplicator:
    on_hand = OnHand(folder, lambda fingerprint: None, "")
    return Deduplicator(on_hand, Nothing(), Cpu(), billed=billed, unsettled=unsettled)  # type: ignore[arg-type]


def prepared(name: str, state: ItemState | None = None, fingerprint: str = "ab" * 16) -> Prepared:
    todo = Todo(Item(name, name, "test"), f"{name}.png", state or ItemState())
    return Prepared(todo, fingerprint, "sha256", 40, 30, 0, photo(), (), 0.0)


@pytest.mark.parametrize(
    ("on_hand", "busy", "way"),
    [(False, False, Way.BUY), (True, False, Way.COPY), (False, True, Way.PARK), (True, True, Way.PARK)],
)
def test_what_is_being_bought_is_waited_for_and_what_is_on_hand_is_copied(on_hand: bool, busy: bool, way: Way) -> None:
    assert way_of(on_hand=on_hand, busy=busy) is way


def test_the_first_item_of_a_content_buys_and_the_others_wait_without_their_sources(tmp_path: Path) -> None:
    one, first, second = dedup(tmp_path), prepared("a"), prepared("b")
    assert [one.place(first), one.place(second)] == [Way.BUY, Way.PARK]
    assert (one.leads(first), one.leads(second), one.parked) == (True, False, 1)
    [(copy, error)] = one.settled(first)
    assert (copy.todo, copy.data, error) == (second.todo, None, None)


def test_what_is_on_hand_is_copied_until_it_turns_out_to_be_damaged(tmp_path: Path) -> None:
    one, item = dedup(tmp_path), prepared("a")
    (tmp_path / layout.ALPHAS).mkdir(parents=True)
    AlphaCache(tmp_path / layout.ALPHAS).keep(item.fingerprint, b"no picture")
    assert one.place(item) is Way.COPY
    assert not one.leads(item)
    assert one.place(item, damaged=True) is Way.BUY
    assert one.leads(item)


@pytest.mark.parametrize("of_another", [False, True])
def test_what_an_earlier_run_has_in_flight_is_taken_up_whichever_item_has_the_content(
    tmp_path: Path, of_another: bool
) -> None:
    state = ItemState(prediction_id="p7", in_flight=True, fingerprint="ab" * 16, spent=("p3",))
    one, item = dedup(tmp_path, *[state] * of_another), prepared("a", None if of_another else state)
    assert one.place(item) is Way.BUY
    turn = one.turn(item)
    assert (turn.open, turn.spent, turn.bought, turn.buyer) == ("p7", ["p7", "p3"], 0, None)


@pytest.mark.parametrize("billed", [True, False])
def test_a_create_that_an_earlier_run_lost_is_looked_for_where_it_may_have_cost_something(
    tmp_path: Path, billed: bool
) -> None:
    one, item = dedup(tmp_path, billed=billed), prepared("a", ItemState(lost=LOST, fingerprint="ab" * 16))
    assert one.place(item) is Way.BUY
    assert one.turn(item).lost == (LOST if billed else None)


def test_a_prediction_of_an_earlier_process_is_not_asked_for_where_nothing_outlives_it(tmp_path: Path) -> None:
    one = dedup(tmp_path, billed=False)
    item = prepared("a", ItemState(prediction_id="p7", in_flight=True, fingerprint="ab" * 16))
    assert one.place(item) is Way.BUY
    assert one.turn(item).open is None


def test_what_was_in_flight_for_other_content_is_not_taken_up(tmp_path: Path) -> None:
    one, item = dedup(tmp_path), prepared("a", ItemState(prediction_id="p7", in_flight=True, fingerprint="other"))
    assert one.place(item) is Way.BUY
    assert (one.turn(item).open, one.turn(item).spent) == (None, [])
