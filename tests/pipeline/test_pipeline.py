"""The whole run in one process: what is bought, resumed, and done again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from PIL import Image

from batch_removebg.events import Kind
from batch_removebg.model import CreateRequest, Prediction, Status
from tests.support.bench import Bench, bench, processing, stop_after
from tests.support.doubles import photo

__all__ = ["bench"]

pytestmark = pytest.mark.anyio


async def test_every_item_ends_saved_and_each_is_bought_once(bench: Bench) -> None:
    bench.add("a.jpg", "sub/b.jpg", "c.jpg")
    summary = await bench.run()
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (3, 0, 0, 0)
    assert bench.provider.bill == summary.predictions == 3
    assert bench.saved() == ["a.png", "c.png", "sub/b.png"]
    assert bench.results()["counts"] == {"total": 3, "saved": 3, "failed": 0, "pending": 0}


async def test_a_finished_unchanged_catalogue_costs_no_request_at_all(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    bench.provider.calls.clear()
    summary = await bench.run()
    assert bench.provider.calls == []
    assert (summary.saved, summary.skipped, summary.exit_code) == (2, 2, 0)


async def test_changed_content_is_done_again_and_changed_times_are_not(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    (bench.photos / "a.jpg").write_bytes(photo(50, 50))
    os.utime(bench.photos / "b.jpg", (1, 1))
    summary = await bench.run()
    assert bench.provider.bill == 3
    assert (summary.predictions, summary.skipped, summary.saved) == (1, 1, 2)
    with Image.open(bench.out / "a.png") as picture:
        assert picture.size == (50, 50)
    assert (await bench.run()).skipped == 2


async def test_a_missing_output_is_made_again_from_the_kept_alpha(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    (bench.out / "a.png").unlink()
    summary = await bench.run()
    assert (summary.reused, summary.predictions, bench.provider.bill) == (1, 0, 1)
    assert bench.saved() == ["a.png"]


async def test_another_format_costs_no_prediction(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    summary = await bench.run(format="webp")
    assert (bench.provider.bill, summary.reused) == (1, 1)
    assert bench.results()["items"][0]["output"] == "a.webp"


async def test_one_bad_item_never_stops_the_others(bench: Bench) -> None:
    bench.add("a.jpg", "c.jpg")
    (bench.photos / "b.jpg").write_bytes(b"")
    summary = await bench.run()
    assert (summary.saved, summary.failed, summary.exit_code) == (2, 1, 3)
    assert summary.failures[0].kind == "source"
    assert summary.failures[0].examples[0][0] == "b.jpg"


async def test_failed_items_are_left_alone_until_asked_for_or_changed(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(Prediction("x", Status.FAILED, error="PIL.UnidentifiedImageError"))
    assert (await bench.run()).failed == 1
    again = await bench.run()
    assert (again.failed, again.exit_code, bench.provider.bill) == (1, 3, 1)
    retried = await bench.run(retry_failed=True)
    assert (retried.saved, retried.exit_code, bench.provider.bill) == (1, 0, 2)


async def test_a_failed_item_whose_file_was_replaced_is_tried_again(bench: Bench) -> None:
    (bench.photos / "a.jpg").write_bytes(b"no picture")
    assert (await bench.run()).failed == 1
    bench.add("a.jpg")
    assert (await bench.run()).saved == 1


async def test_a_prediction_in_flight_is_taken_up_by_its_id(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(processing("p9"))
    bench.on_event = lambda event: bench.stop() if event.kind is Kind.STARTED else None
    first = await bench.run(grace=1)
    # The gate closed before the create: nothing was bought.
    assert (first.pending, first.exit_code, bench.provider.bill) == (1, 130, 0)

    bench.on_event = lambda _: None
    bench.provider.script[0] = stop_after(bench, processing("p9"))
    second = await bench.run(grace=1)
    assert (second.pending, second.exit_code, bench.provider.bill) == (1, 130, 1)

    bench.provider.known["p9"] = bench.provider.succeed(CreateRequest("a.jpg", "", ""))
    third = await bench.run()
    assert (third.saved, third.predictions, bench.provider.bill) == (1, 0, 1)


async def test_after_an_interrupt_what_is_in_flight_is_brought_home_and_the_rest_stays_pending(bench: Bench) -> None:
    bench.add(*(f"{n}.jpg" for n in range(12)))

    def create(request: CreateRequest) -> Prediction:
        bench.stop(15)
        return bench.provider.succeed(request)

    bench.provider.script.append(create)
    summary = await bench.run(concurrency=2)
    assert summary.exit_code == 143
    assert summary.saved == bench.provider.bill >= 1
    assert summary.saved + summary.pending == 12
    assert bench.results()["counts"]["pending"] == summary.pending
    resumed = await bench.run()
    assert (resumed.saved, bench.provider.bill) == (12, 12)


async def test_no_more_predictions_are_bought_than_allowed(bench: Bench) -> None:
    bench.add(*(f"{n}.jpg" for n in range(6)))
    summary = await bench.run(max_predictions=2)
    assert (bench.provider.bill, summary.saved, summary.pending, summary.exit_code) == (2, 2, 4, 4)


async def test_a_limit_is_of_items_to_be_done_and_what_is_left_is_said(bench: Bench) -> None:
    bench.add(*(f"{n}.jpg" for n in range(5)))
    assert (await bench.run(limit=2)).exit_code == 3
    summary = await bench.run(limit=2)
    assert (summary.skipped, summary.saved, bench.provider.bill) == (2, 4, 4)


async def test_url_sources_pass_through_untouched(bench: Bench, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("image,id,shade\nhttps://shop.example/a.jpg?sig=1,A 1,red\n")
    summary = await bench.run(str(manifest))
    assert summary.saved == 1
    assert [request.image for request in bench.provider.requests] == ["https://shop.example/a.jpg?sig=1"]
    assert bench.results()["items"][0]["meta"] == {"shade": "red"}
    assert bench.saved() == ["A 1.png"]
    assert (await bench.run(str(manifest))).skipped == 1


async def test_items_that_would_meet_get_names_of_their_own_in_every_run(bench: Bench) -> None:
    bench.add("shoe.jpg", "Shoe.jpg", "shoe.jpeg")
    await bench.run()
    names = {item["id"]: item["output"] for item in bench.results()["items"]}
    assert len({name.casefold() for name in names.values()}) == 3
    assert (await bench.run()).skipped == 3
    assert names == {item["id"]: item["output"] for item in bench.results()["items"]}


async def test_a_file_that_is_not_ours_is_never_overwritten(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.out.mkdir()
    (bench.out / "a.png").write_bytes(b"someone's")
    assert (await bench.run()).saved == 1
    assert (bench.out / "a.png").read_bytes() == b"someone's"
    assert len(bench.saved()) == 2


URL = "https://shop.example/b.jpg"


async def test_a_saved_item_is_judged_and_a_url_that_was_passed_on_too(bench: Bench) -> None:
    bench.add("a.jpg")
    summary = await bench.run(str(bench.photos), URL)
    file, url = sorted(
        (line for line in bench.ledger() if line["event"] == "saved"), key=lambda line: line["item"] == URL
    )
    told = {"coverage", "peak", "undecided", "components", "touches", "doubt", "unsure", "loose", "suspect"}
    assert file["quality"].keys() == url["quality"].keys() == told
    assert (url["quality"]["peak"], url["flags"]) == (None, file["flags"])
    listed = {item["id"]: item for item in bench.results()["items"]}
    assert listed[file["item"]]["quality"] == file["quality"]
    assert [group.kind for group in summary.flags] == sorted(file["flags"])
    assert all(sorted(item for item, _ in group.examples) == sorted([file["item"], URL]) for group in summary.flags)


async def test_a_fault_of_the_alpha_and_of_the_layout_is_one_flag(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(canvas="300x300")
    [flags] = [line["flags"] for line in bench.ledger() if line["event"] == "saved"]
    assert flags.count("cut-off") == 1


async def test_other_edges_are_made_from_kept_alphas_and_nothing_is_bought_not_even_for_a_url(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(str(bench.photos), URL)
    again = await bench.run(str(bench.photos), URL, refine="none", edges="keep")
    assert (bench.provider.bill, again.predictions, again.reused, again.skipped) == (2, 0, 1, 1)


async def test_the_alpha_bought_for_one_copy_serves_the_other(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    (bench.photos / "copy.jpg").write_bytes((bench.photos / "a.jpg").read_bytes())
    summary = await bench.run()
    assert (summary.saved, summary.reused, bench.provider.bill) == (2, 1, 1)


async def test_no_temporary_files_stay_behind(bench: Bench) -> None:
    bench.add("a.jpg", "sub/b.jpg")
    bench.out.mkdir()
    await bench.run()
    assert [p.name for p in bench.out.rglob("*.tmp")] == []


async def test_formats_may_be_changed_back_and_forth_and_the_files_stay_ours(bench: Bench) -> None:
    bench.add("a.jpg")
    for form in ("png", "webp", "png", "webp", "png"):
        summary = await bench.run(format=form)
        assert (summary.saved, summary.failed) == (1, 0)
    assert bench.provider.bill == 1
    assert sorted(p.name for p in bench.out.glob("a*")) == ["a.png", "a.webp"]


async def test_names_may_be_changed_back_and_forth_too(bench: Bench) -> None:
    bench.add("a.jpg")
    for template in ("{stem}-x", "{stem}-y", "{stem}-x", "{stem}-y"):
        assert (await bench.run(name=template)).saved == 1
    assert bench.saved() == ["a-x.png", "a-y.png"]


async def test_a_limit_that_was_reached_is_said(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    assert (await bench.run(limit=2)).limited
    assert not (await bench.run(limit=2)).limited


async def test_an_item_that_failed_by_a_limit_is_tried_again_under_another_limit(bench: Bench) -> None:
    bench.add("a.jpg")
    assert (await bench.run(max_pixels=100)).failed == 1
    assert (await bench.run(max_pixels=100)).failed == 1
    assert bench.provider.bill == 0
    assert (await bench.run()).saved == 1
    assert (await bench.run(max_pixels=100)).skipped == 1


async def test_what_the_manifest_says_anew_is_in_results_and_told_the_ledger_once(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    catalogue = bench.photos / "list.csv"
    catalogue.write_text("image,shelf\na.jpg,1\nb.jpg,2\n")
    await bench.run(str(catalogue))
    catalogue.write_text("image,shelf\na.jpg,1\nb.jpg,3\n")
    summary = await bench.run(str(catalogue))
    assert (summary.skipped, summary.saved, bench.provider.bill) == (2, 2, 2)
    assert sorted(item["meta"]["shelf"] for item in bench.results()["items"]) == ["1", "3"]
    lines = len(bench.ledger())
    await bench.run(str(catalogue))
    assert sorted(item["meta"]["shelf"] for item in bench.results()["items"]) == ["1", "3"]
    assert [line["event"] for line in bench.ledger()[lines:]] == ["run_started", "run_finished"]


async def test_of_results_the_run_alone_is_told_anew_where_nothing_has_changed(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    path, table = bench.out / "results.json", bench.out / "results.csv"
    before, rows = bench.results(), table.read_bytes()

    async def again() -> None:
        summary, now = await bench.run(), bench.results()
        assert now == before | {"run": now["run"]}
        assert (now["run"]["state"], summary.skipped) == ("finished", 2)
        assert table.read_bytes() == rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_removebg.ledger.results.render", lambda _: pytest.fail("rendered"))
        await again()
    path.write_text("{}")  # by whatever hand
    await again()
    table.unlink()
    await again()
    (bench.out / ".batch-removebg" / "index.sqlite").unlink()
    await again()


async def test_what_a_limited_run_saved_and_what_earlier_ones_did_add_up(bench: Bench) -> None:
    bench.add("b.jpg", "c.jpg")
    await bench.run()
    bench.add("a1.jpg", "d1.jpg", "e1.jpg")
    limited = await bench.run(limit=1)  # `b.jpg` and `c.jpg` come after it, and aren't read
    assert (limited.saved, limited.skipped, limited.predictions) == (3, 2, 1)


async def test_results_say_from_the_start_that_a_run_is_on(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    bench.add("b1.jpg")
    told: list[Any] = []
    read = bench.provider.create

    async def create(*given: Any) -> Any:
        with anyio.fail_after(30):
            while bench.results()["run"]["state"] == "finished":
                await anyio.lowlevel.checkpoint()
        told.append(bench.results()["run"]["state"])
        return await read(*given)

    bench.provider.create = create  # type: ignore[method-assign]
    await bench.run()
    assert (told, bench.results()["run"]["state"]) == (["running"], "finished")


async def test_items_done_before_are_passed_by_in_bulk(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    await bench.run()
    (bench.out / "b.png").unlink()
    bench.events.clear()
    await bench.run()
    passed = [(event.kind, event.item, event.count) for event in bench.events if event.kind is Kind.SKIPPED]
    assert passed == [(Kind.SKIPPED, "", 2)]
    assert [event.item for event in bench.events if event.kind is Kind.FOUND] == ["", "b.jpg"]
