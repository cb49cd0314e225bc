"""Copies in a row: they hold no slot and little memory, none of them is lost, and their content has one budget."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli.progress import Tally
from batch_removebg.errors import BatchError, KeyRejected, RateLimited, SourceError
from batch_removebg.events import Kind
from batch_removebg.imaging.decode import proxy
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.resources import Cpu
from batch_removebg.run.settings import Settings
from batch_removebg.storage import atomic, outputs
from tests.pipeline.test_sharing import INTERRUPTED, copies, urls
from tests.support.bench import Bench, bench, processing, stop_after
from tests.support.doubles import ScriptedProvider

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


def rows(*repeated: tuple[str, int]) -> list[str]:
    """Rows of a manifest: each URL as often in a row as is said."""
    return [f"https://shop.example/{name}.jpg,{name}-{nth}" for name, often in repeated for nth in range(often)]


def in_a_row(contents: int, often: int) -> list[str]:
    return rows(*((f"c{content}", often) for content in range(contents)))


class Together(ScriptedProvider):
    """Ends no prediction before so many are in flight at once, however long that takes."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.most = 0
        self.ended: dict[str, Prediction] = {}
        self.in_flight: set[str] = set()
        self.on_poll: Callable[[], None] = lambda: None

    async def create(self, request: CreateRequest) -> Prediction:
        done = await super().create(request)
        assert done.id is not None
        self.ended[done.id] = done
        self.in_flight.add(done.id)
        self.most = max(self.most, len(self.in_flight))
        return Prediction(done.id, Status.PROCESSING)

    async def get(self, prediction_id: str) -> Prediction:
        await super().get(prediction_id)
        self.on_poll()
        if self.most < self.wanted:
            return Prediction(prediction_id, Status.PROCESSING)
        self.in_flight.discard(prediction_id)
        return self.ended[prediction_id]


def parked(bench: Bench) -> int:
    assert bench.pipeline is not None
    return bench.pipeline.dedup.parked


def in_flight(bench: Bench) -> int:
    """As a progress bar would show it."""
    tally = Tally()
    for event in bench.events:
        tally.take(event)
    return tally.in_flight


@pytest.mark.parametrize(("settings", "width"), [({"concurrency": 12}, 12), ({}, 32)])
async def test_copies_in_a_row_hold_none_of_the_slots_that_creates_need(
    bench: Bench, tmp_path: Path, settings: dict[str, Any], width: int
) -> None:
    await bench.run("https://shop.example/first.jpg")  # which proves the API
    bench.provider = provider = Together(width)
    summary = await bench.run(urls(tmp_path, *in_a_row(width, 10)), **settings)
    assert provider.most == width
    assert (summary.saved, summary.reused, provider.bill) == (10 * width, 9 * width, width + 1)
    assert in_flight(bench) == 0


async def test_what_copies_take_says_nothing_about_how_long_a_prediction_takes(bench: Bench, tmp_path: Path) -> None:
    await bench.run("https://shop.example/first.jpg")  # which proves the API
    bench.provider = Together(4)
    await bench.run(urls(tmp_path, *in_a_row(4, 50)))
    assert bench.pipeline is not None
    assert bench.pipeline.slots.concurrency._items == 4


async def test_copies_wait_without_being_shown_as_in_flight(bench: Bench, tmp_path: Path) -> None:
    bench.provider = provider = Together(2)
    shown: set[int] = set()
    provider.on_poll = lambda: shown.add(in_flight(bench))
    await bench.run(urls(tmp_path, *rows(("a", 20), ("b", 20))), concurrency=4)
    assert max(shown) <= 2 + 8  # what is being copied already, at the most


