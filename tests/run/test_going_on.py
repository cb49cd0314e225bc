"""A folder goes on with the network that it was last made with, unless another is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch_removebg import Event, Kind, run_batch_sync
from batch_removebg.engine import process, weights
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import SettingsError
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.doubles import photo
from tests.support.local_doubles import Here, LeftHalf

pytestmark = pytest.mark.usefixtures("shop")
NOTICE = weights.notice
SAID = "goes on with u2netp, which out was made with; the default is isnet now: {} makes all pictures anew"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The current folder, with two photos, and a network without weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(weights, "notice", lambda *_: "")
    monkeypatch.setattr(process, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))
    Path("in").mkdir()
    for name in ("a", "b"):
        Path("in", f"{name}.jpg").write_bytes(photo(colour=(ord(name), 0, 0)))


def made(**settings: Any) -> tuple[Summary, list[str]]:
    """What a run over OUT comes to, and what it notes."""
    events: list[Event] = []
    summary = run_batch_sync("in", out="out", on_event=events.append, **settings)
    assert summary.exit_code == 0
    return summary, [event.text for event in events if event.kind is Kind.NOTE]


def versions() -> list[str]:
    """The network of each run over OUT."""
    lines = map(json.loads, Path("out/ledger.jsonl").read_text().splitlines())
    return [line["version"].partition("@")[0] for line in lines if line["event"] == "run_started"]


def test_without_another_word_nothing_is_predicted_again_and_new_photos_are_seen_by_the_same_network() -> None:
    made(model_class="fast")
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    Path("in/c.jpg").write_bytes(photo())
    summary, notes = made()
    assert (summary.saved, summary.skipped, summary.predictions) == (3, 2, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert notes == [SAID.format("model_class good")]
    assert versions() == ["u2netp", "u2netp"]
    assert made(format="webp")[0].predictions == 0


def test_a_dry_run_says_the_same() -> None:
    made(model_class="fast")
    events: list[Event] = []
    found = preview(["in"], Settings(out=Path("out")), events.append)
    assert (found["done"], found["bought"]) == (2, 0)
    assert [event.text for event in events if event.kind is Kind.NOTE] == [SAID.format("--class good")]


def test_a_dry_run_says_first_what_would_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, "nowhere")
    monkeypatch.setattr(weights, "notice", NOTICE)
    events: list[Event] = []
    preview(["in"], Settings(out=Path("out")), events.append)
    [said] = [event.text for event in events if event.kind is Kind.NOTE]
    assert said.startswith("113 MB of weights aren't here yet, and would be downloaded first. Licence of isnet: ")


@pytest.mark.parametrize("asked", [{"model_class": "good"}, {"model": "isnet"}, {"start_over": True}], ids=str)
def test_another_network_that_is_asked_for_makes_all_anew_and_is_gone_on_with(asked: dict[str, Any]) -> None:
    made(model_class="fast")
    summary, notes = made(**asked)
    assert (summary.predictions, notes) == (2, [])
    summary, notes = made()
    assert (summary.predictions, notes, versions()[-1]) == (0, [], "isnet")


@pytest.mark.parametrize("name", ["own", "u2netp"])
def test_where_the_network_is_not_known_the_run_stops_and_takes_no_other_unasked(name: str) -> None:
    Path(f"{name}.onnx").write_bytes(b"a network of one's own")
    made(model=f"{name}.onnx")
    with pytest.raises(SettingsError, match=f"out was last made with {name}@.* model to go on"):
        made()
    assert made(model=f"{name}.onnx")[0].predictions == 0
    assert made(model_class="good")[0].predictions == 2
    assert versions() == [name, name, "isnet"]
