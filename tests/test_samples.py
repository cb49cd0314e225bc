from pathlib import Path

import pytest

from batch_removebg.imaging import decode
from batch_removebg.imaging.format import Limits
from batch_removebg.imaging.probe import probe

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples" / "photos"
PHOTOS = sorted(path for path in SAMPLES.rglob("*") if path.is_file())
OTHERS = sorted(ROOT.glob("tests/bench/photographs/*.jpg"))


def test_there_is_a_subfolder_a_space_and_a_sideways_photo_among_them():
    names = [path.relative_to(SAMPLES) for path in PHOTOS]
    assert 4 <= len(names) <= 8
    assert any(len(name.parts) > 1 for name in names)
    assert any(" " in name.name for name in names)
    bottle = probe((SAMPLES / "hand-wash.jpg").read_bytes(), Limits())
    assert bottle.upright == (660, 1020)


def test_they_are_small():
    assert sum(path.stat().st_size for path in PHOTOS) < 500_000
    assert (ROOT / "samples" / "shown" / "oats.png").stat().st_size < 250_000


@pytest.mark.parametrize("path", [*PHOTOS, *OTHERS], ids=lambda path: path.name)
def test_each_is_a_photograph_with_its_licence_stated(path):
    picture = decode.read(path.read_bytes(), Limits())
    assert (picture.alpha, picture.icc, picture.notes) == (None, None, ())
    assert picture.pixels.std() > 30
    readme = (ROOT / "samples" if path in PHOTOS else path.parent) / "README.md"
    row = next(line for line in readme.read_text("utf-8").splitlines() if path.name in line)
    assert "CC0" in row or "public domain" in row
