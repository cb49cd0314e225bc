"""One decision for each content: who buys, who copies, who waits; and what the first comes to holds for its copies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from batch_removebg.errors import (
    BatchError,
    BudgetReached,
    CreateUnaccounted,
    DiskError,
    InputRejected,
    OutputBroken,
    PredictionFailed,
    PredictionInterrupted,
    ServerError,
    SourceError,
    Stopping,
)
from batch_removebg.ledger.state import ItemState, Lost
from batch_removebg.model import Capabilities, Item
from batch_removebg.pipeline.dedup import Deduplicator, Released, Way
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.work import Prepared, Todo, Turn
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache
from tests.support.doubles import photo

LOST = Lost("https://files.example/shoe.jpg", "2027-01-15T08:00:00.000Z")
OF_CONTENT = [PredictionFailed("no"), InputRejected("no"), CreateUnaccounted("no")]
SPENT = [PredictionInterrupted("no"), OutputBroken("no")]
ALONE = SourceError("its name can't be written")


class Nothing:
    """Sources of which nothing is kept."""

    def hold(self, key: str, data: bytes) -> None: ...

    def let_go(self, key: str) -> None: ...

    def drop(self, data: object) -> None: ...


def dedup(folder: Path, *unsettled: ItemState, billed: bool = True) -> Deduplicator:
    on_hand = OnHand(folder, lambda fingerprint: None, "")
    provider = SimpleNamespace(capabilities=Capabilities(billed=billed))
    context = SimpleNamespace(sources=Nothing(), provider=provider)
    return Deduplicator(context, on_hand, unsettled=unsettled)  # type: ignore[arg-type]


def prepared(name: str, state: ItemState | None = None, fingerprint: str = "ab" * 16) -> Prepared:
    todo = Todo(Item(name, name, "test"), f"{name}.png", state or ItemState())
    return Prepared(todo, fingerprint, "sha256", 0.0, 40, 30, data=photo())


Names = list[tuple[str, BatchError | None]]


def named(released: list[Released]) -> Names:
    return [(item.todo.item.id, error) for item, error in released]


def bought(folder: Path, error: BatchError | None) -> tuple[Deduplicator, Names]:
    """A content with three copies parked, after its first item has ended, and what became of them."""
    one, first = dedup(folder), prepared("first")
    ways = [one.place(item) for item in (first, *map(prepared, ("second", "third", "fourth")))]
    assert (ways, one.parked) == ([Way.BUY, Way.PARK, Way.PARK, Way.PARK], 3)
    return one, named(one.settled(first, error))


def late(one: Deduplicator, fingerprint: str = "ab" * 16) -> Turn:
    """The turn of an item that comes later."""
    item = prepared("late", fingerprint=fingerprint)
    assert one.place(item) is Way.BUY
    return one.turn(item)


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


def test_what_earlier_runs_began_for_several_items_of_one_content_is_taken_up_in_turn(tmp_path: Path) -> None:
    begun = [
        ItemState(lost=LOST, fingerprint="ab" * 16),
        *(ItemState(prediction_id=name, in_flight=True, fingerprint="ab" * 16) for name in ("p1", "p2")),
    ]
    one, found = dedup(tmp_path, *begun), list[object]()
    turn = late(one)
    while turn.paid:
        found.append(turn.open or turn.lost)
        turn.open = turn.lost = None
        turn.take_up()
    assert (found, turn.spent) == (["p1", "p2", LOST], ["p1", "p2"])


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


def test_copies_are_released_together_once_the_first_is_saved(tmp_path: Path) -> None:
    one, released = bought(tmp_path, None)
    assert released == [("second", None), ("third", None), ("fourth", None)]
    assert one.parked == 0
    assert late(one).bought == 0


def test_other_contents_do_not_wait(tmp_path: Path) -> None:
    one = dedup(tmp_path)
    assert [one.place(prepared(key, fingerprint=key)) for key in "ab"] == [Way.BUY, Way.BUY]


@pytest.mark.parametrize("error", [*OF_CONTENT, *SPENT, ServerError("no")])
def test_what_a_content_comes_to_is_told_its_copies_with_the_same_word_and_kind(
    tmp_path: Path, error: BatchError
) -> None:
    error.attempts = 3
    one, released = bought(tmp_path, error)
    assert [name for name, _ in released] == ["second", "third", "fourth"]
    assert all((type(told), str(told)) == (type(error), "no") for _, told in released)
    assert all(told is not None and told.attempts == 0 for _, told in released)
    assert one.parked == 0


@pytest.mark.parametrize("error", [*OF_CONTENT, *SPENT])
def test_a_copy_that_comes_later_in_the_run_is_told_the_same(tmp_path: Path, error: BatchError) -> None:
    one, _ = bought(tmp_path, error)
    refusal = late(one).refusal
    assert (type(refusal), str(refusal)) == (type(error), "no")
    assert late(one, "other").refusal is None


def test_trouble_of_the_server_is_not_held_against_a_copy_that_comes_later(tmp_path: Path) -> None:
    one, _ = bought(tmp_path, ServerError("busy"))
    assert late(one).refusal is None


def test_after_an_error_of_the_item_alone_the_next_copy_has_the_turn_and_what_was_bought(tmp_path: Path) -> None:
    one, first = dedup(tmp_path), prepared("first")
    for item in (first, prepared("second"), prepared("third")):
        one.place(item)
    turn = one.turn(first)
    turn.purchased("p1", "first")
    [(second, error)] = one.settled(first, ALONE)
    assert (second.todo.item.id, error, one.parked) == ("second", None, 1)
    assert (one.leads(second), one.leads(first)) == (True, False)
    assert one.turn(second) is turn
    assert turn.open == "p1"
    assert one.settled(first) == []  # it has ended
    assert named(one.settled(second)) == [("third", None)]
    assert not one.leads(second)


def test_what_was_bought_in_vain_is_known_to_an_item_that_comes_later(tmp_path: Path) -> None:
    one, first = dedup(tmp_path), prepared("first")
    one.place(first)
    one.turn(first).bought = 2
    assert one.settled(first, ALONE) == []
    turn = late(one)
    assert (turn.bought, turn.refusal) == (2, None)


@pytest.mark.parametrize("error", [BudgetReached("no"), DiskError("no"), Stopping("no")])
def test_where_the_run_ends_every_copy_is_left_pending(tmp_path: Path, error: BatchError) -> None:
    one, released = bought(tmp_path, error)
    assert [type(told) for _, told in released] == [Stopping] * 3
    assert late(one).refusal is None


def test_what_came_to_nothing_is_remembered_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.pipeline.dedup._REMEMBERED", 2)
    one = dedup(tmp_path)
    for key in "abc":
        item = prepared("x", fingerprint=key)
        one.place(item)
        one.settled(item, PredictionFailed("no"))
    assert [late(one, key).refusal is None for key in "abc"] == [True, False, False]


def test_what_is_remembered_holds_no_source(tmp_path: Path) -> None:
    one, first = dedup(tmp_path), prepared("first")
    one.place(first)
    turn = one.turn(first)
    turn.purchased("p1", "first")
    one.settled(first, ALONE)
    assert not [value for value in map(turn.__getattribute__, Turn.__slots__) if isinstance(value, Prepared)]
    assert turn.parked == []
