from pathlib import Path

import pytest

from batch_removebg.imaging import decode
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe

SAMPLES = Path(__file__).parents[1] / "samples"
PHOTOS = sorted(path for path in SAMPLES.joinpath("photos").rglob("*") if path.is_file())


def test_there_is_a_subfolder_a_space_and_a_sideways_photo_among_them():
    names = [path.relative_to(SAMPLES / "photos") for path in PHOTOS]
    assert 4 <= len(names) <= 8
    assert any(len(name.parts) > 1 for name in names)
    assert any(" " in name.name for name in names)
    rocket = probe((SAMPLES / "photos" / "rocket.jpg").read_bytes(), Limits())
    assert rocket.upright == (320, 427)


def test_they_are_small():
    assert sum(path.stat().st_size for path in PHOTOS) < 1_500_000


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_each_is_a_photograph_with_its_licence_stated(path):
    picture = decode.read(path.read_bytes(), Limits())
    assert (picture.alpha, picture.icc, picture.notes) == (None, None, ())
    assert picture.pixels.std() > 30
    row = next(line for line in (SAMPLES / "README.md").read_text("utf-8").splitlines() if path.name in line)
    assert "CC0" in row or "public domain" in row
