"""A filter chooses any of what is named of one kind, and all kinds together; each kind is counted without its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from batch_removebg.ledger.events import Rendition
from batch_removebg.ledger.state import ItemState
from batch_removebg.review import protocol
from batch_removebg.review.protocol import Query
from batch_removebg.review.views import Facts, Views, following
from batch_removebg.server.protocol import Refusal


def facts(*states: ItemState, verdicts: tuple[str, ...] = ()) -> Facts:
    found = Facts()
    for n, state in enumerate(states, 1):
        verdict = verdicts[n - 1] if verdicts else "undecided"
        found.put(n, f"item {n}", state, verdict, edited=n == 2)
    return found


def saved(output: str = "a.png", **fields: Any) -> ItemState:
    return ItemState(outcome="saved", output=output, sha256="5e", **fields)


def chosen(found: Facts, **kinds: set[str]) -> list[int]:
    return found.chosen(Query({kind: frozenset(wanted) for kind, wanted in kinds.items()}))[0].tolist()


ALL = facts(
    saved("a/1.png", flags=("suspect",)),
    saved("a/2.png", flags=("suspect", "faint")),
    saved("b/3.png"),
    ItemState(outcome="failed", output="b/4.png"),
    ItemState(gone=True),  # it has another id now
    verdicts=("accepted", "undecided", "accepted", "undecided", "undecided"),
)


def test_any_of_one_kind_and_all_kinds_together() -> None:
    assert chosen(ALL) == [1, 2, 3, 4]
    assert chosen(ALL, flag={"suspect"}) == [1, 2]
    assert chosen(ALL, flag={"faint", "full"}) == [2]
    assert chosen(ALL, status={"saved", "failed"}, decision={"undecided"}) == [2, 4]
    assert chosen(ALL, folder={"b"}, status={"saved"}) == [3]
    assert chosen(ALL, flag={"never seen"}) == []
    assert chosen(ALL, edited={"1"}) == [2]


def test_counts_of_a_kind_leave_its_own_filter_out_and_heed_the_others() -> None:
    _, facets = ALL.chosen(Query({"decision": frozenset({"accepted"}), "status": frozenset({"saved"})}))
    assert facets["decision"] == {"accepted": 2, "undecided": 1}
    assert facets["status"] == {"saved": 2}
    assert facets["flag"] == {"suspect": 1}
    assert facets["folder"] == {"a": 1, "b": 1}
    assert ALL.chosen(Query({"edited": frozenset({"1"}), "flag": frozenset({"suspect"})}))[1]["edited"] == {
        "0": 1,
        "1": 1,
    }


def test_presets_and_the_rules_that_pictures_break_are_kinds_too() -> None:
    def picture(preset: str, **checks: str) -> Rendition:
        return Rendition(preset, f"{preset}/shoes/1.jpg", None, "5e", 1, 2, 2, checks)

    found = facts(
        saved(outputs=(picture("shop", fill="fail", background="pass"), picture("other", fill="pass"))),
        saved(outputs=(picture("shop", fill="advised"),)),
    )
    _, facets = found.chosen(Query())
    assert facets["folder"] == {"shoes": 2}
    assert (facets["check"], facets["preset"]) == ({"shop:fill": 1}, {"shop": 2, "other": 1})
    assert chosen(found, check={"shop:fill"}) == [1]
    assert chosen(found, preset={"other"}) == [1]


@pytest.mark.parametrize(("down", "order"), [(False, [3, 1, 4, 2]), (True, [1, 4, 3, 2])])
def test_an_item_without_the_figure_is_last_in_either_order_and_equal_ones_keep_theirs(
    down: bool, order: list[int]
) -> None:
    found = facts(
        *(saved(quality=quality) for quality in ({"coverage": 0.5}, None, {"coverage": 0.1}, {"coverage": 0.5}))
    )
    assert found.chosen(Query(sort="coverage", down=down))[0].tolist() == order


def test_ids_and_times_are_orders_too() -> None:
    found = facts(saved(checked="2026-02-01T00:00:00Z"), saved(checked=""), saved(checked="2026-01-01T00:00:00Z"))
    assert found.chosen(Query(sort="time"))[0].tolist() == [3, 1, 2]
    assert found.chosen(Query(sort="id"), ranks=[2, 3, 1])[0].tolist() == [2, 3, 1]
    assert found.chosen(Query(down=True))[0].tolist() == [3, 2, 1]


def test_an_item_that_has_changed_counts_as_it_is_now() -> None:
    found = facts(saved(flags=("faint",)), saved())
    found.put(1, "item 1", saved(), "rejected", edited=False)
    found.put(3, "item 3", saved(), "undecided", edited=False)
    _, facets = found.chosen(Query())
    assert (facets["flag"], facets["decision"]) == ({}, {"undecided": 2, "rejected": 1})


def test_the_next_one_is_looked_for_in_the_order_of_the_view() -> None:
    undecided = ALL.those([4, 1, 2, 3], "undecided")
    assert undecided.tolist() == [True, False, True, False]
    assert ALL.those([4, 1, 2], "flagged").tolist() == [False, True, True]
    assert [following(undecided, after, back=False) for after in (-1, 0, 1, 2, 9)] == [0, 2, 2, None, None]
    assert [following(undecided, after, back=True) for after in (0, 1, 2, 3)] == [None, 0, 0, 2]
    assert following(np.zeros(0, np.bool_), -1, back=False) is None


def test_a_million_combinations_of_labels_stay_few_in_memory() -> None:
    found = Facts()
    for n in range(1, 70_001):
        found.put(n, f"{n}/a.jpg", saved(f"{n}/a.png"), "undecided", edited=False)
    assert chosen(found, folder={"7"}) == [7]
    assert chosen(found, folder={"…"})[-1] == 70_000
    assert len(found.chosen(Query())[1]["folder"]) == 200


def test_a_query_is_what_its_parameters_say_and_nothing_else() -> None:
    given = [
        ("flag", "faint"),
        ("flag", "full"),
        ("col.sku", "A"),
        ("q", "shoe"),
        ("q", ""),
        ("sort", "bytes"),
        ("down", "1"),
    ]
    assert protocol.query(given) == Query(
        {"flag": frozenset({"faint", "full"})}, {"sku": frozenset({"A"})}, frozenset({"shoe"}), sort="bytes", down=True
    )
    assert protocol.query([]).plain
    for wrong in ([("sort", "price")], [("flags", "faint")], [("q", "x" * 1001)], [("q", str(n)) for n in range(201)]):
        with pytest.raises(Refusal):
            protocol.query(wrong)


def test_the_last_views_are_kept() -> None:
    views = Views("here")
    keys = [views.keep([n]) for n in range(16)]
    views.get(keys[0])
    views.keep([16])
    assert views.get(keys[0]) == [0]
    with pytest.raises(Refusal):
        views.get(keys[1])
