"""The status, to the letter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import status
from batch_removebg.clock import stamp
from batch_removebg.ledger.decisions import Decided, Decisions
from batch_removebg.storage.lock import locked
from tests.support.doubles import FakeClock
from tests.support.oracle import Oracle, line, oracle

NOTHING = Decisions(Path("decisions.jsonl"))


def told(fold: Oracle, *, locked: bool = True) -> str:
    return status.text(fold, status.status(fold, NOTHING, locked=locked))


fold_of = oracle


STARTED = {"event": "run_started", "t": stamp(1.0), "provider": "replicate", "version": "95fc", "pid": 7, "items": 2}
BOUGHT: list[dict[str, Any]] = [
    {"event": "submitting", "item": "a", "key": "k"},
    {"event": "submitted", "item": "a", "prediction_id": "p1"},
    {"event": "submitting", "item": "b", "key": "k", "possible_duplicate": True},
    {"event": "submitted", "item": "b", "prediction_id": "p2"},
]
ENDED: list[dict[str, Any]] = [
    {"event": "saved", "item": "a", "output": "a.png", "t": stamp(1.5)},
    {"event": "failed", "item": "c", "t": stamp(2.0), "kind": "source", "message": "is empty"},
]


def test_status_of_a_run_that_goes_on() -> None:
    fold = fold_of(STARTED, *BOUGHT, ENDED[0] | {"flags": ["faint"]}, *ENDED[1:])
    assert told(fold) == (
        "3 items: 1 saved, 1 failed, 1 pending\n"
        "predictions in flight: 1\n"
        "predictions: 2 by replicate (95fc)\n"
        "failed, source: 1\n"
        "    c: is empty\n"
        "worth a look: 1 faint (a)\n"
        "possibly billed twice: 1\n"
        "running, as process 7, 2 a second, 0.0 s left"
    )
    assert status.status(fold, NOTHING, locked=True) == {
        "provider": "replicate",
        "version": "95fc",
        "engine": None,
        "run": fold.run.told(fold.counts()),
        "counts": {"total": 3, "saved": 1, "failed": 1, "pending": 1},
        "gone": 0,
        "in_flight": 1,
        "predictions": 2,
        "possible_duplicates": 1,
        "failures": [{"kind": "source", "count": 1}],
        "flags": [{"flag": "faint", "count": 1}],
        "held": 0,
        "finished": False,
    }


def test_status_tells_what_the_local_engine_runs_on() -> None:
    local = {"event": "run_started", "provider": "local", "version": "u2netp@30"}
    fold = fold_of(local, {"event": "engine_loaded", "engine": "openvino CPU bf16"})
    assert status.status(fold, NOTHING, locked=True)["engine"] == "openvino CPU bf16"
    assert told(fold).splitlines()[2] == "predictions: 0 by local (u2netp@30) on openvino CPU bf16"


def test_status_of_a_run_that_finished() -> None:
    fold = fold_of(STARTED, ENDED[0], {"event": "run_finished", "saved": 1})
    assert told(fold) == (
        "1 items: 1 saved, 0 failed, 0 pending\npredictions in flight: 0\npredictions: 0 by replicate (95fc)"
    )
    assert status.status(fold, NOTHING, locked=True)["finished"] is True


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ({}, "the last run was killed; there may be more items, which it has not read; run its command again to go on"),
        (
            {"state": "limited", "reason": "--limit 1 is reached", "unread": True},
            (
                "the last run was limited: --limit 1 is reached; there may be more items, which it has not read; "
                "run its command again to go on"
            ),
        ),
        (
            {"state": "stopped", "reason": "no credit"},
            "the last run was stopped: no credit; run its command again to go on",
        ),
        ({"pending": 2}, "the last run was stopped; run its command again to go on"),  # by an older version
        ({"state": "finished"}, "predictions: 0 by replicate (95fc)"),
    ],
)
def test_status_says_how_the_last_run_ended_and_what_to_do(end: dict[str, Any], text: str) -> None:
    fold = oracle(STARTED, *([{"event": "run_finished", **end}] if end else []))
    assert told(fold, locked=False).splitlines()[-1] == text


def out(folder: Path, *more: bytes) -> list[str]:
    flagged = [line("saved", item=name, output=f"{name}.png", flags=flags) for name, flags in FLAGS.items()]
    failed = line("failed", item="d", kind="source", message="is empty")
    started = line("run_started", provider="local", version="v", pid=7)
    (folder / "ledger.jsonl").write_bytes(b"".join((started, *flagged, failed, *more)))
    (folder / ".batch-removebg").mkdir(exist_ok=True)
    return [str(folder)]


FLAGS = {"a": ["faint"], "b": [], "c 鞋": ["cut-off", "faint"]}


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({"flags": ""}, ["a\ta.png\tfaint", "c 鞋\tc 鞋.png\tcut-off\tfaint"]),
        ({"flags": "cut-off"}, ["c 鞋\tc 鞋.png\tcut-off\tfaint"]),
        ({"flags": "", "names": True}, ["a", "c 鞋"]),
        ({"names": True}, ["d"]),
        (
            {"flags": "faint", "json": True},
            [
                (
                    '[{"id": "a", "output": "a.png", "flags": ["faint"]}, '
                    '{"id": "c \\u978b", "output": "c \\u978b.png", "flags": ["cut-off", "faint"]}]'
                )
            ],
        ),
    ],
)
def test_all_that_is_worth_a_look_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], lines: list[str]
) -> None:
    plain = {"dir": out(tmp_path)[0], "flags": None, "names": False, "json": False, "watch": False}
    status.show(argparse.Namespace(**plain | given))
    assert capsys.readouterr().out.splitlines() == lines


def test_watching_says_it_each_minute_without_a_terminal_and_ends_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = line("run_finished", saved=3, failed=1, pending=0, state="finished")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 40:
            out(tmp_path, end)

    given = {"dir": out(tmp_path)[0], "flags": None, "names": False, "json": False, "watch": True}
    with locked(tmp_path / ".batch-removebg", clock=FakeClock().clock):
        status.show(argparse.Namespace(**given), sleep=sleep)
    lines = capsys.readouterr().out.splitlines()
    first, last = "4 items: 3 saved, 1 failed, 0 pending", "running, as process 7"
    assert [said for said in lines if said in (first, last)] == [first, last, first, last, first]
    assert slept == [2] * 40


def test_decisions_are_counted_where_they_are_about_the_pictures_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = line("saved", item="b", output="b.png", sha256="5e") + line("renamed", item="new", was="b")
    out(tmp_path, moved, line("saved", item="e", sha256="6f", output="e.png", flags=["faint"]))
    Decisions(tmp_path / "decisions.jsonl").append(
        [
            Decided(item="a", verdict="accepted"),
            Decided(item="a", verdict="redo"),
            Decided(item="b", verdict="accepted", output_sha256="5e"),
            Decided(item="e", verdict="rejected", output_sha256="an earlier one"),
            Decided(item="nothing", verdict="rejected"),
        ],
        STARTED["t"],
    )
    given = {"dir": str(tmp_path), "flags": None, "names": False, "watch": False}
    status.show(argparse.Namespace(**given, json=True))
    counts = {"accepted": 1, "rejected": 0, "redo": 1, "flagged_undecided": 2}
    assert json.loads(capsys.readouterr().out)["decisions"] == counts
    status.show(argparse.Namespace(**given, json=False))
    assert "\ndecided: 1 accepted, 0 rejected, 1 to redo; 2 flagged are undecided\n" in capsys.readouterr().out
