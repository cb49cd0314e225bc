"""The truth benchmark's pictures: the same for the same seed, of every kind, and composed of exactly the truth kept."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.matting import scenes
from tests.bench.matting.drawing import Canvas
from tests.bench.matting.outlines import corners, ellipse, stroke
from tests.bench.matting.scenes import DRAWN, KINDS, Scene, catalogue, draw, quick, render
from tests.bench.matting.scoring import score_all, truth

SMALL = Scene(0, "ball", "white", 1, 160, 120, noise=0.0, quality=95, subsampling="4:4:4")


def test_there_are_sixty_pictures_and_more_of_each_kind_and_size_alike_many() -> None:
    listed = catalogue()
    assert len(listed) >= 60
    assert Counter(scene.megapixels for scene in listed) == {1: 40, 4: 16, 12: 8}
    assert set(Counter((scene.kind, scene.megapixels) for scene in listed).values()) == {10, 4, 2}
    assert {scene.subject for scene in listed} == set(DRAWN)
    assert len({scene.name for scene in listed}) == len(listed)
    assert [scene.kind for scene in quick()] == list(KINDS)


def test_another_seed_draws_other_pictures_under_other_names() -> None:
    assert not {scene.name for scene in catalogue()} & {scene.name for scene in catalogue(7)}
    assert Counter((scene.kind, scene.megapixels) for scene in catalogue(7)) == Counter(
        (scene.kind, scene.megapixels) for scene in catalogue()
    )
    assert not np.array_equal(draw(SMALL)[0], draw(dataclasses.replace(SMALL, seed=7))[0])


def test_sizes_noise_and_quality_are_what_was_asked_for() -> None:
    for scene in catalogue():
        assert scene.width * scene.height == pytest.approx(scene.megapixels * 1e6, rel=0.06)
        assert 2 <= scene.noise <= 4
        assert 88 <= scene.quality <= 95


@pytest.mark.parametrize("subject", DRAWN)
def test_the_same_seed_draws_the_same_and_every_subject_has_an_inside_an_edge_and_an_outside(subject: str) -> None:
    scene = dataclasses.replace(SMALL, subject=subject, backdrop="oak", noise=3.0)
    first, again = draw(scene), draw(scene)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    alpha = first[1]
    assert (alpha == 0).mean() > 0.2
    assert alpha.max() == 65535 or (scene.kind == "translucent" and alpha.max() > 0.6 * 65535)
    seen = (alpha > 0.2 * 65535) & (alpha < 0.8 * 65535)
    assert seen.sum() > (0.1 * (alpha > 0).sum() if scene.kind == "translucent" else 20)


def test_another_index_draws_another_picture() -> None:
    scene = dataclasses.replace(SMALL, subject=next(iter(DRAWN)), backdrop="oak")
    assert not np.array_equal(draw(scene)[0], draw(dataclasses.replace(scene, index=1))[0])


def test_the_picture_is_composed_of_exactly_the_alpha_and_colour_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = np.array((40.0, 90.0, 200.0), np.float32)
    plain = {"white": lambda canvas: np.tile(ground, (canvas.height, canvas.width, 1))}
    monkeypatch.setattr(scenes, "BACKDROPS", plain)
    scene = dataclasses.replace(SMALL, subject="feather")  # it flies: there is no shadow
    picture, alpha, colour = draw(scene)
    share = alpha[..., None] / 65535
    assert np.abs(picture - (colour * share + ground * (1 - share))).max() <= 0.501


def test_what_is_written_is_what_was_drawn_and_is_not_made_twice(tmp_path: Path) -> None:
    photo = render(SMALL, tmp_path)
    picture, alpha, colour = draw(SMALL)
    known = truth(tmp_path, SMALL.name)
    assert np.array_equal(known.alpha16, alpha)
    assert np.array_equal(known.colour, colour)
    assert np.abs(known.photo.astype(int) - picture).mean() < 3  # JPEG
    before = photo.stat().st_mtime_ns
    render(SMALL, tmp_path)
    assert photo.stat().st_mtime_ns == before


def test_pictures_of_another_version_of_the_code_are_made_anew_and_foreign_ones_refused(tmp_path: Path) -> None:
    scenes.render_all([SMALL], tmp_path, 1)
    kept = tmp_path / "photos" / "old.jpg"
    kept.write_bytes(b"")
    scenes.render_all([SMALL], tmp_path, 1)
    assert kept.exists()
    (tmp_path / ".made-by").write_text("another")
    scenes.render_all([SMALL], tmp_path, 1)
    assert not kept.exists()
    (tmp_path / ".made-by").unlink()
    with pytest.raises(FileExistsError, match="another folder"):
        scenes.render_all([SMALL], tmp_path, 1)


def test_a_folder_of_results_is_scored_picture_by_picture(tmp_path: Path) -> None:
    render(SMALL, tmp_path)
    _, alpha, colour = draw(SMALL)
    exact, empty = tmp_path / "exact", tmp_path / "empty"
    exact.mkdir()
    empty.mkdir()
    Image.fromarray(np.dstack([colour, np.round(alpha / 257).astype(np.uint8)])).save(exact / f"{SMALL.name}.png")
    found = score_all([SMALL.name], tmp_path, {"exact": exact, "empty": empty}, 1)
    assert list(found[SMALL.name]) == ["exact"]
    assert found[SMALL.name]["exact"].mae < 0.5 / 255
    assert found[SMALL.name]["exact"].band < 0.5 / 255


def canvas() -> Canvas:
    return Canvas(40, 40, 20, 20, 10, np.random.default_rng(0))


def test_cover_is_counted_to_the_part_of_a_pixel() -> None:
    drawn = canvas()
    drawn.part(corners((-1.0, -1.0), (0.25, -1.0), (0.25, 1.0), (-1.0, 1.0)), (200, 100, 50))
    row = drawn.alpha[20]
    assert row[10:22].min() == 1
    assert row[22] == pytest.approx(0.5, abs=0.13)  # the outline ends half way; an outline's own samples are inside
    assert row[24:].max() == 0


def test_parts_laid_over_each_other_add_up_as_light_does() -> None:
    drawn = canvas()
    drawn.part(ellipse(0, 0, 1.5), (200, 200, 200), 0.5)
    drawn.part(ellipse(0, 0, 1.5), (0, 0, 0), 0.5)
    assert drawn.alpha[20, 20] == pytest.approx(0.75)
    assert drawn.premultiplied[20, 20] == pytest.approx([50, 50, 50])
    drawn.cut(ellipse(0, 0, 0.5))
    assert drawn.alpha[20, 20] == 0
    alpha, colour = drawn.finish(0.0)
    assert alpha[20, 20] == 0
    assert colour[20, 10].tolist() == [67, 67, 67]
    assert colour[20, 20].tolist() == [0, 0, 0]


def test_a_part_has_no_cover_in_its_holes() -> None:
    drawn = canvas()
    drawn.part(ellipse(0, 0, 1.5), (9, 9, 9), holes=[ellipse(0, 0, 1.0)])
    assert drawn.alpha[20, 20] == 0
    assert drawn.alpha[20, 32] == 1


def test_a_stroke_is_as_wide_as_asked_and_what_lies_outside_the_picture_is_left_out() -> None:
    drawn = canvas()
    drawn.part(stroke(np.linspace((-1.5, 0.0), (1.5, 0.0), 9), 0.6), (9, 9, 9))
    assert drawn.alpha[:, 20].sum() == pytest.approx(6, abs=0.2)
    before = drawn.alpha.copy()
    drawn.part(ellipse(9, 9, 1), (1, 1, 1))
    assert np.array_equal(drawn.alpha, before)
