"""Wheel and sdist as they are built here: complete, the same each time, and readable without a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = "share/man/man1/batch-removebg.1"


def build(source: Path, to: Path, zone: str, columns: str) -> list[Path]:
    """The wheel and the sdist of a source tree."""
    how = {"SOURCE_DATE_EPOCH": "1700000000", "TZ": zone, "COLUMNS": columns, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(to)]
    done = subprocess.run(command, cwd=source, env={**os.environ, **how}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted(to.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("built"), "UTC", "80")
    return wheel, sdist


def unpacked(sdist: Path, to: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(to, filter="data")
    [tree] = to.iterdir()
    return tree


def test_a_build_from_the_sdist_elsewhere_gives_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    tree = unpacked(built[1], tmp_path / "tree")
    again = build(tree, tmp_path / "again", "Asia/Tokyo", "200")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_every_file_of_the_package_is_in_both(built: tuple[Path, Path], tmp_path: Path) -> None:
    package = ROOT / "batch_removebg"
    paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    assert len([name for name in files if not name.endswith(".py")]) >= 4
    with ZipFile(built[0]) as wheel:
        assert {name: wheel.read(name) for name in wheel.namelist() if name.startswith("batch_removebg/")} == files
    tree = unpacked(built[1], tmp_path)
    assert {name: (tree / name).read_bytes() for name in files} == files


def test_the_text_for_an_index_points_at_no_file_and_no_heading(built: tuple[Path, Path]) -> None:
    with ZipFile(built[0]) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        text = wheel.read(name).decode()
    assert text.count("\n## ") == (ROOT / "README.md").read_text("utf-8").count("\n## ")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []


def test_the_man_page_is_installed_and_renders_without_a_warning(built: tuple[Path, Path], tmp_path: Path) -> None:
    with ZipFile(built[0]) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(PAGE)]
        page = wheel.read(name).decode()
    assert re.search(r'^\.TH BATCH-REMOVEBG "1" "2023-11-14"', page)
    assert all(f"\n.SH {heading}\n" in page for heading in ("NAME", "SYNOPSIS", "EXAMPLES", "EXIT STATUS"))
    assert r"\-\-max\-predictions" in page
    assert "`" not in page
    (tmp_path / "page.1").write_text(page, "utf-8")
    for command in (["man", "--warnings", "-l"], ["mandoc", "-T", "lint", "-W", "warning"]):
        if shutil.which(command[0]):
            shown = subprocess.run([*command, "page.1"], cwd=tmp_path, capture_output=True, text=True, check=False)
            said = shown.stdout if command[0] == "mandoc" else ""
            assert (shown.returncode, shown.stderr, said) == (0, "", "")
