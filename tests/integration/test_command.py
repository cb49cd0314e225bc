"""The real command on real photographs, with the embedded engine."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_removebg.engine.weights import FOLDER_VARIABLE
from tests.integration.conftest import DEADLINE, FAST, ROOT, Run, until
from tests.support.doubles import encoded, photo
from tests.support.local_doubles import SMALL

pytestmark = pytest.mark.usefixtures("real_weights")
PHOTOS = ROOT / "samples" / "photos"


def results(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return loaded


def test_a_folder_becomes_cutouts_of_its_own_size_beside_ledger_and_results(run: Run, tmp_path: Path) -> None:
    done = run("run", PHOTOS, "--out", "out", *FAST)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/results.json\n"
    assert "5 saved, 0 failed" in done.stderr
    assert "\r" not in done.stderr  # no bar where there is no terminal
    found = results(tmp_path / "out")
    assert found["counts"] == {"total": 5, "saved": 5, "failed": 0, "pending": 0}
    for item in found["items"]:
        with Image.open(tmp_path / "out" / item["output"]) as picture:
            assert picture.size == (item["width"], item["height"])
            alpha = np.asarray(picture.getchannel("A"))
            assert alpha.min() == 0
            assert alpha.max() == 255
    again = run("run", PHOTOS, "--out", "out", *FAST)
    assert "5 saved (5 of them by an earlier run), 0 failed" in again.stderr
    assert "predictions: 0" in again.stderr


@pytest.mark.usefixtures("default_weights")
def test_the_picture_in_the_readme_is_what_the_command_makes(run: Run, tmp_path: Path) -> None:
    assert run("run", PHOTOS / "coffee.jpg", "--out", "out").returncode == 0
    with Image.open(tmp_path / "out/coffee.png") as made, Image.open(ROOT / "samples/shown/coffee.png") as shown:
        difference = np.abs(np.asarray(made, dtype=float) - np.asarray(shown, dtype=float)) / 255
        opaque = (np.asarray(made)[..., 3] == 255) & (np.asarray(shown)[..., 3] == 255)
    assert difference[..., 3].mean() <= 0.004
    assert difference[..., :3][opaque].max() == 0


@pytest.mark.parametrize("manifest", ["catalogue.csv", "catalogue.jsonl"])
def test_the_sample_catalogues_run(run: Run, tmp_path: Path, manifest: str) -> None:
    done = run("run", ROOT / "samples" / manifest, "--out", "out", *FAST, "--format", "webp", "--name", "{title}")
    assert done.returncode == 0, done.stderr
    found = {item["id"]: item for item in results(tmp_path / "out")["items"]}
    assert found["CUP-01"]["output"] == "Cup, with saucer.webp"
    assert found["CUP-01"]["meta"]["title"] == "Cup, with saucer"
    assert found["TOY-09"]["output"] == "toys/rocket.webp"


def test_colours_under_opaque_alpha_are_the_sources_own(run: Run, tmp_path: Path) -> None:
    assert run("run", PHOTOS / "coffee.jpg", "--out", "out", *FAST).returncode == 0
    with Image.open(PHOTOS / "coffee.jpg") as source, Image.open(tmp_path / "out/coffee.png") as made:
        before, after = np.asarray(source.convert("RGB")), np.asarray(made)
    opaque = after[..., 3] == 255
    assert opaque.sum() > 10_000
    assert np.array_equal(after[..., :3][opaque], before[opaque])


def test_odd_file_names_survive(run: Run, tmp_path: Path) -> None:
    names = ["with space.jpg", "two\nlines.jpg", "椅子.jpg", "🪑.jpg", "quo'te\".jpg", "-dash.jpg", "[x].jpg"]
    (tmp_path / "in").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "in" / name).write_bytes(photo(30 + number, 20))
    done = run("run", "in", "--out", "out", *FAST)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "out")["items"]
    assert sorted(item["id"] for item in found) == sorted(names)
    assert all((tmp_path / "out" / item["output"]).is_file() for item in found)
    assert "two\nlines" not in done.stderr


def bad_pictures(folder: Path) -> dict[str, str]:
    """Pictures that can't be done, and a word that their error must hold."""
    whole = photo(300, 200)
    header = encoded(Image.new("1", (1, 1)), "PNG")
    chunk = b"IHDR" + (60000).to_bytes(4, "big") * 2 + header[24:29]
    huge = header[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + header[33:]
    made = {"zero.jpg": b"", "cut.jpg": whole[: len(whole) // 2], "text.jpg": b"not a picture", "huge.png": huge}
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {"zero.jpg": "empty", "cut.jpg": "cut short", "text.jpg": "not a picture", "huge.png": "60000"}


def test_bad_pictures_fail_with_their_reason_and_odd_ones_are_done(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    expected = bad_pictures(folder)
    good = {
        "dot.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "strip.png": encoded(Image.new("RGB", (6000, 10), (9, 99, 199)), "PNG"),
        "cmyk.jpg": encoded(Image.new("CMYK", (40, 30), (10, 200, 30, 5)), "JPEG"),
        "grey.jpg": encoded(Image.new("L", (40, 30), 90), "JPEG"),
        "deep.png": encoded(Image.new("I;16", (40, 30), 40000), "PNG"),
        "palette.gif": encoded(Image.new("P", (40, 30), 3), "GIF"),
        "really-a-png.jpg": encoded(Image.new("RGB", (40, 30)), "PNG"),
    }
    for name, data in good.items():
        (folder / name).write_bytes(data)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "outside.jpg").symlink_to(PHOTOS / "coffee.jpg")
    done = run("run", "in", "--out", "out", *FAST)
    assert done.returncode == 3, done.stderr
    items = {item["id"]: item for item in results(tmp_path / "out")["items"]}
    assert {name for name, item in items.items() if item["status"] == "saved"} == set(good)
    for name, word in expected.items():
        assert word in items[name]["error"]["message"], items[name]
    assert "loop.jpg" in done.stderr
    assert "outside.jpg" in done.stderr
    assert "--retry-failed" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nowhere", "--out", "out"], 2, "nowhere"),
        (["run", "empty", "--out", "out"], 2, "nothing to do"),
        (["run", "in", "--out", "in"], 2, "in"),
        (["run", "in", "--out", "out", "--wrong"], 2, "--wrong"),
        (["run", "in", "--out", "out", "--form", "png"], 2, "--form"),
        (["run", "in", "--out", "out", "--name", "{sku}"], 2, "{sku}"),
        (["run", "bad.csv", "--out", "out"], 2, "bad.csv"),
        (["run", "up.csv", "--out", "out", "--strict"], 2, "up.csv"),
        (["run", "twice.csv", "--out", "out", "--strict"], 2, "twice.csv"),
        (["run", "in", "--out", "out", "--provider", "replicate"], 2, "REPLICATE_API_TOKEN"),
        (["run", "in", "--out", "out", "--provider", "gateway"], 2, "--base-url"),
        (["run", "in", "--out", "out", "--background", "puce-ish"], 2, "puce-ish"),
        (["run", "in", "--out", "out", "--model", "nope"], 2, "nope"),
        (["run", "in", "--out", "out", "--model", "u2net", *FAST], 2, "--class fast and --model u2net: give one of"),
        (["status", "in"], 2, "ledger.jsonl"),
        (["models", "pull", "nope"], 2, "nope"),
        (["serve", "--host", "0.0.0.0"], 2, "--token-env"),
        (["serve", "--model", "u2net", *FAST], 2, "--class: not allowed with argument --model"),
    ],
)
def test_what_cannot_be_right_stops_before_anything_is_done(
    run: Run, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    for folder in ("in", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo())
    (tmp_path / "bad.csv").write_text("name,price\nshoe,3\n")
    (tmp_path / "up.csv").write_text("image,output\nin/a.jpg,../a\n")
    (tmp_path / "twice.csv").write_text("image,id\nin/a.jpg,1\nin/b.jpg,1\n")
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out" / "ledger.jsonl").exists()


def test_without_the_networks_weights_a_run_stops_and_takes_no_other_network(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "models").mkdir()
    shutil.copy(SMALL.path, tmp_path / "models")
    nowhere = {"PATH": "", "HOME": str(tmp_path), "npm_config_registry": "", FOLDER_VARIABLE: str(tmp_path / "models")}
    done = run("run", "a.jpg", "--out", "out", env=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    for way in ("npm isn't installed; install Node.js", "put isnet.onnx (88,188,479 bytes, ", "--class fast"):
        assert way in done.stderr
    assert not (tmp_path / "out").exists()
    assert run("run", "a.jpg", "--out", "out", *FAST, env=nowhere).returncode == 0


def test_an_interrupt_brings_home_what_is_in_flight_and_the_next_run_goes_on(
    start: Callable[..., subprocess.Popen[str]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(7):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(photo(60 + number, 40))
    process = start("run", "in", "--out", "out", *FAST, "--progress", "json", "--concurrency", "2")
    until(process, "saved")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEADLINE)
    summary = json.loads(said.splitlines()[-1])
    assert process.returncode == 130
    assert summary["saved"] + summary["pending"] == 7
    assert 0 < summary["pending"] < 7
    done = run("run", "in", "--out", "out", *FAST)
    assert done.returncode == 0
    assert f"7 saved ({summary['saved']} of them by an earlier run)" in done.stderr


def test_a_killed_run_is_continued_and_leaves_no_temporary_files(
    start: Callable[..., subprocess.Popen[str]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(photo(60 + number, 40))
    for _ in range(2):
        process = start("run", "in", "--out", "out", *FAST, "--progress", "json")
        until(process, "saved")
        process.kill()
        process.communicate(timeout=DEADLINE)
    assert run("run", "in", "--out", "out", *FAST).returncode == 0
    assert results(tmp_path / "out")["counts"] == {"total": 4, "saved": 4, "failed": 0, "pending": 0}
    assert [path for path in (tmp_path / "out").rglob("*") if path.name.endswith(".tmp")] == []


def test_a_second_run_over_the_same_out_is_told_who_holds_it(
    start: Callable[..., subprocess.Popen[str]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    first = start("run", "-", "--out", "out", *FAST, "--progress", "json")
    assert first.stdin is not None
    first.stdin.write("a.jpg\n")
    first.stdin.flush()
    until(first, "saved")  # and stdin stays open: the run goes on
    second = run("run", "a.jpg", "--out", "out", *FAST)
    assert second.returncode == 11
    assert str(first.pid) in second.stderr
    first.stdin.close()
    assert first.wait(timeout=DEADLINE) == 0


def test_an_interrupt_ends_a_run_that_waits_for_stdin(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    process = start("run", "-", "--out", "out", *FAST, "--progress", "json")
    assert process.stdin is not None
    process.stdin.write("a.jpg\n")
    process.stdin.flush()
    until(process, "saved")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=DEADLINE) == 143
