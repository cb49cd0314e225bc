"""One prediction, several pictures: each preset has one of its own, and what has changed alone is made again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.events import Kind
from batch_removebg.ledger.events import Claimed
from batch_removebg.ledger.journal import look
from batch_removebg.run.settings import Settings
from batch_removebg.storage.layout import INDEX, LEDGER
from tests.support.bench import Bench, bench
from tests.support.doubles import photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
SQUARE = "canvas = [64, 64]\nformat = 'jpeg'\nbackground = 'white'\n"
LONG = "[required]\nlongest = { least = 70 }\n"
TALL = "canvas = [40, 60]\nformat = 'webp'\nbackground = 'grey'\n"


@pytest.fixture
def square(tmp_path: Path) -> str:
    return preset(tmp_path, "square", SQUARE)


@pytest.fixture
def tall(tmp_path: Path) -> str:
    return preset(tmp_path, "tall", TALL)


def preset(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


async def run(bench: Bench, *presets: str, **settings: Any) -> dict[str, tuple[int, bytes]]:
    """Runs, and gives the inode and the bytes of each picture in OUT."""
    assert (await bench.run(preset=presets, **settings)).exit_code == 0
    found = [
        path for form in ("jpg", "png", "webp") for path in bench.out.rglob(f"*.{form}") if ".batch" not in str(path)
    ]
    return {path.relative_to(bench.out).as_posix(): (path.stat().st_ino, path.read_bytes()) for path in found}


async def test_each_preset_has_its_picture_of_one_prediction_and_the_ledger_names_them(
    bench: Bench, square: str, tall: str
) -> None:
    bench.add("a.jpg", "sub/b.jpg")
    pictures = await run(bench, square, tall)
    assert sorted(pictures) == ["square/a.jpg", "square/sub/b.jpg", "tall/a.webp", "tall/sub/b.webp"]
    assert bench.provider.calls.count("create") == 2
    [saved, _] = sorted((line for line in bench.ledger() if line["event"] == "saved"), key=lambda line: line["item"])
    outputs = [(one["preset"], one["output"], one["width"], one["height"]) for one in saved["outputs"]]
    assert outputs == [("square", "square/a.jpg", 64, 64), ("tall", "tall/a.webp", 40, 60)]
    assert (saved["output"], saved["width"], saved["sha256"]) == ("square/a.jpg", 64, saved["outputs"][0]["sha256"])
    [entry] = [each for each in bench.results()["items"] if each["id"] == saved["item"]]
    assert entry["outputs"] == saved["outputs"]
    assert "square/a.jpg | tall/a.webp,saved" in (bench.out / "results.csv").read_text()


async def test_a_preset_that_comes_later_makes_its_own_pictures_alone_and_buys_nothing(
    bench: Bench, square: str, tall: str
) -> None:
    bench.add("a.jpg")
    first = await run(bench, square)
    both = await run(bench, square, tall)
    assert both["square/a.jpg"] == first["square/a.jpg"]
    assert sorted(both) == ["square/a.jpg", "tall/a.webp"]
    assert (await run(bench, square, tall), await run(bench, tall), await run(bench, square)) == (both, both, both)
    assert bench.provider.calls.count("create") == 1
    assert [line["event"] for line in bench.ledger()].count("saved") == 2


async def test_a_picture_without_preset_stays_beside_those_with_one_and_comes_back_unchanged(
    bench: Bench, square: str
) -> None:
    bench.add("a.jpg")
    plain = await run(bench)
    both = await run(bench, square)
    assert both["a.png"] == plain["a.png"]
    assert await run(bench) == both
    assert [one["preset"] for one in bench.results()["items"][0]["outputs"]] == ["square", ""]


async def test_what_is_missing_or_has_another_preset_is_made_again_alone(
    bench: Bench, square: str, tall: str, tmp_path: Path
) -> None:
    bench.add("a.jpg")
    first = await run(bench, square, tall)
    (bench.out / "tall" / "a.webp").unlink()
    second = await run(bench, square, tall)
    assert (second["square/a.jpg"], second["tall/a.webp"][1]) == (first["square/a.jpg"], first["tall/a.webp"][1])
    preset(tmp_path, "square", SQUARE.replace("white", "black"))
    third = await run(bench, square, tall)
    assert third["tall/a.webp"] == second["tall/a.webp"]
    assert third["square/a.jpg"][1] != second["square/a.jpg"][1]
    assert bench.provider.calls.count("create") == 1


async def test_another_photo_under_the_same_name_makes_all_pictures_again(bench: Bench, square: str, tall: str) -> None:
    bench.add("a.jpg")
    first = await run(bench, square, tall)
    (bench.photos / "a.jpg").write_bytes(photo(50, 40, (200, 10, 10)))
    second = await run(bench, square, tall)
    assert all(second[name][1] != first[name][1] for name in first)
    assert bench.provider.calls.count("create") == 2


async def test_what_a_killed_run_had_claimed_is_ours_and_keeps_its_names(bench: Bench, square: str, tall: str) -> None:
    bench.add("a.jpg")
    await run(bench, square)
    with closing(look(bench.out / LEDGER, bench.out / INDEX)) as fold:
        fold.apply(Claimed("a.jpg", "square/a.jpg", ("tall/a.webp",)))
        state = fold.items["a.jpg"]
        assert ([one.output for one in state.outputs], state.others) == (["square/a.jpg"], ("tall/a.webp",))
    line = '{"v":1,"t":"2026-01-31T02:00:00.123Z","event":"claimed","item":"a.jpg","output":"square/a.jpg",'
    with (bench.out / LEDGER).open("a") as ledger:
        ledger.write(line + '"others":["tall/a.webp"]}\n')
    (bench.out / "tall").mkdir()
    (bench.out / "tall" / "a.webp").write_bytes(b"written before the kill")
    pictures = await run(bench, square, tall)
    assert sorted(pictures) == ["square/a.jpg", "tall/a.webp"]
    assert pictures["tall/a.webp"][1] != b"written before the kill"


async def test_prune_leaves_the_pictures_of_every_preset(bench: Bench, square: str, tall: str) -> None:
    bench.add("a.jpg", "b.jpg")
    await run(bench, square, tall)
    (bench.photos / "b.jpg").unlink()
    assert sorted(await run(bench, square, tall, prune=True)) == ["square/a.jpg", "tall/a.webp"]


async def test_a_url_that_the_api_fetches_gives_all_presets_also_later_from_the_cutout_that_was_bought(
    bench: Bench, square: str, tall: str, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,image\na,https://shop.example/a.jpg\n")
    assert (await bench.run(str(manifest), preset=(square,))).exit_code == 0
    assert (await bench.run(str(manifest), preset=(square, tall))).exit_code == 0
    assert bench.provider.calls.count("create") == 1
    assert [one["output"] for one in bench.results()["items"][0]["outputs"]] == ["square/a.jpg", "tall/a.webp"]


async def test_a_cutout_that_needs_no_change_is_judged_by_its_preset_all_the_same(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,image\na,https://shop.example/a.jpg\n")
    shop = preset(tmp_path, "shop", "format = 'png'\n[required]\nlongest = { least = 5000 }\n")
    assert (await bench.run(str(tmp_path / "m.csv"), preset=(shop,))).exit_code == 0
    [item] = bench.results()["items"]
    assert (item["outputs"][0]["checks"], "shop:longest" in item["flags"]) == (
        {"longest": "fail", "subject": "pass"},
        True,
    )


async def test_a_shops_names_come_from_columns_where_the_row_has_them(bench: Bench, tmp_path: Path) -> None:
    bench.add("a b.jpg", "c.jpg")
    manifest = tmp_path / "m.csv"
    rows = f"id,image,GTIN\na b,{bench.photos}/a b.jpg,0123\nc,{bench.photos}/c.jpg,\n"
    manifest.write_text(rows)
    shop = preset(tmp_path, "shop", SQUARE + "name = '{gtin}.MAIN'\n")
    hyphens = preset(tmp_path, "hyphens", SQUARE + "[required]\nname = { any = ['[A-Za-z0-9-]+'] }\n")
    assert (await bench.run(str(manifest), preset=(shop, hyphens))).exit_code == 0
    outputs = sorted([one["output"] for one in item["outputs"]] for item in bench.results()["items"])
    assert outputs == [["shop/0123.MAIN.jpg", "hyphens/a-b.jpg"], ["shop/c.jpg", "hyphens/c.jpg"]]
    named = "is named shop/c.jpg, since its gtin is empty"
    warned = [event.text for event in bench.events if event.kind is Kind.WARNING and not event.item]
    first = f"(first: {bench.photos}/c.jpg {named})"
    assert warned == [f"1 × another name than was asked for {first}; each is noted in results.json"]
    [saved] = [line for line in bench.ledger() if line["event"] == "saved" and line["item"] == "c"]
    assert saved["notes"][0] == named


async def test_a_column_for_names_that_the_whole_manifest_lacks_is_said_once(bench: Bench, tmp_path: Path) -> None:
    bench.add("a.jpg", "b.jpg")
    shop = preset(tmp_path, "shop", SQUARE + "name = '{gtin}.{id}'\n")
    assert (await bench.run(preset=(shop,))).exit_code == 0
    said = "--preset shop: there is no column gtin, so its pictures are named by --name"
    assert [(event.item, event.text) for event in bench.events if event.kind is Kind.WARNING][:1] == [("", said)]


async def test_worth_a_look_are_the_pictures_of_this_run_and_not_those_of_other_presets(
    bench: Bench, tmp_path: Path
) -> None:
    bench.add("a.jpg")
    one, other = (
        preset(tmp_path, name, SQUARE + "[required]\nlongest = { least = 70 }\n") for name in ("one", "other")
    )
    await run(bench, one)
    summary = await bench.run(preset=(other,))
    flags = {group.kind for group in summary.flags if ":" in group.kind}
    assert {flag.partition(":")[0] for flag in flags} == {"other"}
    [item] = bench.results()["items"]
    assert {"one:longest", "other:longest"} <= set(item["flags"])


def test_what_agrees_with_a_preset_may_be_said_beside_it() -> None:
    same = {"format": "jpeg", "srgb": True, "canvas": "2000x2000", "background": "white", "quality": 90, "fill": "90%"}
    agreed = Settings(out=Path("out"), preset=("amazon",), given=frozenset(same), **same)
    assert agreed.finishes() == Settings(out=Path("out"), preset=("amazon",)).finishes()


async def test_a_name_that_a_shop_does_not_take_is_flagged_in_the_run(bench: Bench, tmp_path: Path) -> None:
    bench.add("a.jpg", "0123.jpg")
    rules = "[required]\nname = { any = ['[0-9]+'] }\nsuffix = { any = ['jpg'] }\n"
    summary = await bench.run(preset=(preset(tmp_path, "shop", SQUARE + rules),))
    assert summary.exit_code == 0
    found = {item["id"]: (item["outputs"][0]["checks"], item.get("flags", [])) for item in bench.results()["items"]}
    assert {key: checks for key, (checks, _) in found.items()} == {
        "a.jpg": {"name": "fail", "suffix": "pass", "subject": "pass"},
        "0123.jpg": {"name": "pass", "suffix": "pass", "subject": "pass"},
    }
    assert {key: "shop:name" in flags for key, (_, flags) in found.items()} == {"a.jpg": True, "0123.jpg": False}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": ("amazn",)}, "--preset: there is no preset 'amazn'; did you mean amazon"),
        ({"preset": ("amazon", "ebay", "amazon")}, "--preset amazon is given twice"),
        ({"preset": ("amazon",), "background": "black"}, "--preset amazon says itself what --background says"),
        ({"preset": ("amazon",), "mask_only": True}, "--preset amazon makes pictures, not masks"),
        ({"preset": ("amazon",), "given": {"format"}}, "--preset amazon says itself what --format says"),
        ({"preset": ("amazon",), "canvas": "2000x1999"}, "--preset amazon says itself what --canvas says"),
        ({"preset": ("amazon",), "lossless": True}, "--preset amazon makes jpeg: leave --lossless out"),
        ({"scale_equal": "area"}, "--scale-equal needs --scale-group"),
    ],
)
def test_what_contradicts_a_preset_is_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{said}"):
        Settings(out=Path("out"), **settings)
