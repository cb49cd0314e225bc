"""What people have decided is shown beside what the runs did."""

from __future__ import annotations

import csv

import pytest

from tests.support.bench import Bench, bench
from tests.support.decisions import STAMP, decide

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


def table(bench: Bench) -> list[list[str]]:
    return list(csv.reader((bench.out / "results.csv").read_text("utf-8").splitlines(keepends=True)))


async def test_a_run_with_nothing_to_do_shows_new_decisions_in_json_and_table(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    (manifest := bench.photos / "list.csv").write_text("id,image,decision\nx,a.jpg,\ny,b.jpg,\n")
    await bench.run(str(manifest))
    assert table(bench)[0] == ["id", "image", "decision", "output", "status", "flags", "error"]
    assert not any({"decision", "edited"} & item.keys() for item in bench.results()["items"])
    decide(bench.out, "accepted", "x", note="good")
    bought = bench.provider.bill
    await bench.run(str(manifest))
    shown = {item["id"]: item for item in bench.results()["items"]}
    assert shown["x"]["decision"] == {"verdict": "accepted", "note": "good", "t": STAMP}
    assert [row[-2:] for row in table(bench)] == [["decision_", "note"], ["accepted", "good"], ["", ""]]
    decide(bench.out, "undecided", "x", note="ask Ana")
    await bench.run(str(manifest))
    shown = {item["id"]: item for item in bench.results()["items"]}
    assert shown["x"]["decision"] == {"verdict": "undecided", "note": "ask Ana", "t": STAMP}
    assert [row[-2:] for row in table(bench)][1:] == [["undecided", "ask Ana"], ["", ""]]
    decide(bench.out, "undecided", "x")
    await bench.run(str(manifest))
    assert "decision" not in {item["id"]: item for item in bench.results()["items"]}["x"]
    assert bench.provider.bill == bought
