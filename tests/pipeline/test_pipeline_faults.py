"""The whole run where servers, disks and outputs fail: nothing is bought twice, and one item's fault is its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batch_removebg.errors import (
    BatchError,
    CreateLost,
    DiskError,
    KeyRejected,
    ManifestError,
    RateLimited,
    Unreachable,
)
from batch_removebg.events import Kind
from batch_removebg.ledger import results
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.net import fetch
from batch_removebg.run import batch
from batch_removebg.storage import atomic, outputs
from tests.support.bench import GATEWAY, Bench, bench, processing
from tests.support.doubles import photo

__all__ = ["bench"]

pytestmark = pytest.mark.anyio


async def test_a_rejected_key_stops_creating_and_leaves_the_rest_pending(bench: Bench) -> None:
    bench.add(*(f"{n}.jpg" for n in range(5)))
    bench.provider.script.extend([bench.provider.succeed, KeyRejected("the key is no good")])
    summary = await bench.run(concurrency=1)
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (1, 0, 4, 4)
    assert len(bench.provider.requests) == 2
    assert "the key is no good" in str(summary.stopped)


async def test_a_transient_failure_buys_another_prediction_within_the_budget(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(
        Prediction("x", Status.FAILED, error="Prediction interrupted; please retry (code: PA)")
    )
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill) == (1, 2)
    bench.add("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("ended", "bought"),
    [
        (Prediction("x", Status.ABORTED), 3),
        (Prediction("x", Status.CANCELED), 3),
        (Prediction("x", Status.SUCCEEDED), 3),
        (Prediction("x", Status.FAILED, error="Director: unexpected error handling prediction (E9828)"), 3),
        (Prediction("x", Status.FAILED, error="CUDA out of memory (E1001)"), 1),
        (Prediction("x", Status.FAILED, error="cannot identify image file"), 1),
    ],
)
async def test_an_item_that_never_succeeds_fails_after_its_budget(bench: Bench, ended: Prediction, bought: int) -> None:
    bench.add("a.jpg")
    bench.provider.script.extend(Prediction(f"x{n}", ended.status, error=ended.error) for n in range(9))
    summary = await bench.run()
    assert (summary.failed, summary.exit_code, bench.provider.bill) == (1, 3, bought)
    failed = [line for line in bench.ledger() if line["event"] == "failed"]
    assert (failed[0]["attempts"], failed[0]["retryable"]) == (bought, bought == 3)


async def test_a_stuck_prediction_is_cancelled_and_another_is_tried(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(processing("stuck"))
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill, bench.provider.calls.count("cancel")) == (1, 2, 1)
    # Fifteen fake minutes of waiting cost a few hundred polls, not thousands.
    assert bench.provider.calls.count("get") < 250


async def test_a_prediction_that_needs_polling_is_polled_to_its_end(bench: Bench) -> None:
    bench.add("a.jpg")

    def starting(request: CreateRequest) -> Prediction:
        done = bench.provider.succeed(request)
        ends = iter([Status.STARTING, Status.PROCESSING, Status.UNKNOWN])

        async def get(prediction_id: str) -> Prediction:
            status = next(ends, None)
            return done if status is None else Prediction(done.id, status)

        bench.provider.get = get  # type: ignore[method-assign]
        return Prediction(done.id, Status.STARTING)

    bench.provider.script.append(starting)
    assert (await bench.run()).saved == 1


async def test_an_output_that_is_no_picture_or_is_gone_is_bought_again(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")

    def spoilt(content: bytes | None) -> Callable[[CreateRequest], Prediction]:
        def create(request: CreateRequest) -> Prediction:
            made = bench.provider.succeed(request)
            assert made.output
            if content is None:
                del bench.provider.outputs[made.output]
            else:
                bench.provider.outputs[made.output] = content
            return made

        return create

    bench.provider.script.extend([spoilt(b"<html>busy</html>"), spoilt(None)])
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill) == (2, 4)


async def test_an_output_of_another_shape_never_becomes_a_picture(bench: Bench) -> None:
    bench.add("a.jpg")

    def sideways(request: CreateRequest) -> Prediction:
        made = bench.provider.succeed(request)
        from tests.support.doubles import cutout

        assert made.output
        bench.provider.outputs[made.output] = cutout(30, 40)
        return made

    bench.provider.script.extend([sideways] * 3)
    summary = await bench.run()
    assert (summary.failed, summary.failures[0].kind, bench.provider.bill) == (1, "output", 3)
    assert bench.saved() == []


async def test_a_rate_limit_is_waited_for_and_bought_once(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.provider.script.extend([RateLimited("slow down", retry_after=7.0)] * 3)
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill, len(bench.provider.requests)) == (1, 1, 4)
    events = [line["event"] for line in bench.ledger()]
    assert events[1:9] == ["submitting", "rejected"] * 3 + ["submitting", "submitted"]


async def test_a_create_whose_answer_was_lost_is_found_on_the_list_and_not_sent_again(bench: Bench) -> None:
    bench.add("a.jpg")

    def accepted_and_lost(request: CreateRequest) -> Prediction:
        made = bench.provider.succeed(request)
        bench.provider.known[str(made.id)] = made
        raise CreateLost("the connection broke")

    bench.provider.script.append(accepted_and_lost)
    summary = await bench.run()
    assert (summary.saved, bench.provider.bill, len(bench.provider.requests)) == (1, 1, 1)
    assert (summary.predictions, summary.possible_duplicates) == (1, 0)


async def test_where_a_lost_create_cannot_be_looked_for_it_is_sent_once_more_and_counted(bench: Bench) -> None:
    bench.provider.capabilities = GATEWAY
    bench.add("a.jpg")
    bench.provider.script.append(CreateLost("the connection broke"))
    summary = await bench.run()
    assert (summary.saved, summary.possible_duplicates, len(bench.provider.requests)) == (1, 1, 2)
    assert bench.provider.requests[0].image.startswith("data:image/jpeg;base64,")


async def test_on_lost_fail_sends_nothing_again(bench: Bench) -> None:
    bench.provider.capabilities = GATEWAY
    bench.add("a.jpg")
    bench.provider.script.append(CreateLost("the connection broke"))
    summary = await bench.run(on_lost="fail")
    assert (summary.failed, summary.failures[0].kind, len(bench.provider.requests)) == (1, "lost-create", 1)


async def test_a_host_that_is_down_leaves_its_rows_pending_and_holds_no_worker(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(session: Any, url: str, **_: Any) -> fetch.Fetched:
        if "dead" not in url:
            return fetch.Fetched(photo(40, 30, (int(url[-5]), 40, 90)))
        raise Unreachable(f"no connection for {url}")

    monkeypatch.setattr(fetch, "get", get)
    rows = [f"https://dead.example/{n}.jpg" for n in range(20)] + [f"https://shop.example/{n}.jpg" for n in range(5)]
    manifest = tmp_path / "list.txt"
    manifest.write_text("\n".join(rows))
    summary = await bench.run(str(manifest), fetch_sources=True, concurrency=2, allow_private=True)
    assert (summary.saved, summary.failed, summary.pending) == (5, 0, 20)
    warnings = [event.text for event in bench.events if event.kind is Kind.WARNING and "dead." in event.text]
    assert [text.rpartition("; ")[2] for text in warnings] == [
        "dead.example seems to be out of reach: its rows wait, and the others go on",
        "dead.example stays out of reach: its rows are left to the next run",
    ]


async def test_a_picture_that_is_wanted_otherwise_and_cannot_be_made_is_pending_though_there_is_an_older_one(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = False

    async def get(session: Any, url: str, **_: Any) -> fetch.Fetched:
        if down:
            raise Unreachable(f"no connection for {url}")
        return fetch.Fetched(photo(40, 30, (9, 40, 90)))

    monkeypatch.setattr(fetch, "get", get)
    manifest = tmp_path / "list.txt"
    manifest.write_text("https://shop.example/a.jpg")
    how: dict[str, Any] = {"fetch_sources": True, "allow_private": True}
    assert (await bench.run(str(manifest), **how)).exit_code == 0
    down = True
    summary = await bench.run(str(manifest), format="webp", **how)
    assert (summary.saved, summary.pending, summary.exit_code) == (0, 1, 3)
    assert (await bench.run(str(manifest), format="webp", **how)).exit_code == 3
    down = False
    summary = await bench.run(str(manifest), format="webp", **how)
    assert (summary.saved, summary.exit_code, bench.provider.bill) == (1, 0, 1)


async def test_a_full_disk_stops_the_run_and_a_resume_buys_nothing_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg", "b.jpg")

    def full(root: Path, named: list[tuple[str, bytes]]) -> list[BatchError]:
        return [DiskError(f"{root / name}: no space left on the device") for name, _ in named]

    monkeypatch.setattr(outputs, "write_all", full)
    summary = await bench.run()
    assert (summary.exit_code, summary.saved, summary.pending) == (4, 0, 2)
    bought = bench.provider.bill
    monkeypatch.setattr(outputs, "write_all", atomic.write_all)
    assert (await bench.run()).saved == 2
    assert bench.provider.bill == max(2, bought)


async def test_a_snapshot_that_cannot_be_written_stops_the_run_and_brings_home_what_is_in_flight(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg")
    write = results.write

    def full(path: Path, parts: Any) -> None:
        if not bench.provider.bill:  # fake time may run ahead of the worker
            return write(path, parts)
        monkeypatch.setattr(results, "write", write)
        raise DiskError(f"{path}: no space left on the device")

    monkeypatch.setattr(results, "write", full)

    def slow(request: CreateRequest) -> Prediction:
        done = bench.provider.succeed(request)
        answers = iter([processing(str(done.id))] * 40)
        bench.provider.get = lambda _: polled(answers, done)  # type: ignore[method-assign,assignment]
        return processing(str(done.id))

    bench.provider.script.append(slow)
    summary = await bench.run()
    assert (summary.saved, summary.exit_code) == (1, 4)
    assert bench.results()["counts"]["saved"] == 1


async def polled(answers: Iterator[Prediction], done: Prediction) -> Prediction:
    await anyio.lowlevel.checkpoint()
    return next(answers, done)


async def test_a_saved_line_names_a_file_that_is_already_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.add("a.jpg", "b.jpg")
    from batch_removebg.ledger.events import Entry, Saved
    from batch_removebg.ledger.journal import Ledger

    append, present = Ledger.append, []

    async def watching(self: Ledger, entry: Entry) -> None:
        if isinstance(entry, Saved):
            present.append((bench.out / str(entry.output)).stat().st_size == entry.bytes)
        await append(self, entry)

    monkeypatch.setattr(Ledger, "append", watching)
    await bench.run()
    assert present == [True, True]


async def test_a_manifest_that_breaks_further_down_stops_the_run_and_keeps_what_is_done(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(*(f"{n}.jpg" for n in range(4)))
    manifest = tmp_path / "list.jsonl"
    rows = [json.dumps({"image": f"photos/{n}.jpg"}) for n in range(4)]
    manifest.write_text("\n".join([*rows, "{broken"]))
    with pytest.raises(ManifestError, match=r"list\.jsonl.*5"):
        await bench.run(str(manifest), strict=True)
    assert bench.provider.bill == 0

    monkeypatch.setattr(batch, "CHECKED_ROWS", 2)
    summary = await bench.run(str(manifest), strict=True)
    assert (summary.exit_code, summary.saved + summary.pending) == (2, 4)
    assert summary.saved == bench.provider.bill

    summary = await bench.run(str(manifest), name="{id}-{id}")  # a row that isn't strict fails alone
    assert (summary.exit_code, summary.saved, summary.failed) == (3, 4, 1)
    assert [item["id"] for item in bench.results()["items"] if item["status"] == "failed"] == [f"{manifest}:5"]