async def test_no_more_copies_are_kept_than_the_bound_and_all_are_made(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Settings.shape
    monkeypatch.setattr(Settings, "shape", lambda self, **given: replace(shape(self, **given), copies=16))
    bench.provider = provider = Together(1)
    provider.wanted, seen = 2, []

    def polled() -> None:
        seen.append(parked(bench))
        if len(seen) > 60:
            provider.wanted = 1

    provider.on_poll = polled
    summary = await bench.run(urls(tmp_path, *rows(("a", 300), ("b", 2))), concurrency=2)
    # What was read ahead when the bound was reached comes on top: the queue of 8, a todo in each hand.
    assert 16 <= max(seen) <= 16 + 8 + 3
    assert (summary.saved, summary.reused, provider.bill) == (302, 300, 2)


async def test_an_interrupt_leaves_parked_copies_pending_and_a_resume_buys_nothing_anew(
    bench: Bench, tmp_path: Path
) -> None:
    manifest = urls(tmp_path, *rows(("a", 30)))
    bench.provider.script.append(stop_after(bench, processing("p1")))
    summary = await bench.run(manifest, grace=1)
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (0, 0, 30, 130)
    bench.provider.known["p1"] = bench.provider.succeed(CreateRequest("a-0", "https://shop.example/a.jpg", ""))
    summary = await bench.run(manifest)
    assert (summary.saved, summary.predictions, bench.provider.bill) == (30, 0, 1)


async def test_copies_of_what_comes_home_after_an_interrupt_are_told_pending_one_by_one(
    bench: Bench, tmp_path: Path
) -> None:
    manifest = urls(tmp_path, *rows(("a", 10)))
    bench.provider = provider = Together(2)

    def polled() -> None:
        if parked(bench) == 9:
            bench.stop()
            provider.wanted = 1

    provider.on_poll = polled
    summary = await bench.run(manifest)
    assert (summary.saved, summary.pending, summary.exit_code) == (1, 9, 130)
    told = [event.item for event in bench.events if event.kind is Kind.PENDING]
    assert (len(told), len(set(told)), in_flight(bench)) == (9, 9, 0)
    assert (await bench.run(manifest)).saved == 10
    assert provider.bill == 1


@pytest.mark.parametrize("refused", [KeyRejected("no such key"), None])
async def test_an_abort_leaves_parked_copies_pending(bench: Bench, tmp_path: Path, refused: BatchError | None) -> None:
    manifest = urls(tmp_path, *rows(("a", 10), ("b", 10)))
    if refused is not None:
        bench.provider.script.append(refused)
    summary = await bench.run(manifest, max_predictions=1)
    assert (summary.failed, summary.exit_code, summary.saved + summary.pending) == (0, 4, 20)
    assert summary.pending >= 10
    assert bench.results()["counts"]["pending"] == summary.pending
    assert in_flight(bench) == 0
    summary = await bench.run(manifest)
    assert (summary.saved, bench.provider.bill) == (20, 2)


async def test_what_a_kill_leaves_while_copies_are_parked_is_resumed_without_a_second_purchase(
    bench: Bench, tmp_path: Path
) -> None:
    manifest, left = urls(tmp_path, *in_a_row(3, 10)), tmp_path / "left"
    bench.provider = provider = Together(4)

    def polled() -> None:
        if parked(bench) == 27 and len(provider.in_flight) == 3 and not left.exists():
            shutil.copytree(bench.out, left)  # as the disk is at this moment
            provider.wanted = 3

    provider.on_poll = polled
    await bench.run(manifest)
    bench.out = left
    assert not [line for line in bench.ledger() if line["event"] in ("saved", "failed", "claimed")]
    summary = await bench.run(manifest)
    assert (summary.saved, summary.failed, provider.bill) == (30, 0, 3)


@pytest.mark.parametrize("bound", [4, 8192])
async def test_a_content_has_one_budget_however_many_copies_there_are(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    shape = Settings.shape
    monkeypatch.setattr(Settings, "shape", lambda self, **given: replace(shape(self, **given), copies=bound))
    bench.provider.script.extend(replace(INTERRUPTED, id=f"x{nth}") for nth in range(200))
    summary = await bench.run(urls(tmp_path, *rows(("a", 50))), concurrency=2)
    assert (summary.failed, summary.saved, bench.provider.bill) == (50, 0, 3)
    failed = [line for line in bench.ledger() if line["event"] == "failed"]
    assert {(line["kind"], line["message"], line["retryable"]) for line in failed} == {
        ("prediction-interrupted", failed[0]["message"], True)
    }
    bench.provider.script.clear()
    summary = await bench.run(urls(tmp_path, *rows(("a", 50))), retry_failed=True)
    assert (summary.saved, summary.predictions) == (50, 1)


@pytest.mark.parametrize("of_files", [False, True])
async def test_a_name_that_cannot_be_written_is_one_items_matter_and_its_prediction_serves_the_copies(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_files: bool
) -> None:
    def some(root: Path, named: list[tuple[str, bytes]]) -> list[BatchError | None]:
        bad = [SourceError("can't be written") if name.startswith(("a-0", "a-1")) else None for name, _ in named]
        done = atomic.write_all(root, [one for one, error in zip(named, bad, strict=True) if error is None])
        return [error if error is not None else done.pop(0) for error in bad]

    monkeypatch.setattr(outputs, "write_all", some)
    if of_files:
        copies(bench, *(f"a-{nth}.jpg" for nth in range(6)))
        summary = await bench.run()
    else:
        summary = await bench.run(urls(tmp_path, *rows(("a", 6))))
    assert (summary.failed, summary.saved, summary.predictions, bench.provider.bill) == (2, 4, 1, 1)
    assert {item["status"] for item in bench.results()["items"] if item["id"].startswith(("a-0", "a-1"))} == {"failed"}
    # Of files whoever is read first buys, and that may be one whose name is good.
    assert summary.reused == 4 or (of_files and summary.reused == 3)


async def test_a_copy_is_neither_made_small_nor_uploaded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    copies(bench, *(f"{nth}.jpg" for nth in range(12)))
    made = []
    isolated = Cpu.isolated

    async def counting(cpu: Cpu, seconds: float, function: Callable[..., Any], *given: object) -> Any:
        made.append(function)
        return await isolated(cpu, seconds, function, *given)

    monkeypatch.setattr(Cpu, "isolated", counting)
    bench.provider.script.append(RateLimited("slow down", retry_after=7.0))
    summary = await bench.run()
    assert (summary.saved, summary.reused, made.count(proxy), len(bench.provider.uploads)) == (12, 11, 1, 1)


async def test_a_copy_whose_original_was_changed_meanwhile_is_bought(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retouched(root: Path, named: list[tuple[str, bytes]]) -> list[BatchError | None]:
        done = atomic.write_all(root, named)
        for name, _ in named:
            if name == "a-0.png":
                (root / name).write_bytes(b"retouched")
        return done

    monkeypatch.setattr(outputs, "write_all", retouched)
    summary = await bench.run(urls(tmp_path, *rows(("a", 10))))
    assert (summary.saved, bench.provider.bill) == (10, 2)
