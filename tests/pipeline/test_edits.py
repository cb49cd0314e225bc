"""An alpha that somebody touched up is what every later run makes pictures of, until it is given up."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_removebg.ledger.decisions import Decisions, Edited
from batch_removebg.matting.matte import encode_matte
from batch_removebg.model import Matte
from batch_removebg.pipeline.edits import Edits
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from tests.pipeline.test_sharing import copies, urls
from tests.support.bench import Bench, bench
from tests.support.doubles import cutout, photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
SHOP = "format = 'png'\ncanvas = [{0}, {0}]\n"


def edit(bench: Bench, item: str, level: int | None = 77, size: tuple[int, int] = (40, 30)) -> str | None:
    """Put an edit on record: everything has that alpha; None gives it up. Returns its sha256."""
    line = next(line for line in reversed(bench.ledger()) if line["event"] == "saved" and line["item"] == item)
    decisions, content = Decisions.read(bench.out), line.get("source_sha256") or line["fingerprint"]
    edits, alpha = Edits.of(decisions), None
    if level is not None:
        alpha = edits.keep(encode_matte(Matte(np.full(size[::-1], level, np.uint8))))
    decisions.append([Edited(item=item, content=content, alpha=alpha)], "2027-01-15T08:00:00.000Z")
    return alpha


def alphas(bench: Bench, name: str) -> set[int]:
    with Image.open(bench.out / name) as picture:
        return {value for _, value in picture.convert("RGBA").getchannel("A").getcolors() or []}


def last(bench: Bench, item: str) -> dict[str, Any]:
    return next(each for each in bench.results()["items"] if each["id"] == item)


async def test_an_edit_made_after_a_run_is_a_picture_after_the_next_and_nothing_is_bought(bench: Bench) -> None:
    bench.add("a.jpg", "bb.jpg")
    await bench.run()
    alpha = edit(bench, "a.jpg")
    summary = await bench.run()
    assert (summary.saved, summary.skipped, summary.reused, summary.predictions) == (2, 1, 1, 0)
    assert (alphas(bench, "a.png"), alphas(bench, "bb.png")) == ({77}, {128})
    assert [line["edited"] for line in bench.ledger() if "edited" in line] == [alpha]
    assert (last(bench, "a.jpg")["edited"], "edited" in last(bench, "bb.jpg")) == (True, False)
    assert (await bench.run()).skipped == 2


@pytest.mark.parametrize(
    "again", [{"format": "webp", "lossless": True}, {"force": ()}, {"proxy_size": 64}, {"buy_again": True}]
)
async def test_other_formats_models_and_force_follow_the_edit(bench: Bench, again: dict[str, Any]) -> None:
    bench.add("a.jpg")
    await bench.run()
    edit(bench, "a.jpg")
    summary = await bench.run(**again)
    assert (summary.saved, summary.reused, summary.predictions) == (1, 1, 0)
    assert alphas(bench, "a.webp" if "format" in again else "a.png") == {77}


async def test_all_presets_of_an_item_follow_the_edit(bench: Bench, tmp_path: Path) -> None:
    bench.add("a.jpg")
    for side in (50, 60):
        (tmp_path / f"s{side}.toml").write_text(SHOP.format(side))
    presets = tuple(str(tmp_path / f"s{side}.toml") for side in (50, 60))
    await bench.run(preset=presets)
    edit(bench, "a.jpg")
    assert (await bench.run(preset=presets)).reused == 1
    assert (alphas(bench, "s50/a.png"), alphas(bench, "s60/a.png")) == ({0, 77}, {0, 77})
    assert (await bench.run(preset=presets)).skipped == 1


async def test_every_item_with_the_same_content_follows_the_edit_of_one(bench: Bench) -> None:
    copies(bench, "a.jpg", "b.jpg")
    await bench.run()
    edit(bench, "b.jpg")
    summary = await bench.run()
    assert (summary.skipped, summary.reused, alphas(bench, "a.png"), alphas(bench, "b.png")) == (0, 2, {77}, {77})


async def test_an_edit_given_up_leaves_the_picture_that_was_bought(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    before = (bench.out / "a.png").read_bytes()
    edit(bench, "a.jpg")
    await bench.run()
    edit(bench, "a.jpg", None)
    summary = await bench.run()
    assert (summary.reused, summary.predictions, (bench.out / "a.png").read_bytes()) == (1, 0, before)
    assert "edited" not in bench.ledger()[-2]


async def test_an_edit_is_no_edit_of_a_source_that_was_replaced_and_that_is_noted(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    edit(bench, "a.jpg")
    await bench.run()
    (bench.photos / "a.jpg").write_bytes(photo(40, 30, (1, 2, 3)))
    assert (await bench.run()).predictions == 1
    assert alphas(bench, "a.png") == {128}
    assert "touched up" in last(bench, "a.jpg")["notes"][0]
    assert (await bench.run()).skipped == 1


async def test_the_cutout_of_a_url_gets_the_edit_laid_over_its_own_pixels_and_back(
    bench: Bench, tmp_path: Path
) -> None:
    rows = urls(tmp_path, "https://shop.example/a.jpg,red", "https://shop.example/a.jpg,twin")
    await bench.run(rows)
    edit(bench, "red")
    summary = await bench.run(rows)
    assert (summary.saved, summary.skipped, summary.reused, summary.predictions) == (2, 0, 2, 0)
    with Image.open(bench.out / "red.png") as made:
        assert made.getpixel((3, 3)) == (200, 40, 90, 77)
    assert (bench.out / "twin.png").read_bytes() == (bench.out / "red.png").read_bytes()
    for more in ({"force": ()}, {"format": "tiff"}, {"buy_again": True}):
        assert (await bench.run(rows, **more)).predictions == 0  # type: ignore[arg-type]
        assert alphas(bench, "red.tiff" if "format" in more else "red.png") == {77}
    edit(bench, "red", None)
    assert (await bench.run(rows)).predictions == 0
    assert (bench.out / "red.png").read_bytes() == (bench.out / "twin.png").read_bytes() == cutout()


async def test_an_edit_whose_file_is_gone_fails_its_item_and_leaves_the_picture(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    edit(bench, "a.jpg")
    await bench.run()
    before = (bench.out / "a.png").read_bytes()
    shutil.rmtree(bench.out / ".batch-removebg/edits")
    assert (await bench.run()).skipped == 1
    summary = await bench.run(format="webp")
    assert (summary.failed, summary.predictions) == (1, 0)
    assert "touch it up again" in summary.failures[0].examples[0][1]
    assert (bench.out / "a.png").read_bytes() == before


async def test_a_dry_run_tells_of_edits_as_made_from_what_is_there(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    edit(bench, "a.jpg")
    given = Settings(out=bench.out, provider="replicate", base_url="http://127.0.0.1:9/v1", proxy_size=64)
    assert preview([str(bench.photos)], given, lambda _: None) == Counter(total=1, done=0, left=0, kept=1)


async def test_a_picture_that_follows_the_edit_has_the_sources_own_pixels(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(edges="keep")
    edit(bench, "a.jpg", 255)
    await bench.run(edges="keep")
    with Image.open(bench.out / "a.png") as made, Image.open(io.BytesIO((bench.photos / "a.jpg").read_bytes())) as own:
        assert made.convert("RGB").tobytes() == own.convert("RGB").tobytes()


async def test_an_edited_picture_is_never_taken_for_what_was_bought(bench: Bench, tmp_path: Path) -> None:
    rows = urls(tmp_path, "https://shop.example/a.jpg,red")
    await bench.run(rows)
    edit(bench, "red")
    await bench.run(rows)
    shutil.rmtree(bench.out / ".batch-removebg/alpha")
    edit(bench, "red", None)
    assert (await bench.run(rows)).predictions == 1
    assert (bench.out / "red.png").read_bytes() == cutout()
