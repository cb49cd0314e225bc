"""What a run came to: exit codes, plain data, failures by kind."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from batch_removebg import errors
from batch_removebg.ledger import state
from batch_removebg.run.summary import Group, Summary, failures, flagged
from tests.support.oracle import Oracle, entry


def summary(**changes: Any) -> Summary:
    plain: dict[str, Any] = {
        "out": Path("out"),
        "saved": 3,
        "failed": 0,
        "pending": 0,
        "skipped": 1,
        "reused": 1,
        "predictions": 1,
        "possible_duplicates": 0,
        "seconds": 1.23456,
        "failures": (),
        "stopped": None,
    }
    return Summary(**{**plain, **changes})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"saved": 0}, 0),
        ({"failed": 1}, 3),
        ({"pending": 1}, 3),
        ({"unread": True, "limited": True}, 3),
        ({"stopped": errors.ManifestError("x")}, 2),
        ({"stopped": errors.SettingsError("x"), "failed": 1}, 2),
        ({"stopped": errors.KeyRejected("x"), "failed": 1}, 4),
        ({"stopped": errors.OutOfCredit("x")}, 4),
        ({"stopped": errors.VersionRejected("x")}, 4),
        ({"stopped": errors.NotAnApi("x")}, 4),
        ({"stopped": errors.BudgetReached("x"), "pending": 2}, 4),
        ({"stopped": errors.DiskError("x")}, 4),
        ({"stopped": errors.LedgerError("x")}, 4),
        ({"stopped": errors.WindowClosed("x"), "failed": 1, "pending": 2}, 5),
        ({"stopped": errors.Interrupted(signal.SIGINT), "failed": 1}, 130),
        ({"stopped": errors.Interrupted(signal.SIGTERM)}, 143),
    ],
)
def test_the_exit_code_says_how_it_ended(changes: dict[str, Any], code: int) -> None:
    assert summary(**changes).exit_code == code


def test_the_errors_that_end_a_command_have_the_codes_of_the_contract() -> None:
    codes = {
        kind.__name__: kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.BatchError) and "exit_code" in vars(kind)
    }
    assert codes == {"BatchError": 1, "UsageError": 2, "AbortError": 4, "WindowClosed": 5, "LockedError": 11}


def test_totals_and_files_follow_from_the_rest() -> None:
    found = summary(saved=3, failed=2, pending=1)
    assert (found.total, found.ledger, found.results) == (6, Path("out/ledger.jsonl"), Path("out/results.json"))


def test_plain_data_holds_everything() -> None:
    found = summary(
        failed=2,
        failures=(Group("source", 2, (("shoe", "is empty"), ("hat", "is cut short"))),),
        flags=(Group("empty", 1, (("bag", ""),)),),
        stopped=errors.BudgetReached("--max-predictions 1 is reached"),
        left_out={".cr2": (2, "in/a.cr2")},
        run_id="c0ffee",
        cost=0.25,
        job="shoes",
    )
    assert json.loads(json.dumps(found.as_json())) == {
        "v": 1,
        "run_id": "c0ffee",
        "job": "shoes",
        "out": "out",
        "ledger": "out/ledger.jsonl",
        "results": "out/results.json",
        "state": "stopped",
        "unread": False,
        "total": 5,
        "saved": 3,
        "failed": 2,
        "pending": 0,
        "gone": 0,
        "held": 0,
        "skipped": 1,
        "reused": 1,
        "escalated": 0,
        "pruned": 0,
        "predictions": 1,
        "possible_duplicates": 0,
        "cost": 0.25,
        "engine": None,
        "seconds": 1.235,
        "failures": [
            {
                "kind": "source",
                "count": 2,
                "examples": [
                    {"item": "shoe", "message": "is empty"},
                    {"item": "hat", "message": "is cut short"},
                ],
            }
        ],
        "flags": [{"flag": "empty", "count": 1, "examples": ["bag"]}],
        "left_out": {".cr2": 2},
        "stopped": {"kind": "budget", "message": "--max-predictions 1 is reached"},
        "exit_code": 4,
    }
    assert [summary().as_json()[name] for name in ("stopped", "cost", "job")] == [None, None, None]
    assert summary(engine="openvino CPU bf16").as_json()["engine"] == "openvino CPU bf16"


def test_failures_are_grouped_by_kind_the_most_frequent_first_with_a_few_told_in_full() -> None:
    fold = Oracle()
    for name, kind in [("a", "source"), ("b", "output"), ("c", "output"), ("d", "rejected"), ("e", "output")]:
        fold.apply(entry("failed", item=name, kind=kind, message=f"{name} is bad"))
    fold.apply(entry("failed", item="f", kind="output", message="f is bad"))
    fold.apply(entry("failed", item="g"))
    fold.apply(entry("saved", item="h", output="h.png"))
    assert failures(fold.failed()) == (
        Group("output", 4, (("b", "b is bad"), ("c", "c is bad"), ("e", "e is bad"))),
        Group("error", 1, (("g", ""),)),
        Group("rejected", 1, (("d", "d is bad"),)),
        Group("source", 1, (("a", "a is bad"),)),
    )
    assert failures([]) == ()


def test_flags_are_counted_the_most_frequent_first_with_a_few_examples() -> None:
    fold = Oracle()
    for name, flags in [("a", ["empty"]), ("b", ["cut-off"]), ("c", []), ("d", ["cut-off", "faint"])]:
        fold.apply(entry("saved", item=name, output=name, flags=flags))
    for number in range(4):
        fold.apply(entry("saved", item=f"n{number}", output=f"n{number}", flags=["full"]))
    assert flagged(fold.flagged()) == (
        Group("full", 4, (("n0", ""), ("n1", ""), ("n2", ""))),
        Group("cut-off", 2, (("b", ""), ("d", ""))),
        Group("empty", 1, (("a", ""),)),
        Group("faint", 1, (("d", ""),)),
    )


def test_the_ledgers_readme_names_every_key_of_the_document_and_of_its_lists_in_order() -> None:
    text = (Path(state.__file__).parent / "README.md").read_text(encoding="utf-8")
    schema = text[text.index('{"v":1,"run_id"') :].partition("\n\n")[0]
    found = summary(failures=(Group("source", 1, (("a", "b"),)),), flags=(Group("empty", 1, ()),)).as_json()
    more = ("kind", "count", "examples", "item", "message", "flag", "what")
    words = re.findall(r'"(\w+)"[:,}]', re.sub(r'"finished.*?"', "0", schema))
    assert [word for word in words if word not in more] == list(found)
