"""Presets as data: what is shipped is sound, and what is wrong with one of the user's own is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.finish.layout import Subject, layout
from batch_removebg.finish.options import Finish, Geometry
from batch_removebg.finish.presets import SHIPPED, Preset, Rule, finish_of, known, shipped

ASKED_FOR = (
    *("amazon", "amazon-zoom", "ebay", "google", "google-apparel", "walmart", "shopify", "etsy", "zalando", "otto"),
    *("vtex", "tiktok-shop", "temu", "taobao", "jd"),
)
OFFICIAL = {"amazon", "amazon-zoom", "ebay", "google", "google-apparel", "walmart", "zalando", "vtex"}


def own(tmp_path: Path, text: str) -> Preset:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return known(str(path))


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        own(tmp_path, text)
    return str(refused.value).removeprefix(f"{tmp_path / 'mine.toml'}")


def test_the_presets_that_were_asked_for_are_there() -> None:
    assert set(ASKED_FOR) <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_each_preset_has_a_title_rules_with_source_standing_and_day_and_what_is_not_checked(name: str) -> None:
    preset = shipped()[name]
    assert (preset.preset, preset.file, bool(preset.title), bool(preset.not_checked)) == (name, "", True, True)
    rules = list(preset.rules())
    assert len(rules) >= 3
    for level, about, rule in rules:
        assert rule.source, (level, about)
        assert re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", rule.read or ""), (level, about)
        assert rule.standing in ("official", "reported"), (level, about)
    assert ("official" in {rule.standing for _, _, rule in rules}) == (name in OFFICIAL)


@pytest.mark.parametrize("name", shipped())
def test_each_preset_makes_pictures_that_its_own_rules_allow(name: str) -> None:
    preset = shipped()[name]
    assert preset.canvas is not None
    assert (preset.format, preset.colours, preset.metadata) == ("jpeg", "srgb", "strip")
    assert preset.quality is not None
    assert preset.quality >= 90
    width, height = preset.canvas
    made = {
        "longest": max(width, height),
        "shortest": min(width, height),
        "width": width,
        "height": height,
        "megapixels": width * height / 1e6,
        "fill": preset.fill,
        "quality": preset.quality,
        "frames": 1,
    }
    words = {"format": "jpeg", "suffix": "jpg", "background": preset.background, "mode": "RGB", "profile": "sRGB"}
    for level, about, rule in preset.rules():
        if about == "aspect":
            sides = [tuple(map(float, each.split(":"))) for each in rule.any]
            assert any(abs(width * down - height * across) <= max(across, down) for across, down in sides)
        elif about == "name":
            assert preset.name is None or re.fullmatch(rule.any[0], preset.name.format(gtin="00012345678905"))
        elif about == "bytes":
            assert level == "recommended" or rule.most is None or preset.bytes_most == rule.most
            assert rule.least in (None, preset.bytes_least)
        elif not rule.any:
            assert (rule.least or 0) <= (made[about] or 0) <= (rule.most or 1e9), (level, about)
        else:
            assert words[about] in rule.any, (level, about)


def test_a_preset_binds_what_it_names_and_leaves_the_rest_to_the_run() -> None:
    base = Finish(edges="keep", refine="none", effort=7, metadata="keep")
    made = finish_of(shipped()["taobao"], base)
    assert made == Finish(
        format="jpeg",
        background=(255, 255, 255),
        quality=92,
        colours="srgb",
        effort=7,
        edges="keep",
        refine="none",
        geometry=Geometry(canvas=(800, 800), fill=0.9, canvas_least=800),
        bytes_least=38_000,
        bytes_most=300_000,
        side_least=800,
        preset="taobao",
    )
    assert made.cut == finish_of(shipped()["jd"], base).cut, "one cut serves both"


@pytest.mark.parametrize("name", shipped())
def test_a_canvas_shrinks_only_as_far_as_every_required_side_is_kept(name: str) -> None:
    preset = shipped()[name]
    made = finish_of(preset, Finish())
    tiny = layout(Subject((0, 0, 90, 90)), (90, 90), made.geometry)
    width, height = tiny.canvas
    sides = {"longest": max(width, height), "shortest": min(width, height), "width": width, "height": height}
    least = {about: rule.least for about, rule in preset.required.items() if about in sides and rule.least}
    assert all(sides[about] >= most for about, most in least.items())
    assert not least or min(sides[about] - most for about, most in least.items()) <= 1, "and no less"
    assert made.side_least in (1, made.geometry.canvas_least)


def test_the_options_that_a_preset_binds_are_told_by_name() -> None:
    assert dict(shipped()["walmart"].bound) == {
        "canvas": (2200, 2200),
        "fill": 0.9,
        "background": "white",
        "format": "jpeg",
        "quality": 90,
        "colours": "srgb",
        "metadata": "strip",
        "bytes_most": 5_000_000,
    }


def test_a_preset_of_ones_own_is_a_file_with_the_same_keys(tmp_path: Path) -> None:
    preset = own(tmp_path, 'title = "Mine"\naspect = [4, 5]\n[required]\nfill = { least = 0.8 }\n')
    assert (preset.preset, preset.title, preset.bound) == ("mine", "Mine", {"aspect": (4, 5)})
    [(level, about, rule)] = preset.rules()
    assert (level, about) == ("required", "fill")
    assert rule == Rule(least=0.8, standing="reported", source=str(tmp_path / "mine.toml"), read="")
    made = finish_of(preset, Finish())
    assert (made.preset, known(made.preset_file), made.format) == ("mine", preset, "png")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('title = "x"\nfil = 0.8', "line 2: there is no 'fil'; did you mean fill?"),
        ("[required]\n\nlongset = { least = 3 }", "line 3: required: there is no 'longset'; did you mean longest?"),
        ("[required.fill]\nleast = 1\nmosst = 1", "line 3: required: there is no 'mosst'; did you mean most?"),
        ('[required]\nfill = { least = "a" }\n[recommended]', "line 2: required.least: Expected float, got str"),
        ("[required]\nfill = 3", "line 2: required: Expected object, got int"),
        ("[required]\nfill = {}", "line 2: required.fill: it is about a number: give least, most or both"),
        (
            "[required]\nmode = { least = 8 }",
            "line 2: required.mode: it is about a word: give any, a list of those that are allowed",
        ),
        ("[required]\nfill = { least = 2, most = 1 }", "line 2: required.fill: least is above most"),
        (
            '[required]\nfill = { least = 1, standing = "x" }',
            "line 2: required.standing: there is no 'x': give official, reported",
        ),
        ('format = "bmp"', "line 1: format: there is no 'bmp': give png, webp, jpeg, tiff, avif"),
        ("margin = 3", f"line 1: there is no 'margin': see the head of {SHIPPED}"),
        (
            '[required]\nbackground = { any = ["black"] }',
            "line 2: required.background: 'black' is not one of white|transparent",
        ),
        (
            '[required]\naspect = { any = ["1x1"] }',
            "line 2: required.aspect: '1x1' is not such as 4:3",
        ),
        ('[required]\nname = { any = ["*"] }', "line 2: nothing to repeat at position 0"),
        ('format = "jpg"', "line 1: format: there is no 'jpg'; did you mean jpeg?"),
        ('canvas = [\n  "800",\n  800,\n]\nfill = 0.5', "line 4: canvas[0]: Expected int, got str"),
        (
            "canvas = [800, 800]\naspect = [1, 1]",
            "line 2: --canvas and --aspect: give one of them; a canvas has its aspect",
        ),
        ("fill = 1.5", "line 1: fill: Expected float <= 1.0"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line_and_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text) == f", {said}"


def test_a_file_that_is_no_toml_or_takes_a_known_name_or_is_missing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "fill = = 2") == " can't be read: Invalid value (at line 1, column 8)"
    taken = tmp_path / "ebay.toml"
    taken.touch()
    with pytest.raises(SettingsError, match="ebay is the name of a preset that is known; give the file another name"):
        known(str(taken))
    with pytest.raises(SettingsError, match=r"none\.toml can't be read: No such file or directory"):
        known(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("amazn", "did you mean amazon or amazon-zoom?"),
        ("Ebay", "did you mean ebay?"),
        ("qqq", f"known are {', '.join(ASKED_FOR)}."),
    ],
)
def test_an_unknown_preset_is_refused_with_the_nearest_names(word: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refused:
        known(word)
    said = f"there is no preset {word!r}; {remedy} One of your own is a .toml file: see the head of {SHIPPED}"
    assert str(refused.value) == said
