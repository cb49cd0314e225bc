"""A drawn picture that meets every rule of a preset, and one fault each: exactly that rule fails, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from batch_removebg.errors import SourceError
from batch_removebg.finish import finish as module
from batch_removebg.finish.compliance import Check, brief, failed, judge
from batch_removebg.finish.facts import measure_file
from batch_removebg.finish.options import Finish
from batch_removebg.finish.presets import Preset, Rule, shipped
from batch_removebg.imaging.format import Limits
from batch_removebg.model import Matte
from tests.support.pictures import cmyk_profile, encoded, swapped_profile

LIMITS = Limits()
SHOP = Preset(
    preset="shop",
    source="drawn",
    read="2026-11",
    required={
        "background": Rule(any=("white",)),
        "fill": Rule(least=0.85),
        "longest": Rule(least=500, most=1000),
        "aspect": Rule(any=("1:1", "3:2")),
        "format": Rule(any=("jpeg", "png", "gif", "webp")),
        "suffix": Rule(any=("jpg", "png", "gif", "webp")),
        "bytes": Rule(least=200, most=300_000),
        "mode": Rule(any=("RGB", "grey")),
        "profile": Rule(any=("sRGB",)),
        "frames": Rule(most=1),
        "name": Rule(any=(r"\d{13}\.MAIN",), like="4006381333931.MAIN"),
    },
    recommended={"quality": Rule(least=90), "longest": Rule(least=600)},
)
NAME = PurePath("4006381333931.MAIN.jpg")


def drawn(
    side: int = 600, box: tuple[int, int, int, int] = (60, 30, 540, 570), colour: Any = (180, 30, 40)
) -> Image.Image:
    """A subject on white: a box of left, top, right and bottom."""
    picture = Image.new("RGB", (side, side), "white")
    picture.paste(colour, box)
    return picture


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    return encoded(picture, "JPEG", **{"quality": 92, "subsampling": 0} | options)


def checks(data: bytes, name: str | None = str(NAME), alpha: npt.NDArray[np.uint8] | None = None) -> dict[str, Check]:
    facts = measure_file(data, LIMITS, name=None if name is None else PurePath(name), alpha=alpha)
    return {f"{check.level} {check.rule}": check for check in judge(facts, SHOP)}


def faults(*given: Any) -> dict[str, str]:
    """What was measured where a rule was not met."""
    return {which: check.measured for which, check in checks(*given).items() if check.status == "fail"}


def with_pixel(x: int, y: int, colour: Any, *, side: int = 600) -> Image.Image:
    picture = drawn(side)
    picture.putpixel((x, y), colour)
    return picture


def test_a_sound_picture_passes_every_rule_and_each_says_what_it_asks_and_what_was_found() -> None:
    found = checks(jpeg(drawn()))
    assert {check.status for check in found.values()} == {"pass"}
    assert found["required longest"] == Check(
        rule="longest",
        level="required",
        status="pass",
        expected="500 to 1,000 px",
        measured="600 px",
        fix="",
        standing="reported",
        source="drawn",
        read="2026-11",
    )
    said = {which.split()[1]: (check.expected, check.measured) for which, check in found.items()}
    assert said["fill"] == ("at least 85 %", "90.00% of the height (72% of the area)")
    assert said["aspect"] == ("1:1 or 3:2", "600:600")
    assert said["name"] == ("a name like 4006381333931.MAIN", "4006381333931.MAIN")
    assert said["quality"] == ("at least 90", "92")


OTHER = "1 of 28,224 pixels of the border aren't 255 in every channel, the darkest is"
TRANSPARENT = Image.merge("RGBA", (*drawn().split(), drawn().convert("L").point(lambda level: 255 * (level < 250))))
FAULTS: Mapping[str, tuple[bytes, str, dict[str, str]]] = {
    "a pixel of the border is 254": (
        encoded(with_pixel(599, 0, (255, 254, 255))),
        "4006381333931.MAIN.png",
        {"required background": f"{OTHER} 254"},
    ),
    "a corner is grey": (
        encoded(with_pixel(0, 599, (250, 250, 250))),
        "4006381333931.MAIN.png",
        {"required background": f"{OTHER} 250"},
    ),
    "too little of the frame": (
        jpeg(drawn(box=(60, 60, 540, 500))),
        str(NAME),
        {"required fill": "80.00% of the width (59% of the area)"},
    ),
    "too small": (
        jpeg(drawn(480, (24, 24, 456, 456))),
        str(NAME),
        {"required longest": "480 px", "recommended longest": "480 px"},
    ),
    "another shape": (jpeg(drawn().crop((0, 0, 600, 598))), str(NAME), {"required aspect": "600:598"}),
    "a format that isn't taken": (
        encoded(drawn(), "BMP"),
        "4006381333931.MAIN.bmp",
        {
            "required format": "bmp",
            "required suffix": "bmp",
            "required bytes": "1,080,054 bytes",
        },
    ),
    "a name that ends in another format": (
        encoded(drawn()),
        str(NAME),
        {"required format": "png, though its name ends in jpg"},
    ),
    "a name without an ending": (
        jpeg(drawn()),
        "shoe",
        {
            "required format": "jpeg, though its name ends in nothing",
            "required suffix": "nothing",
            "required name": "shoe",
        },
    ),
    "too many bytes": (
        jpeg(drawn()) + bytes(300_000),
        str(NAME),
        {"required bytes": f"{len(jpeg(drawn())) + 300_000:,} bytes"},
    ),
    "transparent": (
        encoded(TRANSPARENT),
        "4006381333931.MAIN.png",
        {"required background": "transparent", "required mode": "RGB with alpha"},
    ),
    "four inks": (
        encoded(drawn().convert("CMYK"), "JPEG", quality=92, icc_profile=cmyk_profile()),
        str(NAME),
        {"required mode": "CMYK", "required profile": "another"},
    ),
    "another profile": (
        jpeg(drawn(), icc_profile=swapped_profile()),
        str(NAME),
        {"required profile": "another"},
    ),
    "animated": (
        encoded(drawn(), "GIF", save_all=True, append_images=[drawn(colour=(0, 0, 0))]),
        "4006381333931.MAIN.gif",
        {"required frames": "2"},
    ),
    "badly compressed": (jpeg(drawn(), quality=75), str(NAME), {"recommended quality": "75"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_own_rule_and_no_other(fault: str) -> None:
    data, name, found = FAULTS[fault]
    assert faults(data, name) == found
    assert all(check.fix for check in checks(data, name).values() if check.status == "fail")


def test_white_is_judged_exactly_from_four_blocks_on_and_with_a_tolerance_nearer_to_the_subject() -> None:
    close = drawn(box=(60, 16, 540, 584))  # the border is 12 pixels
    assert "required background" in faults(jpeg(drawn(box=(60, 6, 540, 584)))), "the subject is in the border"
    for colour, status in ((232, {}), (231, {"required background": f"{OTHER} 231"})):
        picture = close.copy()
        picture.putpixel((300, 2), (colour, 255, 255))
        assert faults(encoded(picture), "4006381333931.MAIN.png") == status
    picture = close.copy()
    picture.putpixel((2, 300), (254, 255, 255))  # 58 pixels from the subject
    assert faults(encoded(picture), "4006381333931.MAIN.png") == {"required background": f"{OTHER} 254"}


def test_a_subject_at_the_frame_fails_white_whether_its_alpha_is_known_or_not() -> None:
    picture, alpha = drawn(box=(60, 0, 540, 580)), np.zeros((600, 600), np.uint8)
    alpha[:580, 60:540] = 255
    for known in (None, alpha):
        assert set(faults(jpeg(picture), str(NAME), known)) == {"required background"}
    assert checks(jpeg(picture), str(NAME), alpha)["required fill"].measured == "96.67% of the height (77% of the area)"
    clear = picture.copy()
    clear.putalpha(Image.fromarray(alpha))
    for known in (None, alpha):
        assert measure_file(encoded(clear), LIMITS, alpha=known).values["background"] == "transparent"


def test_the_subjects_own_alpha_tells_its_size_where_it_is_as_white_as_the_ground() -> None:
    alpha = np.zeros((600, 600), np.uint8)
    alpha[30:570, 60:540] = 255
    white = jpeg(drawn(box=(297, 297, 303, 303)))
    assert faults(white) == {"required fill": "1.00% of the height (0% of the area)"}
    assert faults(white, str(NAME), alpha) == {}


def test_what_cannot_be_measured_is_skipped_and_never_passed() -> None:
    found = checks(jpeg(drawn().point(lambda level: level * 9 // 10)), None)
    assert {which: check.measured for which, check in found.items() if check.status == "skipped"} == {
        "required fill": "can't be told: there is no alpha, and the ground isn't white",
        "required subject": "can't be told: there is no alpha, and the ground isn't white",
        "required suffix": "not known here",
        "required name": "not known here",
    }
    assert checks(encoded(drawn()))["recommended quality"].status == "skipped"


def test_every_way_of_reading_the_border_sees_the_same() -> None:
    alpha = np.zeros((600, 600), np.uint8)
    alpha[30:570, 60:540] = 255
    for form, options in (("JPEG", {"quality": 92}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        for x, y in ((0, 0), (599, 599), (3, 300), (595, 300), (300, 598)):
            data = encoded(with_pixel(x, y, (0, 0, 0)), form, **options)
            seen, known = (measure_file(data, LIMITS, alpha=each) for each in (None, alpha))
            assert seen.values["background"] == known.values["background"] == "another", (form, x, y)
            assert seen.words["background"] == known.words["background"]


@pytest.mark.parametrize("preset", shipped())
def test_nothing_but_ground_fails_every_shop(preset: str) -> None:
    blank, alpha = Image.new("RGB", (600, 600), "white"), np.zeros((600, 600), np.uint8)
    clear = Image.new("RGBA", (600, 600))
    cases = [(jpeg(blank), None), (jpeg(blank), alpha), (jpeg(blank), alpha + 255), (encoded(clear), None)]
    cases.append((jpeg(drawn()), alpha))
    for data, known in cases:
        assert "subject" in failed(judge(measure_file(data, LIMITS, alpha=known), shipped()[preset]))
    assert brief(judge(measure_file(jpeg(drawn()), LIMITS), shipped()[preset]))["subject"] == "pass"
    unsure = jpeg(drawn().point(lambda level: level * 9 // 10))
    assert brief(judge(measure_file(unsure, LIMITS), shipped()[preset]))["subject"] == "skipped"


@pytest.mark.parametrize("side", [1, 2, 7, 49, 51])
def test_tiny_pictures_are_measured(side: int) -> None:
    facts = measure_file(encoded(Image.new("RGB", (side, 3), "white")), LIMITS)
    assert (facts.values["background"], facts.values["fill"]) == ("white", 0.0)


def test_a_file_that_is_no_picture_or_cut_short_is_refused() -> None:
    with pytest.raises(SourceError, match="is not a picture"):
        measure_file(b"<html>", LIMITS)
    with pytest.raises(SourceError, match="damaged or cut short"):
        measure_file(jpeg(drawn())[:3000], LIMITS)


def test_what_failed_and_a_word_for_each_rule() -> None:
    facts = measure_file(jpeg(drawn(480, (24, 24, 456, 400)), quality=70), LIMITS, name=NAME)
    found = judge(facts, SHOP)
    assert failed(found) == ("longest",)
    told = brief(found)
    assert (told["longest"], told["quality"], told["fill"], told["name"]) == ("fail", "advised", "pass", "pass")


def test_a_finished_picture_says_what_became_of_its_presets_rules_and_flags_what_is_required() -> None:
    alpha = np.zeros((600, 600), np.uint8)
    alpha[150:450, 150:450] = 255
    how = Finish("jpeg", background=(255, 255, 255), edges="keep", refine="none", preset="amazon")
    [made] = module.finish(encoded(drawn()), Matte(alpha), [how], LIMITS)
    assert made.flags == ("amazon:fill",)
    others = dict.fromkeys(("background", "subject", "format", "frames", "mode", "bytes", "profile"), "pass")
    assert made.checks == {"fill": "fail", "longest": "advised", "name": "skipped", **others}
    assert {rule for _, rule, _ in shipped()["amazon"].rules()} | {"subject"} == set(made.checks)
