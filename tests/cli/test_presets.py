"""`presets` and `check`: what shops ask of a picture, and whether pictures are so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from batch_removebg.cli import main
from batch_removebg.finish.presets import shipped

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """A command's exit code, stdout and stderr."""

    def command(*argv: object) -> tuple[int, str, str]:
        code = main.run_command([str(word) for word in argv])
        return (code, *capsys.readouterr())

    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound picture for JD, a small one, one of another ground below, and a text."""
    picture = Image.new("RGB", (800, 800), "white")
    picture.paste((30, 60, 90), (40, 40, 760, 760))
    (tmp_path / "below").mkdir()
    picture.save(tmp_path / "sound.jpg", quality=92)
    picture.resize((400, 400)).save(tmp_path / "small.jpg", quality=92)
    Image.new("RGB", (900, 900), "grey").save(tmp_path / "below" / "grey.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_list_has_a_line_for_each_preset(said: Said) -> None:
    code, out, err = said("presets", "list")
    head, *lines = out.splitlines()
    assert (code, err, head.split()) == (
        *(0, ""),
        ["name", "title", "canvas", "background", "fill", "bytes", "standing"],
    )
    assert [line.split()[0] for line in lines] == list(shipped())
    [vtex] = [line for line in lines if line.startswith("vtex")]
    assert vtex.split() == ["vtex", "VTEX", "1500×1500", "white", "85%", "0.3", "MB–4", "MB", "official"]


def test_show_has_what_a_preset_binds_and_each_rule_with_source_standing_and_day(said: Said) -> None:
    code, out, _ = said("presets", "show", "zalando")
    assert code == 0
    assert out.startswith("Zalando, packshot\n  --canvas 1801x2600\n  --fill 0.9\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    source = "Zalando partner university, image guidelines"
    assert f"required width at least 762 px official 2025-03-03 {source}" in lines
    assert f"recommended height at least 2,600 px official 2025-03-03 {source}" in lines
    assert "not checked: no text, logo or props" in lines


@pytest.mark.parametrize("argv", [("presets", "show", "amzon"), ("check", ".", "--preset", "amzon")])
def test_an_unknown_preset_is_refused_with_the_nearest(said: Said, argv: tuple[str, ...]) -> None:
    code, out, err = said(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: there is no preset 'amzon'; did you mean amazon or amazon-zoom?")


def test_a_picture_that_meets_all_rules_passes_and_what_is_not_checked_is_said(said: Said, folder: Path) -> None:
    code, out, err = said("check", folder / "sound.jpg", "--preset", "jd")
    assert code == 0
    assert out == f"{folder}/sound.jpg: jd: pass (5 of 5 rules met)\nnot checked, jd: no text, logo or watermark\n"
    assert err == "1 picture(s), 1 check(s): 0 fail what is required\n"


def test_a_folder_is_checked_with_all_below_it_and_each_fault_has_its_remedy(said: Said, folder: Path) -> None:
    code, out, err = said("check", folder, "--preset", "jd")
    assert (code, err) == (3, "3 picture(s), 3 check(s): 2 fail what is required\n")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"{folder}/below/grey.png: jd: fail (3 of 5 rules met)"
    assert lines[1].startswith("required fail background 63,504 of 63,504 pixels of the border aren't 255 in every")
    assert lines[1].endswith(": --background white --fill 0.9")
    assert lines[2].startswith("required skipped subject can't be told: there is no alpha")
    assert lines[3] == f"{folder}/small.jpg: jd: fail (4 of 5 rules met)"
    assert lines[4] == (
        "required fail shortest 400 px; asked for is at least 800 px: place it on a canvas of such a size, from a "
        "photo that is large enough: --canvas"
    )
    assert lines[5] == f"{folder}/sound.jpg: jd: pass (5 of 5 rules met)"


def test_json_has_a_verdict_and_every_rule_with_its_source_by_picture_and_preset(said: Said, folder: Path) -> None:
    (folder / "damaged.jpg").write_text("no picture")
    code, out, _ = said(
        "check", folder / "sound.jpg", folder / "d*.jpg", "--preset", "jd", "--preset", "etsy", "--json"
    )
    results = json.loads(out)["results"]
    assert code == 3
    assert [(Path(each["file"]).name, each["preset"], each["verdict"]) for each in results] == [
        *(("sound.jpg", "jd", "pass"), ("sound.jpg", "etsy", "partial")),
        *(("damaged.jpg", "jd", "fail"), ("damaged.jpg", "etsy", "fail")),
    ]
    assert results[0]["checks"][1] == {
        "rule": "shortest",
        "level": "required",
        "status": "pass",
        "expected": "at least 800 px",
        "measured": "800 px",
        "fix": "",
        "standing": "reported",
        "source": "from memory: no page was found",
        "read": "2026-11-27",
    }
    assert results[0]["not_checked"] == ["no text, logo or watermark"]
    assert results[2]["error"].startswith("is not a picture")
    assert results[2]["checks"] == []


def test_a_transparent_picture_is_not_taken_for_white(said: Said, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (800, 800), (255, 255, 255, 0))
    picture.paste((30, 60, 90, 255), (40, 40, 760, 760))
    picture.save(tmp_path / "clear.png")
    code, out, _ = said("check", tmp_path, "--preset", "google", "--preset", "jd")
    assert code == 3
    assert "google: partial" in out
    assert "background  transparent; asked for is white" in " ".join(out.split()).replace(
        " transparent;", "  transparent;"
    )


def test_what_cannot_be_checked_at_all_is_a_usage_error(said: Said, tmp_path: Path) -> None:
    for argv, words in (
        (("check", tmp_path), "required: --preset"),
        (("check", tmp_path, "--preset", "jd"), "no picture was found"),
        (("check", tmp_path / "none.jpg", "--preset", "jd"), "does not exist"),
        (("check", "https://shop.example/a.jpg", "--preset", "jd"), "only files can be checked"),
    ):
        code, out, err = said(*argv)
        assert (code, out) == (2, ""), argv
        assert words in err


@pytest.mark.parametrize("name", ["rows.csv", "results.csv", "results.json", "ledger.jsonl", "list.txt"])
def test_a_list_of_sources_is_not_checked_in_the_place_of_pictures(said: Said, folder: Path, name: str) -> None:
    (folder / name).write_text("id,image\na,small.jpg\n")
    code, out, err = said("check", folder / "sound.jpg", folder / name, "--preset", "jd")
    what = "it names sources, and not the pictures made of them; give the folder of those"
    assert (code, out, err) == (2, "", f"error: {folder / name} is no picture, folder or glob: {what}\n")


def test_a_flag_that_says_otherwise_than_a_preset_is_refused_also_at_its_default(said: Said, folder: Path) -> None:
    code, _, error = said("run", folder, "--out", folder / "out", "--preset", "amazon", "--format", "png")
    assert (code, error.partition(" says: ")[0]) == (2, "error: --preset amazon says itself what --format")


def test_show_has_as_flags_what_is_one(said: Said, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("aspect = [3, 4]\nenlarge = true\nbytes_most = 4_000_000\nname = '{sku}'\n")
    lines = said("presets", "show", tmp_path / "own.toml")[1].splitlines()
    assert sorted(lines[1:-1]) == ["  --aspect 3:4", "  --enlarge", "  --name {sku}", "  bytes_most = 4000000"]
