"""One scale for a set: items of a group have the same factor and the same base line, and are bought once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batch_removebg.errors import SettingsError
from batch_removebg.events import Kind
from batch_removebg.model import CreateRequest, Prediction, Status
from batch_removebg.run.settings import Settings
from tests.support.bench import Bench, bench
from tests.support.doubles import encoded, photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
BOXES = {(100, 100): (30, 10, 70, 90), (120, 100): (50, 40, 70, 60), (90, 100): (35, 30, 55, 70)}
"""Subjects by the size of their photos: 40×80, 20×20 and 20×40 pixels."""
CANVAS = {"canvas": "60x60", "scale_group": "family", "refine": "none", "trim_specks": "0"}


@pytest.fixture
def set_of_three(bench: Bench, tmp_path: Path) -> Path:
    """A manifest: a tall thing and a small one of a family, and one of another."""

    def succeed(request: CreateRequest) -> Prediction:
        size = Image.open(io.BytesIO(bench.provider.uploads[request.image])).size
        cutout = Image.new("RGBA", size)
        cutout.paste((200, 40, 90, 255), BOXES[size])
        name = f"p{len(bench.provider.outputs)}"
        bench.provider.outputs[f"https://out.example/{name}.png"] = encoded(cutout, "PNG")
        output = f"https://out.example/{name}.png"
        return Prediction(name, Status.SUCCEEDED, output=output, image=request.image)

    bench.provider.succeed = succeed  # type: ignore[method-assign]  # subjects of known sizes
    for name, size in zip(("tall", "small", "other"), BOXES, strict=True):
        (bench.photos / f"{name}.jpg").write_bytes(photo(*size))
    rows = ("tall,tall.jpg,a", "small,small.jpg,a", "other,other.jpg,b")
    manifest = bench.photos / "m.csv"
    manifest.write_text("\n".join(("id,image,family", *rows)) + "\n")
    return manifest


def boxes(bench: Bench) -> dict[str, tuple[int, ...] | None]:
    """Where each subject lies in its picture."""
    return {path.stem: Image.open(path).getchannel("A").getbbox() for path in bench.out.glob("*.png")}


async def test_a_group_has_the_factor_of_its_largest_subject_and_one_base_line(
    bench: Bench, set_of_three: Path
) -> None:
    summary = await bench.run(str(set_of_three), **CANVAS)
    assert (summary.exit_code, summary.predictions, summary.reused) == (0, 3, 0)
    assert (summary.saved, summary.skipped) == (3, 0)
    assert boxes(bench) == {"tall": (15, 0, 45, 60), "small": (23, 45, 38, 60), "other": (20, 20, 40, 60)}
    assert bench.provider.calls.count("create") == 3


async def test_an_item_in_no_group_lies_as_it_would_without_groups(bench: Bench, set_of_three: Path) -> None:
    set_of_three.write_text(set_of_three.read_text().replace("other.jpg,b", "other.jpg,"))
    await bench.run(str(set_of_three), **CANVAS | {"canvas": "100x100"})
    assert boxes(bench) == {"tall": (30, 20, 70, 100), "small": (40, 80, 60, 100), "other": (40, 30, 60, 70)}


async def test_equal_area_gives_each_subject_of_a_group_as_many_pixels(bench: Bench, set_of_three: Path) -> None:
    await bench.run(str(set_of_three), scale_equal="area", **CANVAS)
    sizes = {name: (box[2] - box[0]) * (box[3] - box[1]) for name, box in boxes(bench).items() if box}
    assert (sizes["small"], sizes["tall"]) == (20 * 20, 14 * 28)


@pytest.mark.parametrize(
    ("equal", "side", "sizes"),
    [
        ("scale", 100, {"tall": (40, 80), "small": (20, 20), "other": (20, 40)}),
        ("area", 36, {"tall": (14, 28), "small": (20, 20), "other": (20, 40)}),
    ],
)
async def test_a_canvas_that_a_whole_group_is_too_small_for_shrinks_alike_for_all_of_it(
    bench: Bench, set_of_three: Path, tmp_path: Path, equal: str, side: int, sizes: dict[str, tuple[int, int]]
) -> None:
    (tmp_path / "own.toml").write_text(
        "canvas = [200, 200]\nfill = 0.8\nformat = 'png'\n[required]\nlongest = { least = 20 }\n"
    )
    own = {"preset": (str(tmp_path / "own.toml"),), "refine": "none", "trim_specks": "0"}
    await bench.run(str(set_of_three), scale_group="family", scale_equal=equal, **own)
    pictures = {path.stem: Image.open(path) for path in (bench.out / "own").glob("*.png")}
    boxes = {name: picture.getchannel("A").getbbox() or (0, 0, 0, 0) for name, picture in pictures.items()}
    assert {name: (box[2] - box[0], box[3] - box[1]) for name, box in boxes.items()} == sizes
    assert {name: picture.size for name, picture in pictures.items()} == {
        **dict.fromkeys(("tall", "small"), (side, side)),
        "other": (50, 50),
    }
    assert boxes["tall"][3] == boxes["small"][3]


async def test_a_second_run_has_nothing_to_do_and_a_new_member_moves_its_group_alone(
    bench: Bench, set_of_three: Path
) -> None:
    first = [line for line in set_of_three.read_text().splitlines(keepends=True) if not line.startswith("tall")]
    whole = set_of_three.read_text()
    set_of_three.write_text("".join(first))
    await bench.run(str(set_of_three), **CANVAS)
    before = boxes(bench)
    assert before == {"small": (20, 40, 40, 60), "other": (20, 20, 40, 60)}
    assert (await bench.run(str(set_of_three), **CANVAS)).skipped == 2
    set_of_three.write_text(whole)
    summary = await bench.run(str(set_of_three), **CANVAS)
    assert (summary.skipped, summary.predictions, summary.reused) == (1, 1, 1)
    assert boxes(bench) == {"tall": (15, 0, 45, 60), "small": (23, 45, 38, 60), "other": (20, 20, 40, 60)}


async def test_a_group_with_a_failed_item_is_made_of_the_others(bench: Bench, set_of_three: Path) -> None:
    (bench.photos / "tall.jpg").write_bytes(b"no picture")
    summary = await bench.run(str(set_of_three), **CANVAS)
    assert (summary.saved, summary.failed, summary.exit_code) == (2, 1, 3)
    assert boxes(bench)["small"] == (20, 40, 40, 60)


async def test_what_the_two_passes_made_and_had_on_hand_is_counted_once(bench: Bench, set_of_three: Path) -> None:
    await bench.run(str(set_of_three), refine="none")
    set_of_three.write_text(set_of_three.read_text().replace("other.jpg,b", "other.jpg,"))
    summary = await bench.run(str(set_of_three), **CANVAS)
    assert (summary.saved, summary.skipped, summary.reused, summary.predictions) == (3, 0, 3, 0)
    summary = await bench.run(str(set_of_three), **CANVAS)
    assert (summary.saved, summary.skipped, summary.reused, summary.predictions) == (3, 3, 0, 0)


async def test_the_two_passes_spend_one_budget(bench: Bench, set_of_three: Path) -> None:
    summary = await bench.run(str(set_of_three), max_predictions=2, **CANVAS)
    assert (summary.exit_code, summary.predictions, summary.pending) == (4, 2, 1)
    summary = await bench.run(str(set_of_three), max_predictions=1, price=0.5, **CANVAS)
    assert (summary.exit_code, summary.predictions, bench.provider.bill, summary.cost) == (0, 1, 3, 0.5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale_group": "sku"}, "--scale-group needs --canvas, or a preset with one"),
        ({"scale_group": "sku", "aspect": "1:1"}, "--scale-group needs --canvas, or a preset with one"),
    ],
)
def test_groups_need_a_canvas(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{said}"):
        Settings(out=Path("out"), **settings)


async def test_a_column_that_is_not_there_stops_the_run_before_anything_is_bought(
    bench: Bench, set_of_three: Path
) -> None:
    with pytest.raises(SettingsError, match=r"^--scale-group sku: tall has no such column; there are: family\Z"):
        await bench.run(str(set_of_three), **CANVAS | {"scale_group": "sku"})


async def test_of_each_picture_is_told_what_became_of_the_last_one_and_all_else_once(
    bench: Bench, set_of_three: Path
) -> None:
    (bench.photos / "other.jpg").write_bytes(b"no picture")
    await bench.run(str(set_of_three), **CANVAS | {"canvas": "200x200"})
    remarks = [event for event in bench.events if event.kind in (Kind.NOTE, Kind.WARNING)]
    assert sorted((event.item, event.text.partition(";")[0].partition(str(set_of_three))[0]) for event in remarks) == [
        ("", ""),
        ("", "pictures are made twice where one scale in each family needs it"),
        ("small", "source too small: fill 10% instead of 25%"),
        ("tall", "source too small: fill 40% instead of 100%"),
    ]
    assert [event.count for event in bench.events if event.kind is Kind.TOTAL] == [6, 6]
    assert [event.item for event in bench.events if event.kind is Kind.FAILED] == ["other"]
