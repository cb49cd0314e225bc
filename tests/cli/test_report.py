"""The closing words, to the letter."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import report
from batch_removebg.errors import BatchError, BudgetReached, Interrupted, KeyRejected, ManifestError
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Group, Summary

LOCAL = Settings(out=Path("out"))
API = Settings(out=Path("out"), provider="replicate")


def summary(**changes: Any) -> Summary:
    plain: dict[str, Any] = {
        "out": Path("out"),
        "saved": 3,
        "failed": 0,
        "pending": 0,
        "skipped": 0,
        "reused": 0,
        "predictions": 3,
        "possible_duplicates": 0,
        "seconds": 12.34,
        "failures": (),
        "stopped": None,
    }
    return Summary(**{**plain, **changes})


def test_all_saved() -> None:
    assert report.closing(summary(), LOCAL) == (
        "3 saved, 0 failed in 12.3 s\n"
        "predictions: 3 by the local engine, nothing billed\n"
        "pictures  out/\n"
        "ledger    out/ledger.jsonl\n"
        "results   out/results.json"
    )


def test_what_was_left_out_is_one_line_whatever_it_is_called() -> None:
    found = summary(left_out={".cr2": (3, "x.cr2"), "@eaDir": (1, "a\nb/@eaDir"), ".dng": (2, "y.dng")})
    assert report.closing(found, LOCAL).splitlines()[2] == (
        "left out: 3 .cr2, 2 .dng (camera raw files: install the extra `raw`, or develop them to TIFF or JPEG), "
        "1 @eaDir such as a\\nb/@eaDir"
    )
    assert found.as_json()["left_out"] == {".cr2": 3, "@eaDir": 1, ".dng": 2}


def test_what_the_engine_ran_on_is_told_where_it_ran_and_what_a_better_network_made_again() -> None:
    told = "\npredictions: 3 by the local engine (openvino CPU bf16), nothing billed"
    assert f"{told}\n" in report.closing(summary(engine="openvino CPU bf16"), LOCAL)
    text = report.closing(summary(engine="openvino CPU bf16", escalated=2), LOCAL)
    assert f"{told}; 2 doubtful ones made again by a better network\n" in text
    assert f"{told}; 1 doubtful one made again by" in report.closing(
        summary(engine="openvino CPU bf16", escalated=1), LOCAL
    )


def test_some_failed() -> None:
    found = summary(
        failed=5,
        skipped=2,
        reused=1,
        predictions=7,
        possible_duplicates=1,
        seconds=3725.0,
        failures=(
            Group("source", 4, (("a.jpg", "is empty"), ("b\x1b[2J.jpg", "is cut\nshort"), ("c.jpg", "is empty"))),
            Group("output", 1, (("d.jpg", "has no alpha"),)),
        ),
    )
    assert report.closing(found, API) == (
        "3 saved (2 of them by an earlier run), 5 failed in 1 h 2 min 5 s\n"
        "predictions: 7 bought from https://api.replicate.com/v1; "
        "1 made without one, from the results of earlier ones; "
        "1 sent again after an answer was lost, and possibly billed twice\n"
        "failed, source: 4\n"
        "    a.jpg: is empty\n"
        "    b\\x1b[2J.jpg: is cut\\nshort\n"
        "    c.jpg: is empty\n"
        "    … and 1 more in results.json\n"
        "failed, output: 1\n"
        "    d.jpg: has no alpha\n"
        "pictures  out/\n"
        "ledger    out/ledger.jsonl\n"
        "results   out/results.json\n"
        "to try the failed ones again, run the same command with --retry-failed"
    )


def test_what_is_worth_a_look_is_told_with_examples() -> None:
    empty = (("a.jpg", ""), ("b\x1b[2J.jpg", ""), ("c.jpg", ""))
    flags = (Group("empty", 4, empty), Group("cut-off", 1, (("d.jpg", ""),)))
    assert report.closing(summary(flags=flags), LOCAL).splitlines()[2] == (
        "worth a look: 4 empty (a.jpg, b\\x1b[2J.jpg, c.jpg, …), 1 cut-off (d.jpg)"
    )


def test_aborted_with_a_note() -> None:
    stopped = KeyRejected("the server does not accept the key")
    stopped.add_note("results.json can't be written: the disk is full")
    assert report.closing(summary(failed=1, pending=2, stopped=stopped), API).splitlines()[5:] == [
        "stopped: the server does not accept the key",
        "results.json can't be written: the disk is full",
        "to go on where this stopped, run the same command again",
    ]


def test_interrupted() -> None:
    found = report.closing(summary(pending=2, stopped=Interrupted(signal.SIGTERM)), API).splitlines()
    assert found[0] == "3 saved, 0 failed, 2 pending in 12.3 s"
    assert found[5:] == [
        "interrupted by SIGTERM",
        "to go on where this stopped, run the same command again",
    ]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({}, None),
        ({"failed": 1}, "with --retry-failed"),
        ({"pending": 1}, "again"),
        ({"failed": 1, "pending": 1}, "again"),
        ({"stopped": BudgetReached("x")}, "again"),
        ({"stopped": BudgetReached("x"), "failed": 1}, "again"),
        ({"stopped": Interrupted(signal.SIGINT), "failed": 1}, "again"),
        ({"stopped": ManifestError("x"), "failed": 1, "pending": 1}, None),
    ],
)
def test_what_to_do_next_is_to_retry_only_where_that_helps(changes: dict[str, Any], remedy: str | None) -> None:
    last = report.closing(summary(**changes), LOCAL).splitlines()[-1]
    assert (last.partition(", run the same command ")[2] or None) == remedy


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min 0 s"),
        (90061, "25 h 1 min 1 s"),
    ],
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert report.closing(summary(seconds=seconds), LOCAL).startswith(f"3 saved, 0 failed in {text}\n")


# --dry-run


def test_preview_of_a_first_run() -> None:
    assert report.preview(Counter(total=12, bought=12), API) == (
        "12 items, and nothing is done about them (--dry-run)\n"
        "       12 would need a new prediction\n"
        "predictions: 12 would be bought from https://api.replicate.com/v1"
    )


def test_a_preview_says_the_price_and_the_time_where_they_are_known() -> None:
    said = report.preview(Counter(total=600, bought=600), replace(API, price=0.0005, rate=300.0))
    assert said.endswith("https://api.replicate.com/v1, 0.3 USD, in 2 min 0 s at --rate 300")


def test_preview_of_everything() -> None:
    found = Counter(total=21, done=1, left=2, kept=3, taken_up=4, bad=5, bought=6)
    assert report.preview(found, LOCAL) == (
        "21 items, and nothing is done about them (--dry-run)\n"
        "        1 are saved and unchanged\n"
        "        2 failed before and aren't tried again (--retry-failed does that)\n"
        "        3 would be made from the results of earlier predictions, without a new one\n"
        "        4 have a prediction in flight that would be collected\n"
        "        5 would fail: the source can't be read\n"
        "        6 would need a new prediction\n"
        "predictions: 6 would be made by the local engine, nothing billed"
    )


def test_every_error_that_stops_a_run_has_its_line() -> None:
    stopped: BatchError = ManifestError("list.csv:7: no image")
    assert report.closing(summary(stopped=stopped), LOCAL).splitlines()[-1] == "stopped: list.csv:7: no image"
