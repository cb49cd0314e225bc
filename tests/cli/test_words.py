"""What a run says, and to which stream; names of files in any spelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import pytest

from batch_removebg.cli import main
from batch_removebg.errors import PredictionFailed
from tests.support.doubles import ScriptedProvider, photo
from tests.support.shop import API, KEY, Said, provider, said, shop, tree

__all__ = ["provider", "said", "shop"]


def deserted() -> TextIO:
    """The writing end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def test_progress_json_is_one_object_a_line_and_the_summary_at_the_end(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    provider.script.append(PredictionFailed("no product in the picture"))
    code, out, _ = said("run", "in", "--out", "out", "--progress", "json", "--concurrency", "1", *API)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    events = [(line["event"], line.get("item")) for line in lines]
    assert events[:2] == [("begun", None), ("total", None)]
    assert lines[0]["text"] == lines[-1]["run_id"]
    assert ("failed", "a.jpg") in events
    assert {item for event, item in events if event == "saved"} == {"b.jpg", "c.jpg"}
    last = lines[-1]
    assert (last["event"], last["saved"], last["failed"], last["exit_code"]) == ("summary", 2, 1, 3)
    assert last["failures"] == [
        {"kind": "prediction", "count": 1, "examples": [{"item": "a.jpg", "message": "no product in the picture"}]}
    ]


def test_quiet_says_nothing_but_errors(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    assert said("run", "in", "--out", "out", "-q", *API) == (0, "out/results.json\n", "")
    code, _, err = said("run", "gone.csv", "--out", "out", "-q", *API)
    assert code == 2
    assert err.startswith("error: ")


def test_verbose_says_every_step(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, _, err = said("run", "in", "--out", "out", "-v", *API)
    assert {"saved a.jpg → a.png", "saved b.jpg → b.png", "saved c.jpg → c.png"} <= set(err.splitlines())


def test_the_log_as_json_is_json_on_every_line(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, _, err = said("run", "in", "--out", "out", "-v", "--log-format", "json", *API)
    lines = [json.loads(line) for line in err.splitlines()]
    started = json.loads((shop / "out" / "ledger.jsonl").read_text().splitlines()[0])
    assert [line["level"] for line in lines] == ["detail"] * 3 + ["info"]
    assert sorted((line["event"], line.get("item", "")) for line in lines) == [
        ("saved", "a.jpg"), ("saved", "b.jpg"), ("saved", "c.jpg"), ("summary", ""),
    ]  # fmt: skip
    assert {line["run"] for line in lines} == {started["id"]}
    code, _, err = said("run", "gone.csv", "--out", "out", "--log-format", "json", *API)
    assert (code, json.loads(err)["level"]) == (2, "error")


def test_the_key_is_nowhere_in_what_a_run_says_or_writes(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, out, err = said("run", "in", "--out", "out", "-v", "--progress", "json", *API)
    written = b"".join(state[2] for state in tree(shop / "out").values())
    assert KEY not in out + err
    assert KEY.encode() not in written


def test_odd_file_names_survive(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    names = ["with space.jpg", "two\nlines.jpg", "椅子.jpg", "🪑.jpg", "quo'te\".jpg", "-dash.jpg", "[x].jpg"]
    (shop / "odd").mkdir()
    for number, name in enumerate(names):
        (shop / "odd" / name).write_bytes(photo(30 + number, 20))
    code, _, err = said("run", "odd", "--out", "out", *API)
    assert code == 0, err
    found = json.loads((shop / "out" / "results.json").read_text(encoding="utf-8"))["items"]
    assert sorted(item["id"] for item in found) == sorted(names)
    assert all((shop / "out" / item["output"]).is_file() for item in found)
    assert "two\nlines" not in err


def test_control_characters_in_a_name_never_reach_the_terminal(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    (shop / "in" / "evil\x1b[2J\n\x9b31m.jpg").write_bytes(b"")
    code, out, err = said("run", "in", "--out", "out", "-v", "--progress", "bar", *API)
    assert code == 3
    assert (out + err).replace("\n", "").replace("\r", "").isprintable()
    assert r"evil\x1b[2J\n\x9b31m.jpg" in err


@pytest.mark.parametrize("progress", ["none", "json", "bar"])
def test_a_reader_who_goes_away_changes_neither_the_work_nor_the_exit_code(
    shop: Path, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, progress: str
) -> None:
    (shop / "in" / "b.jpg").write_bytes(b"")
    with deserted() as out, deserted() as err, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert main.run_command(["run", "in", "--out", "out", "--progress", progress, "-v", *API]) == 3
    assert json.loads((shop / "out" / "results.json").read_text())["counts"]["saved"] == 2


def test_what_is_left_out_of_folders_is_in_the_closing_words_the_summary_and_the_dry_run(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    for name in ("in/d.psb", "in/#recycle/e.jpg"):
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_bytes(photo())
    text = "left out: 1 .psb (not readable here: export them as PNG or TIFF first), 1 #recycle such as in/#recycle"
    assert said("run", "in", "--out", "out", "--dry-run", *API)[2] == f"warning: {text}\n"
    _, out, err = said("run", "in", "--out", "out", "--progress", "json", *API)
    assert text in err.splitlines()
    assert json.loads(out.splitlines()[-1])["left_out"] == {"#recycle": 1, ".psb": 1}
    assert provider.bill == 3
    assert said("run", "in", "--out", "other", "--exclude", "b.*", "--exclude", "#recycle", *API)[0] == 0
    assert sorted(path.name for path in (shop / "other").glob("*.png")) == ["a.png", "c.png"]


def test_longer_names_are_said_once_with_their_number_and_noted_with_each(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    for name in ("a.png", "b.png"):
        (shop / "in" / name).write_bytes(photo(colour=(1, 2, 3)))
    code, _, err = said("run", "in", "--out", "out", *API)
    assert code == 0
    items = json.loads((shop / "out" / "results.json").read_text())["items"]
    notes = {item["id"]: note for item in items for note in item.get("notes", []) if "taken" in note}
    named = {item["id"]: item["output"] for item in items}
    assert notes == {
        "a.png": f"is named {named['a.png']}, since a.png is taken",
        "b.png": f"is named {named['b.png']}, since b.png is taken",
    }
    first = f"(first: in/a.png {notes['a.png']})"
    assert [line for line in err.splitlines() if "another name" in line] == [
        f"warning: 2 × another name than was asked for {first}; each is noted in results.json"
    ]
    assert "another name" not in said("run", "in", "--out", "out", *API)[2]


def test_a_name_that_cannot_be_written_fails_alone(
    shop: Path, provider: ScriptedProvider, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.lstat

    def ascii_only(path: str, **more: Any) -> os.stat_result:
        os.fspath(path).encode("ascii")
        return look(path, **more)

    (shop / "in" / "ö.jpg").write_bytes(photo())
    monkeypatch.setattr(os, "lstat", ascii_only)
    code, _, err = said("run", "in", "--out", "out", *API)
    assert (code, provider.bill) == (3, 3)
    assert "ö.jpg: 'ascii' codec can't encode" in err


def test_a_file_that_was_taken_for_a_flag_is_told_how_to_be_written(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    names = ["-photo.jpg", "-q.jpg", "--photo.jpg", "-h.jpg"]
    for number, name in enumerate(names):
        (shop / name).write_bytes(photo(30 + number))
        advice = f"error: {name} is a file, and was taken for a flag: write ./{name}, or -- before the INPUTs"
        assert advice in said("run", name, "--out", "out", *API)[2].splitlines()
    assert said("run", *(f"./{name}" for name in names), "--out", "out", *API)[0] == 0
    assert said("run", "--out", "more", *API, "--", *names)[0] == 0
    assert provider.bill == 2 * len(names)


def test_file_names_are_utf8_whatever_the_locale(shop: Path) -> None:
    (shop / "in" / "Größe.jpg").write_bytes(photo())
    (shop / "list.csv").write_text("image\nin/Größe.jpg\n")
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "batch_removebg", "run", "list.csv", "--out", "out", "--dry-run"]
    root = Path(main.__file__).parents[2]
    done = subprocess.run(
        command, env={**os.environ, **locale, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        0,
        "list.csv: commas divide it; pictures from 'image', no column has ids\n",
    )
    assert done.stdout.splitlines()[:2] == [
        "1 items, and nothing is done about them (--dry-run)",
        "        1 would need a new prediction",
    ]
