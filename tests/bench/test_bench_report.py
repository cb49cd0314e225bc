"""The benchmark judges its figures right, and README shows what was measured and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.behaviour import Limit
from tests.bench.cases.at_limit import ideal
from tests.bench.cases.below import FULL, back_at_speed, rejected_a_window
from tests.bench.cases.concurrency import in_flight, most_in_flight
from tests.bench.figures import Case, Figure, Measured, at_least, at_most, number
from tests.bench.machine import described, machine
from tests.bench.table import Results, markdown, plain

README = report.ROOT / "README.md"
CASE = Case("6", "A million rows", "as said", lambda bench: Measured())


def case(*figures: Figure, sizes: tuple[int, ...] = ()) -> Results:
    around = {"cores": 2, "cpu": "x", "system": "y", "python": "3", "packages": {}, "load_at_start": 0.1}
    once = {
        "first_create": [0.5],
        "rss": [60.0],
        "seconds": [2.5],
        "cpu": [2.25],
        "resume": [None],
        "resume_rss": [40.0],
    }
    series = [{"items": n, **once, "status": [0.125]} for n in sizes]
    found = Measured(list(figures), {"sizes": series})
    return {"6": report.block(CASE, found, around, 60.0)}


def test_the_readme_shows_lines_of_the_results_file_and_no_others() -> None:
    page = README.read_text(encoding="utf-8")
    shown = page[page.index(report.BEGIN) + len(report.BEGIN) : page.index(report.END)]
    assert shown.strip() == report.headlines(report.load()).strip()
    assert len(shown.splitlines()) <= 6


def test_the_table_of_the_results_is_made_of_the_results_file() -> None:
    measured = report.RESULTS / "results.md"
    if not measured.exists():
        assert not (report.RESULTS / "results.json").exists()
        return
    assert measured.read_text(encoding="utf-8") == markdown(report.load())


def test_a_target_is_met_by_the_median_alone() -> None:
    assert Figure("a", [1.0, 1.04, 9.0], "×", at_most(1.05)).met is True
    assert Figure("a", [1.0, 1.06, 9.0], "×", at_most(1.05)).met is False
    assert Figure("a", [2.5], "×", at_least(2.5)).met is True
    assert Figure("a", [math.inf, 1.0, math.inf], "s", at_most(90)).met is False
    assert Figure("a", [1.0]).met is None


def test_what_falls_short_is_printed_as_such(tmp_path: Path) -> None:
    figures = Figure("speed", [1.5, 2.0, 1.0], "×", at_least(2.5)), Figure("back", [math.inf], "s", at_most(90))
    (tmp_path / "README.md").write_text(f"# x\n{report.BEGIN}\nold\n{report.END}\nend\n")
    report.write(case(*figures), tmp_path, tmp_path / "README.md")
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| 6 A million rows | speed | ≥ 2.5 × | 1.50 × (1–2; 3) | **falls short** |" in page
    assert "|  | back | ≤ 90 s | never (1) | **falls short** |" in page
    assert "0 targets are met, 2 fall short." in page
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# x\n")
    assert readme.endswith(f"{report.END}\nend\n")
    assert "old" not in readme
    assert report.load(tmp_path) == json.loads(json.dumps(case(*figures)))


def test_a_line_of_the_readme_says_what_falls_short_and_what_was_not_measured() -> None:
    resumed = Figure("resume over 1,000,000 saved items", [12.0], "s", at_most(10))
    assert report.headlines(case(resumed)).splitlines() == [
        "- a resume over 1,000,000 saved items: 12 s (wanted ≤ 10 s: **falls short**)",
        "- peak memory of a run over 1,000,000 URLs: not measured",
    ]


def test_a_case_that_broke_off_falls_short_too() -> None:
    broken = {"6": case()["6"] | {"failed": "the run ended with exit code 1\nTraceback"}}
    row = "| 6 A million rows | the case broke off |  | the run ended with exit code 1 | **falls short** |"
    assert row in markdown(broken)
    assert "0 targets are met, 1 falls short." in markdown(broken)


def test_the_figures_of_a_million_rows_are_kept_until_they_are_measured_again() -> None:
    before = case(Figure("time an item, 1,000,000 items", [2.0]), Figure("x", [1.0]), sizes=(1000, 1_000_000))
    after = report.merged(before, case(Figure("x", [3.0]), sizes=(1000,)))
    assert [(f["name"], f["values"]) for f in after["6"]["figures"]] == [
        ("x", [3.0]),
        ("time an item, 1,000,000 items", [2.0]),
    ]
    assert [size["items"] for size in after["6"]["series"]["sizes"]] == [1000, 1_000_000]
    assert "of an earlier run" in markdown(after)


def test_sizes_have_a_table_and_figures_without_a_target_a_list() -> None:
    found = case(Figure("connections", [3, 4, 5]), Figure("first create", [0.5], "s", at_most(1)), sizes=(1000, 10_000))
    shown = markdown(found)
    assert "| 10,000 | 0.500 s | 60 MB | 2.50 ms | 2.25 ms | never | 40 MB | 0.125 s | 1 |" in shown
    assert "- **6** connections: 4 (3–5; 3)." in shown
    assert "| connections |" not in shown
    assert "connections  " in plain(found)


def test_a_machine_is_named_once_with_the_highest_load_and_said_to_be_busy() -> None:
    one = machine() | {"load_at_start": 0.1}
    [line] = described([one, one | {"load_at_start": 0.75}])
    assert line.endswith("load at the start 0.75: **it was busy with something else**")
    assert described([one])[0].endswith("load at the start 0.10")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (30.0, "30"),
        (0.05, "0.0500"),
        (1.05, "1.05"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (math.inf, "never"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_ideal_is_the_limit_and_the_job_that_ends_last() -> None:
    # Created whenever they were: ideally the first two at 0, the others a second apart.
    made = [[float(at), at + ran] for at, ran in ((0, 1), (3, 9), (5, 2), (9, 2))]
    assert ideal(made, Limit(60, 2)) == 9.0
    assert ideal([[0.0, 1.0]] * 4, Limit(60, 2)) == 3.0


def test_rejections_are_counted_by_window_without_the_first() -> None:
    assert rejected_a_window([100.0], 160.0) == 0
    assert rejected_a_window([100.0, 101.0, 105.9, 106.1, 159.0, 161.0], 160.0) == 2


def test_back_at_speed_is_when_a_span_begins_in_which_the_limit_is_used() -> None:
    slow = [100.0 + second for second in range(10)]
    full = [110.0 + 0.1 * index for index in range(60)]
    assert back_at_speed([*slow, *full], 100.0, FULL) == pytest.approx(9.0, abs=1.01)
    assert back_at_speed(slow, 100.0, FULL) == math.inf


def test_in_flight_is_counted_from_create_to_the_answer_that_tells() -> None:
    made = [[0.0, 0.0, 1.0], [0.25, 0.0, 0.75], [2.0, 0.0, 2.25]]
    assert in_flight(made, 0.5) == [(0.0, 1), (0.5, 2), (1.0, 0), (1.5, 0), (2.0, 1), (2.5, 0)]
    assert most_in_flight(made) == 2


def test_the_machine_is_told_without_names_and_paths() -> None:
    import platform

    said = json.dumps(machine())
    assert machine()["cores"] >= 1
    assert platform.node() not in said or len(platform.node()) < 4
    assert str(Path.home()) not in said or Path.home() == Path("/")
