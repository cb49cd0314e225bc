"""What is done is found quickly, and only what is done: the same answers as by a look at each item."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg.finish.options import Finish
from batch_removebg.ledger.events import lenient
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.manifest.columns import as_item
from batch_removebg.model import Item, ProxySpec, UrlRow
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.planner import Again, Planner
from batch_removebg.storage.naming import Claims
from batch_removebg.storage.outputs import Folder
from tests.support.oracle import Oracle, new_database

RECIPE = Recipe("replicate", "v1", {}, ProxySpec(), Finish(), passes_urls=True)
MANY = 60


def url_row(number: int, **other: Any) -> UrlRow:
    meta = {"sku": f"A-{number}", "é": "ü"}
    return replace(UrlRow(f"p{number}", f"https://x.example/{number}.jpg", meta, "c.csv", number + 2), **other)


def saved(row: UrlRow | Item, size: int) -> dict[str, Any]:
    return {
        "event": "saved",
        "item": row.id,
        "source": row.source,
        "output": f"{row.id}.png",
        "bytes": size,
        "recipe": RECIPE.passed,
        "meta": dict(row.meta),
    }


@contextmanager
def finished(numbers: list[int]) -> Iterator[IndexedFold]:
    """An index of rows that were saved in that order, all but every seventh, which failed."""
    with closing(new_database()) as database:
        fold = IndexedFold(database)
        for number in numbers:
            fold.apply(lenient(saved(url_row(number), 3)))
            if number % 7 == 6:
                fold.apply(lenient({"event": "failed", "item": f"p{number}", "recipe": RECIPE.tried}))
        fold.commit()
        yield fold


def planned(fold: IndexedFold, rows: list[UrlRow | Item], out: Path, chunk: int) -> Any:
    """All that a plan comes to."""
    with closing(RunItems(fold)) as reading:
        claims = Claims("png", owners=reading.names)
        planner = Planner(fold, claims, outputs=Folder(out), recipe=RECIPE, again=Again(), reading=reading)
        plans = [planner.plan_all(rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
        return (
            [todo for plan in plans for todo in plan.todos],
            [entry for plan in plans for entry in plan.entries],
            [sum(plan.done for plan in plans), sum(plan.left for plan in plans), sum(plan.read for plan in plans)],
            [number in reading.numbers for number in range(MANY + 5)],
        )


CHANGES: dict[str, Callable[[int], UrlRow | Item]] = {
    "none": url_row,
    "source": lambda number: url_row(number, source="https://x.example/other.jpg"),
    "meta": lambda number: url_row(number, meta={"sku": "new"}),
    "more meta": lambda number: url_row(number, meta={"sku": f"A-{number}", "é": "ü", "size": ""}),
    "new": lambda number: url_row(number, id=f"new{number}"),
    "file": lambda number: Item(f"p{number}", "in/x.jpg", "in", path=Path("nowhere/x.jpg")),
    "item": lambda number: as_item(url_row(number)),
    "output": lambda number: replace(as_item(url_row(number)), output=f"p{number}-b"),
}


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.randoms(use_true_random=False),
    st.sampled_from(["ledger", "near", "any"]),
    st.dictionaries(st.integers(0, MANY - 1), st.sampled_from([*CHANGES, "gone", "short", "lately"]), max_size=20),
    st.integers(1, MANY),
)
def test_what_is_found_quickly_is_what_a_look_at_each_finds(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, order: str, changes: dict[int, str], chunk: int
) -> None:
    out = tmp_path_factory.mktemp("out")
    numbers = list(range(MANY))
    for number in numbers:
        if changes.get(number) != "gone":
            (out / f"p{number}.png").write_bytes(b"cu" if changes.get(number) == "short" else b"cut")
    rows = [CHANGES.get(changes.get(number, "none"), url_row)(number) for number in numbers]
    if order == "any":
        chance.shuffle(rows)
    elif order == "near":
        numbers.sort(key=lambda number: number + chance.random() * 8)
    with finished(numbers) as fold:
        for number in (number for number, change in changes.items() if change == "lately"):
            fold.apply(lenient(saved(url_row(number), 4)))  # not in the file yet
        quickly = planned(fold, rows, out, chunk)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IndexedFold, "done", Oracle.done)
            one_by_one = planned(fold, rows, out, chunk)
    assert quickly == one_by_one


def test_what_is_done_is_not_looked_at_closely_and_nothing_is_said_of_what_follows_the_last_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [url_row(number, **({"id": "new"} if number == 3 else {})) for number in range(6)]
    for row in rows:
        (tmp_path / f"{row.id}.png").write_bytes(b"cut")
    with finished(list(range(6))) as fold, closing(RunItems(fold)) as reading:
        planner = Planner(
            fold,
            Claims("png", owners=reading.names),
            outputs=Folder(tmp_path),
            recipe=RECIPE,
            again=Again(),
            reading=reading,
        )
        looked_at = []
        monkeypatch.setattr(planner, "_add", lambda found, item: (looked_at.append(item.id), found.todos.append(item)))
        plan = planner.plan_all(rows, most=1)
        assert (looked_at, len(plan.todos), plan.done) == (["new"], 1, 3)
        assert [number in reading.numbers for number in range(1, 7)] == [True] * 3 + [False] * 3
        assert planner.plan_all(rows, most=2).done == 5
