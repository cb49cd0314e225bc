"""The truth benchmark judges right, says who is worse, and its files say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.matting import sheet, verdict
from tests.bench.matting.methods import BASELINE, METHODS, OURS, Timed, lacking
from tests.bench.matting.metrics import NAMES, Score
from tests.bench.matting.record import Record, kind_of, size_of
from tests.bench.matting.scenes import Scene, draw, render
from tests.bench.matting.tables import lists, markdown, plain, targets
from tests.bench.report import RESULTS

FIRST, SECOND, LARGE = "00-hard-ball-white-1Mpx", "01-hair-brush-green_wall-1Mpx", "60-cutout-cup-oak-12Mpx"


def scored(band: float, composite: float) -> Score:
    return Score(0.01, 10.0, 5.0, 8.0, band, composite, composite / 2, composite / 4)


def record(*ours: tuple[float, float], seconds: float = 10.0) -> Record:
    """Of rembg with a band error of 0.25 and a composite error of 2.5 in each picture, and ours."""
    names = [FIRST, SECOND, LARGE][: len(ours)]
    scores = {name: {BASELINE: scored(0.25, 2.5), OURS: scored(*one)} for name, one in zip(names, ours, strict=True)}
    timed = {BASELINE: {1: Timed(2, 30.0, 800_000_000, 40.0)}, OURS: {1: Timed(2, seconds, 400_000_000, 12.0)}}
    return Record(scores, timed, {}, "2.0.86", ["a note"])


def met(found: Record) -> dict[str, bool | None]:
    return {figure.name: figure.met for figure in verdict.figures(found, OURS)}


def test_targets_are_met_at_the_bound_and_fall_short_beyond_it() -> None:
    assert met(record((0.125, 1.0), (0.25, 2.0))) == {
        "band error below rembg's": True,
        "composite error below rembg's": True,
        "the same, without grain and JPEG": None,
        "the same, were every edge flawless": None,
        "band error of the median picture below": None,
        "composite error of the median picture below": None,
        "speed against rembg's": True,
        "pictures worse by more than 5 %": True,
    }
    assert met(record((0.125, 1.0), (0.26, 2.0)))["band error below rembg's"] is False
    assert met(record((0.125, 1.1), (0.25, 2.0)))["composite error below rembg's"] is False
    assert met(record((0.1, 1.0), seconds=10.1))["speed against rembg's"] is False


def test_at_best_only_errors_beyond_the_edges_are_left() -> None:
    found = record((0.125, 1.0), (0.25, 2.0))
    assert verdict.at_best(found, OURS, found.pictures(BASELINE, OURS)) == pytest.approx(100 * (1 - 0.375 / 2.5))


def test_a_picture_is_worse_above_five_percent_in_either_error() -> None:
    found = record((0.265, 2.5), (0.26, 2.65), (0.1, 1.0))
    assert [name for name, _ in verdict.worse(found, OURS, "band")] == [FIRST]
    assert [name for name, _ in verdict.worse(found, OURS, "composite")] == [SECOND]
    assert met(found)["pictures worse by more than 5 %"] is False
    assert f"1 of 3: `{FIRST}` (1.06 ×)" in lists(found)


def test_a_method_is_compared_over_the_pictures_that_both_have_made() -> None:
    found = record((0.125, 1.0), (0.5, 4.0))
    found.scores[SECOND].pop(BASELINE)
    assert verdict.below(found, OURS, "band", found.pictures(BASELINE, OURS)) == pytest.approx(50)
    assert met(found)["pictures worse by more than 5 %"] is True


def test_the_pace_leaves_out_sizes_that_one_of_them_broke_off_in() -> None:
    found = record((0.1, 1.0))
    found.timed[OURS][12] = Timed(8, 1.0, 0, 0)  # type: ignore[index]
    found.timed[BASELINE][12] = Timed(8, 900.0, 0, 0, "killed")  # type: ignore[index]
    assert verdict.pace(found, OURS) == pytest.approx(0.2)
    assert verdict.pace(found, OURS, 12) is None


def test_no_error_against_none_is_alike() -> None:
    assert verdict.ratio(0, 0) == 1
    assert verdict.ratio(0.1, 0) == float("inf")


def test_the_record_comes_back_from_its_file_and_other_metrics_are_refused(tmp_path: Path) -> None:
    found = record((0.1, 1.0), (0.2, 1.4))
    found.write(tmp_path / "truth.json")
    again = Record.load(tmp_path / "truth.json")
    assert (again.scores, again.timed, again.rembg) == (found.scores, found.timed, found.rembg)
    assert markdown(again) == markdown(found)
    with pytest.raises(ValueError, match="run the benchmark again"):
        Record.from_json(found.as_json() | {"metrics": ["mae"]})


def test_the_report_names_targets_methods_kinds_and_notes() -> None:
    shown = markdown(record((0.1, 1.0), (0.375, 3.0)))
    for part in ("**falls short**", "| rembg |", "| hair | all |", "a note", "Rhemann", f"`{SECOND}` (1.50 ×)"):
        assert part in shown
    assert "falls short" in plain(record((0.1, 1.0), (0.375, 3.0)))


def test_without_rembg_there_is_a_table_and_no_verdict() -> None:
    found = record((0.1, 1.0))
    found.scores[FIRST].pop(BASELINE)
    assert targets(found) == [["method", "figure", "target", "measured", "met"]]
    assert "| ours |" in markdown(found)


def test_the_written_table_is_made_of_the_written_record() -> None:
    kept = RESULTS / "truth.json"
    if not kept.exists():
        assert not (RESULTS / "truth.md").exists()
        return
    assert (RESULTS / "truth.md").read_text(encoding="utf-8") == markdown(Record.load(kept))


def test_a_variant_whose_flags_run_does_not_list_is_left_out_with_a_reason() -> None:
    listed = "usage: run [--out DIR] [--edges {keep,clean}] --refine-later"
    assert lacking(METHODS["ours"], listed) == ""
    assert lacking(METHODS["ours --edges keep"], "  --edges HOW") == ""
    assert lacking(METHODS["ours --refine none"], listed) == "`run` has no --refine"
    assert lacking(METHODS["ours --refine none --edges keep"], "") == "`run` has no --refine, --edges"


def test_the_kind_and_the_size_are_told_by_the_name() -> None:
    scene = Scene(7, "feather", "green wall", 12, 4000, 3000, 2.0, 90, "4:2:0")
    assert (kind_of(scene.name), size_of(scene.name)) == ("hair", 12)


def test_the_sheet_shows_the_worst_the_median_and_the_best(tmp_path: Path) -> None:
    scene = Scene(0, "ball", "white", 1, 160, 120, noise=0.0, quality=95, subsampling="4:4:4")
    render(scene, tmp_path)
    _, alpha, colour = draw(scene)
    rgba = np.dstack([colour, (alpha >> 8).astype(np.uint8)])
    for method in (BASELINE, OURS):
        place = tmp_path / "cutouts" / method
        place.mkdir(parents=True)
        Image.fromarray(rgba).save(place / f"{scene.name}.png")
    found = Record({scene.name: {BASELINE: scored(0.2, 2.0), OURS: scored(0.3, 2.0)}})
    assert [caption.partition(":")[0] for caption, _ in sheet.cases(found)] == ["worst", "median", "best"]
    assert sheet.draw(found, tmp_path, tmp_path / "truth.png")
    with Image.open(tmp_path / "truth.png") as made:
        assert made.width == 7 * (sheet.CELL + sheet.GAP)
    assert not sheet.draw(Record({}), tmp_path, tmp_path / "none.png")


def test_every_metric_of_a_score_is_shown() -> None:
    assert {field.name for field in dataclasses.fields(Score)} == set(NAMES)
    shown = markdown(record((0.1, 1.0)))
    heads = ("band", "composite", "without grain", "beyond edges", "MAE", "SAD", "gradient", "connectivity")
    assert all(head in shown for head in heads)
