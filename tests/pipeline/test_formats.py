"""Other pictures of a URL that the API fetched itself: made from the cutout that was bought, never bought again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batch_removebg.model import Prediction, Status
from tests.pipeline.test_sharing import urls
from tests.support.bench import Bench, bench
from tests.support.doubles import cutout

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return urls(tmp_path, "https://shop.example/a.jpg,red")


PNG: dict[str, Any] = {}
JPEG = {"format": "jpeg"}
OTHERS = (JPEG, {"format": "webp"}, {"background": "#f0f0f0"}, {"mask_only": True}, {"format": "tiff"})


@pytest.mark.parametrize("first", [PNG, JPEG])
async def test_every_format_background_and_mask_comes_from_the_one_that_was_bought(
    bench: Bench, rows: str, first: dict[str, Any]
) -> None:
    await bench.run(rows, **first)
    for other in (*OTHERS, PNG):
        summary = await bench.run(rows, **other)
        assert (summary.saved, summary.failed, summary.predictions) == (1, 0, 0)
    assert (bench.out / "red.png").read_bytes() == cutout()
    with Image.open(bench.out / "red.jpg") as white:
        assert white.getpixel((3, 3)) == pytest.approx((228, 148, 172), abs=2)  # half of the colour, half white
    assert bench.provider.bill == 1


async def test_what_a_lossy_picture_has_lost_is_not_made_up_nor_bought_unasked(bench: Bench, rows: str) -> None:
    await bench.run(rows, **JPEG)
    shutil.rmtree(bench.out / ".batch-removebg" / "alpha")  # as in an OUT of an older version
    for _ in range(2):
        summary = await bench.run(rows)
        assert (summary.saved, summary.failed, summary.predictions) == (0, 1, 0)
        assert "--buy-again" in summary.failures[0].examples[0][1]
    back = await bench.run(rows, **JPEG)
    assert (back.saved, back.predictions) == (1, 0)
    await bench.run(rows)
    assert (await bench.run(rows, buy_again=True)).predictions == 1
    assert (bench.out / "red.png").read_bytes() == cutout()


async def test_buying_again_replaces_the_cutout_that_later_pictures_are_made_from(bench: Bench, rows: str) -> None:
    await bench.run(rows, **JPEG)
    bench.provider.outputs["https://out.example/other.png"] = cutout(alpha=200)
    bench.provider.script.append(Prediction("other", Status.SUCCEEDED, output="https://out.example/other.png"))
    await bench.run(rows, buy_again=True)
    assert (await bench.run(rows, format="tiff")).predictions == 0
    with Image.open(bench.out / "red.tiff") as made:
        assert made.getpixel((3, 3))[3] == 200


async def test_a_deleted_picture_is_made_from_the_cutout_that_was_kept(bench: Bench, rows: str) -> None:
    await bench.run(rows, **JPEG)
    (bench.out / "red.jpg").unlink()
    summary = await bench.run(rows, **JPEG)
    assert (summary.saved, summary.predictions, (bench.out / "red.jpg").is_file()) == (1, 0, True)
