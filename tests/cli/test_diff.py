"""`diff`: what it says of two runs, and which runs it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.doubles import ScriptedProvider, photo
from tests.support.shop import API, Said, provider, said, shop

__all__ = ["provider", "said", "shop"]


@pytest.fixture
def ids(shop: Path, provider: ScriptedProvider, said: Said) -> list[str]:
    """The ids of two runs: in the second a photo is another one, one has gone, and one has come."""
    said("run", "in", "--out", "out", "--concurrency", "1", *API)
    (shop / "in" / "a.jpg").write_bytes(photo(50, 50))
    (shop / "in" / "b.jpg").unlink()
    (shop / "in" / "d.jpg").write_bytes(photo(60, 60))
    said("run", "in", "--out", "out", "--concurrency", "1", *API)
    lines = map(json.loads, (shop / "out" / "ledger.jsonl").read_text().splitlines())
    return [line["id"] for line in lines if line["event"] == "run_started"]


def test_the_last_two_runs_are_compared_in_words(ids: list[str], said: Said) -> None:
    code, out, err = said("diff", "out")
    head, *lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [ids[0] in head.partition("→")[0], ids[1] in head.partition("→")[2]] == [True, True]
    assert lines == ["new: 1 (d.jpg)", "changed: 1 (a.jpg)", "gone: 1 (b.jpg)"]


def test_each_item_is_a_json_line_with_its_state_before_and_after(ids: list[str], said: Said) -> None:
    lines = [json.loads(line) for line in said("diff", "out", "--json")[1].splitlines()]
    told = {line["item"]: line for line in lines}
    assert {item: line["what"] for item, line in told.items()} == {
        "a.jpg": "changed",
        "b.jpg": "gone",
        "d.jpg": "new",
    }
    assert all(list(line) == ["item", "what", "was", "now"] for line in lines)
    assert (told["d.jpg"]["was"], told["b.jpg"]["now"]["status"]) == (None, "gone")
    was, now = told["a.jpg"]["was"], told["a.jpg"]["now"]
    assert list(was) == list(now) == ["status", "output", "sha256", "flags"]
    assert was["sha256"] != now["sha256"]


def test_runs_are_named_by_number_from_the_end_or_id(ids: list[str], said: Said) -> None:
    for flags in (["--to", "2"], ["--to", ids[0]], ["--from", "3", "--to", ids[0][:8]]):
        [line] = said("diff", "out", *flags)[1].splitlines()[1:]
        assert line.startswith("new: 3 ("), flags
        assert sorted(re.findall(r"\w\.jpg", line)) == ["a.jpg", "b.jpg", "c.jpg"]  # in whatever order they were done
    assert said("diff", "out", "--from", "1")[1].splitlines()[1:] == ["nothing differs"]


@pytest.mark.parametrize(("flag", "run"), [("--from", "4"), ("--to", "0"), ("--to", "nobody"), ("--from", "")])
def test_a_run_that_is_not_on_record_is_refused(ids: list[str], said: Said, flag: str, run: str) -> None:
    code, out, err = said("diff", "out", flag, run)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {flag} {run}: 2 runs are on record; give a run's number from the end")


def test_an_out_without_a_ledger_is_refused(shop: Path, said: Said) -> None:
    assert said("diff", "in") == (2, "", "error: in holds no ledger.jsonl; give the --out of a run\n")
