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

from tests.integration.conftest import DEADLINE, FAST, ROOT, Run, called, until
from tests.support.doubles import encoded, photo

pytestmark = pytest.mark.usefixtures("real_weights")
PHOTOS = ROOT / "samples" / "photos"
Made = tuple[Path, "subprocess.CompletedProcess[str]"]


def results(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, real_weights: Path) -> Made:
    """The folder in which the samples were cut out to `out`, and what the command said."""
    folder = tmp_path_factory.mktemp("samples")
    return folder, called(folder, "run", PHOTOS, "--out", "out", *FAST)


def test_a_folder_becomes_cutouts_of_its_own_size_beside_ledger_and_results(made: Made) -> None:
    folder, done = made
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/results.json\n"
    assert "5 saved, 0 failed" in done.stderr
    assert "\r" not in done.stderr  # no bar where there is no terminal
    found = results(folder / "out")
    assert found["counts"] == {"total": 5, "saved": 5, "failed": 0, "pending": 0}
    for item in found["items"]:
        with Image.open(folder / "out" / item["output"]) as picture:
            assert picture.size == (item["width"], item["height"])
            alpha = np.asarray(picture.getchannel("A"))
            assert alpha.min() == 0
            assert alpha.max() == 255


@pytest.mark.usefixtures("default_weights")
def test_the_picture_in_the_readme_is_what_the_command_makes(run: Run, tmp_path: Path) -> None:
    assert run("run", PHOTOS / "oats.jpg", "--out", "out").returncode == 0
    with Image.open(tmp_path / "out/oats.png") as cutout, Image.open(ROOT / "samples/shown/oats.png") as shown:
        difference = np.abs(np.asarray(cutout, dtype=float) - np.asarray(shown, dtype=float)) / 255
        opaque = (np.asarray(cutout)[..., 3] == 255) & (np.asarray(shown)[..., 3] == 255)
    assert difference[..., 3].mean() <= 0.004
    assert difference[..., :3][opaque].max() == 0


def test_colours_under_opaque_alpha_are_the_sources_own(made: Made) -> None:
    with Image.open(PHOTOS / "oats.jpg") as source, Image.open(made[0] / "out/oats.png") as cutout:
        before, after = np.asarray(source.convert("RGB")), np.asarray(cutout)
    opaque = after[..., 3] == 255
    assert opaque.sum() > 10_000
    assert np.array_equal(after[..., :3][opaque], before[opaque])


def test_the_sample_catalogues_run_and_need_no_prediction_for_pictures_that_were_done_before(
    made: Made, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(made[0] / "out", tmp_path / "out")
    words = ["--out", "out", *FAST, "--format", "webp", "--name", "{title}"]
    for manifest, saved in (
        ("catalogue.csv", "5 saved, 0"),
        ("catalogue.jsonl", "5 saved (5 of them by an earlier run), 0"),
    ):
        done = run("run", ROOT / "samples" / manifest, *words)
        assert done.returncode == 0, done.stderr
        assert f"{saved} failed" in done.stderr
        assert "predictions: 0 by the local engine" in done.stderr
        found = {item["id"]: item for item in results(tmp_path / "out")["items"]}
        assert found["OATS-500"]["output"] == "Oats, with honey.webp"
        assert found["OATS-500"]["meta"]["title"] == "Oats, with honey"
        assert found["WASH-300"]["output"] == "bath/hand-wash.webp"


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
    (folder / "outside.jpg").symlink_to(PHOTOS / "oats.jpg")
    done = run("run", "in", "--out", "out", *FAST)
    assert done.returncode == 3, done.stderr
    items = {item["id"]: item for item in results(tmp_path / "out")["items"]}
    assert {name for name, item in items.items() if item["status"] == "saved"} == set(good)
    for name, word in expected.items():
        assert word in items[name]["error"]["message"], items[name]
    assert "loop.jpg" in done.stderr
    assert "outside.jpg" in done.stderr
    assert "--retry-failed" in done.stderr


def test_what_a_kill_and_an_interrupt_leave_is_done_by_the_next_run_and_no_temporary_file_stays(
    start: Callable[..., subprocess.Popen[str]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(photo(60 + number, 40))
    words = ["run", "in", "--out", "out", *FAST, "--concurrency", "1"]
    killed = start(*words, "--progress", "json")
    until(killed, "saved")
    killed.kill()
    killed.communicate(timeout=DEADLINE)
    process = start(*words, "--progress", "json")
    until(process, "saved")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEADLINE)
    summary = json.loads(said.splitlines()[-1])
    assert process.returncode == 130
    assert summary["saved"] + summary["pending"] == 6
    assert 0 < summary["pending"] < 6
    done = run(*words)
    assert done.returncode == 0
    assert f"6 saved ({summary['saved']} of them by an earlier run)" in done.stderr
    assert results(tmp_path / "out")["counts"] == {"total": 6, "saved": 6, "failed": 0, "pending": 0}
    assert [path for path in (tmp_path / "out").rglob("*") if path.name.endswith(".tmp")] == []


def test_a_run_that_waits_for_stdin_holds_its_out_until_an_interrupt_ends_it(
    start: Callable[..., subprocess.Popen[str]], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    first = start("run", "-", "--out", "out", *FAST, "--progress", "json")
    assert first.stdin is not None
    first.stdin.write("a.jpg\n")
    first.stdin.flush()
    until(first, "failed")  # and stdin stays open: the run goes on
    second = run("run", "a.jpg", "--out", "out", *FAST)
    assert second.returncode == 11
    assert str(first.pid) in second.stderr
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=DEADLINE) == 143
