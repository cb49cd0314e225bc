"""The library: what a caller of run_batch gets, and what it raises."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import anyio
import pytest

import batch_removebg
from batch_removebg import LockedError, ManifestError, SettingsError, run_batch, run_batch_sync
from batch_removebg.clock import Clock
from batch_removebg.engine import process
from batch_removebg.engine.devices import Installed
from batch_removebg.engine.runtimes import opening
from batch_removebg.run.batch import run
from batch_removebg.storage.lock import locked
from tests.support.doubles import photo
from tests.support.local_doubles import Here, LeftHalf


@pytest.fixture(autouse=True)
def _stub_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))


def test_the_sync_twin_does_the_same_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    summary = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out", format="webp")
    assert (summary.saved, summary.exit_code) == (1, 0)
    assert (tmp_path / "out" / "a.webp").is_file()
    assert summary.results == tmp_path / "out" / "results.json"
    assert capfd.readouterr() == ("", "")


@pytest.mark.anyio
async def test_several_inputs_may_be_given_as_paths_or_text(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(photo())
    summary = await run_batch([tmp_path / "a.jpg", str(tmp_path / "b.jpg")], out=tmp_path / "out")
    assert summary.saved == 2


@pytest.mark.anyio
async def test_what_cannot_be_right_is_raised_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        await run_batch(tmp_path / "gone", out=tmp_path / "out")
    with pytest.raises(SettingsError, match="concurrency"):
        await run_batch(tmp_path, out=tmp_path / "out", concurrency=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.anyio
async def test_an_out_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    state = tmp_path / "out" / ".batch-removebg"
    state.mkdir(parents=True)
    with locked(state, clock=Clock()), pytest.raises(LockedError, match="process"):
        await run_batch(tmp_path / "a.jpg", out=tmp_path / "out")


def test_what_the_engine_ran_on_is_in_summary_ledger_and_results_where_it_ran(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    first = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out")
    again = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out")
    lines = [json.loads(line) for line in first.ledger.read_text().splitlines()]
    assert [line["engine"] for line in lines if line["event"] == "engine_loaded"] == ["a double"]
    events = [line["event"] for line in lines]
    assert events.index("run_started") < events.index("engine_loaded") < events.index("submitted")
    assert (first.engine, again.engine, again.skipped) == ("a double", None, 1)
    assert json.loads(again.results.read_text())["engine"] == "a double"


def test_each_picture_tells_the_engine_that_saw_it_whatever_ran_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of another format is made of the mask that is kept, and so by the engine of then."""
    (tmp_path / "a.jpg").write_bytes(photo())
    run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out")
    (tmp_path / "b.jpg").write_bytes(photo(50, 40))
    monkeypatch.setattr(LeftHalf, "used", "another double")
    both = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for form in ("png", "webp"):
        results = json.loads(run_batch_sync(both, out=tmp_path / "out", format=form).results.read_text())
        assert [item["engine"] for item in results["items"]] == ["a double", "another double"]


def test_a_resume_with_another_precision_makes_nothing_anew(tmp_path: Path) -> None:
    """Masks differ a little between precisions, and machines differ in what they have."""
    (tmp_path / "a.jpg").write_bytes(photo())
    run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out", precision="float32", device="cpu")
    again = run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out", precision="bf16", device="openvino")
    assert (again.skipped, again.predictions) == (1, 0)


def test_an_absent_device_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the true engine, on a machine without a graphics card
    monkeypatch.setattr(opening, "look", lambda device: Installed(providers=("CPUExecutionProvider",)))
    (tmp_path / "a.jpg").write_bytes(photo())
    with pytest.raises(SettingsError, match=r"^device cuda isn't available here"):
        run_batch_sync(tmp_path / "a.jpg", out=tmp_path / "out", device="cuda")
    assert not (tmp_path / "out").exists()


@pytest.mark.anyio
async def test_a_caller_that_cancels_leaves_a_ledger_to_go_on_from(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(photo(50 + number, 40))
    settings = batch_removebg.Settings(out=tmp_path / "out", concurrency=1)
    with anyio.CancelScope() as scope:
        await run([str(tmp_path)], settings, listener=lambda event: scope.cancel() if event.text == "0.png" else None)
    assert scope.cancelled_caught
    summary = await run([str(tmp_path)], settings)
    assert (summary.saved, summary.skipped >= 1) == (6, True)


def test_both_twins_take_the_same_arguments() -> None:
    assert inspect.signature(run_batch) == inspect.signature(run_batch_sync)
