"""Items that come back to the queue: outputs of no use and lost creates, while the run ends and while copies wait."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import CreateLost, ServerError
from batch_removebg.events import Kind
from batch_removebg.model import CreateRequest, Prediction, PredictionPage
from tests.pipeline.test_copies import rows
from tests.pipeline.test_sharing import urls
from tests.support.bench import GATEWAY, Bench, bench
from tests.support.doubles import ScriptedProvider

__all__ = ["bench"]
pytestmark = pytest.mark.anyio

Create = Callable[[CreateRequest], Prediction]


def lost(bench: Bench, *, accepted: bool, then: Callable[[], None] = lambda: None) -> Create:
    """A create whose answer never comes; `then` happens meanwhile."""

    def create(request: CreateRequest) -> Prediction:
        if accepted:
            made = bench.provider.succeed(request)
            bench.provider.known[str(made.id)] = made
        then()
        raise CreateLost("the connection broke")

    return create


def useless(bench: Bench, then: Callable[[], None] = lambda: None) -> Create:
    """A create whose output is gone when it is fetched."""

    def create(request: CreateRequest) -> Prediction:
        made = bench.provider.succeed(request)
        bench.provider.outputs.pop(str(made.output))
        then()
        return made

    return create


def in_flight(bench: Bench) -> list[int]:
    """The number in flight after each event, not cut off at zero."""
    counts, count = [], 0
    for event in bench.events:
        count += (event.kind is Kind.STARTED) - event.started
        counts.append(count)
    return counts


def check(bench: Bench) -> None:
    counts = in_flight(bench)
    assert min(counts) >= 0
    assert counts[-1] == 0


# While the run stops


async def test_an_output_of_no_use_leaves_its_item_pending_once_the_run_stops(bench: Bench, tmp_path: Path) -> None:
    manifest = urls(tmp_path, *rows(("a", 4)))
    bench.provider.script.append(useless(bench, bench.stop))
    summary = await bench.run(manifest)
    assert (summary.pending, summary.failed, summary.exit_code, bench.provider.bill) == (4, 0, 130, 1)
    assert [event.text for event in bench.events if event.kind is Kind.WARNING] == []  # nothing more is bought
    check(bench)
    resumed = await bench.run(manifest)
    assert (resumed.saved, bench.provider.bill) == (4, 2)


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_lost_create_is_still_looked_for_once_the_run_stops(
    bench: Bench, tmp_path: Path, accepted: bool
) -> None:
    manifest = urls(tmp_path, *rows(("a", 4)))
    bench.provider.script.append(lost(bench, accepted=accepted, then=bench.stop))
    summary = await bench.run(manifest)
    assert (summary.saved, summary.pending, summary.exit_code) == (accepted, 4 - accepted, 130)
    assert bench.provider.bill == accepted
    check(bench)
    resumed = await bench.run(manifest)
    assert (resumed.saved, resumed.possible_duplicates, bench.provider.bill) == (4, 0, 1)


async def test_a_lost_create_that_is_not_found_in_the_grace_period_is_looked_for_by_the_next_run(
    bench: Bench, tmp_path: Path
) -> None:
    manifest = urls(tmp_path, *rows(("a", 4)))
    bench.provider.script.append(lost(bench, accepted=True, then=bench.stop))
    summary = await bench.run(manifest, grace=0.5)
    assert (summary.pending, summary.exit_code, bench.provider.bill) == (4, 130, 1)
    check(bench)
    resumed = await bench.run(manifest)
    assert (summary.predictions, resumed.predictions) == (1, 0)  # it counted as bought when it was lost
    assert (resumed.saved, bench.provider.bill, len(bench.provider.requests)) == (4, 1, 1)


async def test_a_second_interrupt_leaves_everything_pending_and_nothing_in_flight(bench: Bench, tmp_path: Path) -> None:
    manifest = urls(tmp_path, *rows(("a", 3), ("b", 3), ("c", 3)))
    bench.provider.script.extend([lost(bench, accepted=True), lost(bench, accepted=True, then=bench.stop)])
    summary = await bench.run(manifest, concurrency=3, grace=0)  # as the second one ends the grace period
    assert summary.saved + summary.pending == 9
    check(bench)
    resumed = await bench.run(manifest)
    assert (resumed.saved, resumed.possible_duplicates, bench.provider.bill) == (9, 0, 3)


# While the budget is spent


async def test_an_output_of_no_use_stops_the_run_where_no_money_is_left(bench: Bench, tmp_path: Path) -> None:
    manifest = urls(tmp_path, *rows(("a", 4)))
    bench.provider.script.append(useless(bench))
    summary = await bench.run(manifest, max_predictions=1)
    assert (summary.pending, summary.failed, summary.exit_code, bench.provider.bill) == (4, 0, 4, 1)
    check(bench)
    assert (await bench.run(manifest)).saved == 4
    assert bench.provider.bill == 2


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_lost_create_takes_one_prediction_of_the_budget_at_most(bench: Bench, accepted: bool) -> None:
    bench.add("a.jpg", "b.jpg")
    bench.provider.script.append(lost(bench, accepted=accepted))
    summary = await bench.run(max_predictions=2)
    if not accepted:  # it may have been, as far as can be known: the budget counts it, and the run stops
        assert (summary.saved, summary.exit_code, bench.provider.bill) == (1, 4, 1)
        summary = await bench.run()
        assert summary.possible_duplicates == 0
    assert (summary.saved, summary.exit_code, bench.provider.bill) == (2, 0, 2)


async def test_a_lost_create_is_found_although_the_budget_is_spent(bench: Bench, tmp_path: Path) -> None:
    manifest = urls(tmp_path, *rows(("a", 3), ("b", 1)))
    bench.provider.script.append(lost(bench, accepted=True))
    summary = await bench.run(manifest, max_predictions=1)
    assert (summary.saved + summary.pending, summary.exit_code, bench.provider.bill) == (4, 4, 1)
    assert summary.saved >= 1
    check(bench)


# While copies wait


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("losses", [1, 2, 5])
async def test_however_often_a_create_is_lost_its_content_is_bought_once_for_all_copies(
    bench: Bench, tmp_path: Path, accepted: bool, losses: int
) -> None:
    manifest = urls(tmp_path, *rows(("a", 6), ("b", 2)))
    losing = [lost(bench, accepted=False)] * (losses - 1) + [lost(bench, accepted=accepted)]
    bench.provider.script.extend(losing)
    summary = await bench.run(manifest, concurrency=1)
    assert (summary.saved, summary.reused, summary.exit_code, bench.provider.bill) == (8, 6, 0, 2)
    assert summary.possible_duplicates == 0
    check(bench)


@pytest.mark.parametrize(("settings", "creates"), [({"on_lost": "fail"}, 1), ({}, 2)])
async def test_copies_of_a_create_that_nobody_can_look_for_share_its_failure(
    bench: Bench, tmp_path: Path, settings: dict[str, Any], creates: int
) -> None:
    bench.provider.capabilities = GATEWAY
    bench.provider.script.extend([lost(bench, accepted=False)] * 9)
    manifest = urls(tmp_path, *rows(("a", 5)))
    summary = await bench.run(manifest, **settings)
    assert (summary.failed, summary.exit_code, len(bench.provider.requests)) == (5, 3, creates)
    assert {item["error"]["kind"] for item in bench.results()["items"]} == {"lost-create"}
    check(bench)
    bench.provider.script.clear()
    resumed = await bench.run(manifest, retry_failed=True)
    assert (resumed.saved, resumed.predictions) == (5, 1)


class BrokenList(ScriptedProvider):
    """Its list breaks off after the first page as long as `broken`."""

    broken = True

    async def list(self, **given: Any) -> PredictionPage:
        if self.broken and given.get("cursor"):
            raise ServerError("the list is broken")
        page = await super().list(**given)
        return replace(page, next="more") if self.broken else page


async def test_what_the_first_page_shows_counts_although_the_list_breaks_off(bench: Bench, tmp_path: Path) -> None:
    bench.provider = BrokenList()
    bench.provider.script.extend([lost(bench, accepted=True), lost(bench, accepted=False)])
    manifest = urls(tmp_path, *rows(("a", 3), ("b", 3)))
    summary = await bench.run(manifest)
    assert (summary.saved, summary.pending, summary.exit_code, bench.provider.bill) == (3, 3, 3, 1)
    check(bench)
    bench.provider.broken = False
    resumed = await bench.run(manifest)
    assert (resumed.saved, resumed.predictions, resumed.possible_duplicates, bench.provider.bill) == (6, 1, 0, 2)


async def test_two_items_of_one_url_whose_creates_an_earlier_run_lost_take_one_prediction(
    bench: Bench, tmp_path: Path
) -> None:
    url, ledger = "https://shop.example/a.jpg", bench.out / "ledger.jsonl"
    bench.provider.script.append(lost(bench, accepted=True, then=bench.stop))
    assert (await bench.run(urls(tmp_path, f"{url},red"), grace=0.5)).pending == 1
    [submitting] = [line for line in bench.ledger() if line["event"] == "submitting"]
    with ledger.open("a", encoding="utf-8") as file:  # and the other one's was lost as well
        file.write(json.dumps({**submitting, "item": "blue", "output": "blue.png"}, separators=(",", ":")) + "\n")
    made = bench.provider.succeed(CreateRequest("blue", url, "blue.png"))
    bench.provider.known[str(made.id)] = made
    summary = await bench.run(urls(tmp_path, f"{url},red", f"{url},blue"))
    assert (summary.saved, summary.reused, summary.predictions, summary.possible_duplicates) == (2, 1, 0, 0)
    assert (bench.provider.bill, len(bench.provider.requests)) == (2, 1)
    assert (await bench.run(urls(tmp_path, f"{url},red", f"{url},blue"))).skipped == 2


async def test_a_prediction_without_an_id_that_a_run_could_not_save_is_a_possible_duplicate_when_bought_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(url: str) -> bytes:
        raise ServerError(f"{url} answers 503")

    bench.provider.capabilities = GATEWAY
    bench.add("a.jpg")
    bench.provider.script.append(lambda request: replace(bench.provider.succeed(request), id=None))
    with monkeypatch.context() as patched:
        patched.setattr(bench.provider, "fetch", down)
        first = await bench.run()
    assert (first.saved, first.failed, first.pending, first.possible_duplicates) == (0, 0, 1, 0)
    second = await bench.run()
    assert (second.saved, second.possible_duplicates, len(bench.provider.requests)) == (1, 1, 2)


@pytest.mark.parametrize("first", ["in flight", "lost"])
@pytest.mark.parametrize("order", [("red", "blue"), ("blue", "red")])
async def test_all_that_earlier_runs_bought_for_one_picture_is_asked_for_before_more_is_bought(
    bench: Bench, tmp_path: Path, first: str, order: tuple[str, str]
) -> None:
    url, ledger, provider = "https://shop.example/a.jpg", bench.out / "ledger.jsonl", bench.provider
    provider.script.append(lost(bench, accepted=False, then=bench.stop))
    assert (await bench.run(urls(tmp_path, f"{url},red"), grace=0.5)).pending == 1
    [submitting] = [line for line in bench.ledger() if line["event"] == "submitting"]
    useless, good = (provider.succeed(CreateRequest("red", url, "red.png")) for _ in range(2))
    provider.outputs.pop(str(useless.output))
    provider.known.update({str(made.id): made for made in (useless, good)})
    lines = [
        *([{"v": 1, "event": "submitted", "item": "red", "prediction_id": useless.id}] * (first == "in flight")),
        {**submitting, "item": "blue", "output": "blue.png"},
        {"v": 1, "event": "submitted", "item": "blue", "prediction_id": good.id},
    ]
    with ledger.open("a", encoding="utf-8") as file:  # a run that another item led, after the first one gave nothing
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    summary = await bench.run(urls(tmp_path, *(f"{url},{name}" for name in order)))
    assert (summary.saved, summary.predictions, summary.possible_duplicates) == (2, 0, 0)
