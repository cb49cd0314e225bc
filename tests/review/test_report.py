"""A report is the same page over files, and no name in its data is anything but a name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.review import report
from batch_removebg.review.app import PAGE
from tests.support.bench import Bench, bench

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
HOSTILE = "</script><!--<img src=x onerror=alert(1)>\u2028.jpg"


@pytest.fixture
async def out(bench: Bench) -> Path:
    bench.add("a.jpg")
    table = bench.photos / "shop.jsonl"
    rows = [{"image": "a.jpg", "id": f"{n}{HOSTILE}", "title": HOSTILE} for n in range(3)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (await bench.run(str(table))).exit_code == 0
    return bench.out


def parts(files: Path) -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted((files / "data").glob("*.js"))]
    pushed = re.compile(r"^batchRemovebgReport\.push\((.*)\);$", re.MULTILINE)
    return [json.loads(found) for text in texts for found in pushed.findall(text)]


async def test_a_report_has_all_items_with_their_pictures_beside_and_needs_no_server(out: Path, tmp_path: Path) -> None:
    index = await report.report(out, tmp_path / "new", say=lambda _: None)
    assert index == tmp_path / "new/index.html"
    about, rows = parts(tmp_path / "new")
    assert (about["about"]["read_only"], about["about"]["total"]) == (True, 3)
    for row in rows["rows"]:
        files = [*row["files"]["thumb"].values(), *row["files"]["picture"].values()]
        assert sorted(row["files"]["picture"]) == ["alpha", "bare", "cutout", "source"]
        assert all((index.parent / name).stat().st_size for name in files)
    page = index.read_text()
    named = re.findall(r'(?:src|href)="((?:page|data)/[^"]+)"', page)
    assert all((index.parent / name).is_file() for name in named)
    assert "module" not in page
    assert named[-1] == "page/page.js"
    assert not re.search(r"https?://", page)


async def test_one_file_is_beside_a_folder_of_its_name(out: Path, tmp_path: Path) -> None:
    index = await report.report(out, tmp_path / "shop.html", say=lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("shop")) == [
        "shop.html",
        "shop_files",
    ]
    _, rows = parts(tmp_path / "shop_files")
    assert (index.parent / rows["rows"][0]["files"]["thumb"]["cutout"]).is_file()
    assert 'src="shop_files/page/page.js"' in index.read_text()


async def test_names_in_data_end_no_script(out: Path, tmp_path: Path) -> None:
    await report.report(out, tmp_path / "new", say=lambda _: None)
    data = (tmp_path / "new/data/rows-0000.js").read_text()
    assert not re.search("</|<!--|\u2028|\u2029", data)
    _, rows = parts(tmp_path / "new")
    assert {row["meta"]["title"] for row in rows["rows"]} == {HOSTILE}


async def test_beyond_a_number_of_items_there_are_thumbnails_alone_those_with_flags_last(
    bench: Bench, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_PICTURES", 1)
    monkeypatch.setattr(report, "_ROWS", 2)
    said: list[str] = []
    await report.report(out, tmp_path / "new", say=said.append)
    rows = [row for part in parts(tmp_path / "new")[1:] for row in part["rows"]]
    assert [bool(row["files"]["picture"]) for row in rows] == [True, False, False]
    assert all(row["files"]["thumb"] for row in rows)
    assert said == ["3 items: thumbnails of all, larger pictures of the first 1, what is flagged first"]


async def test_a_folder_of_something_else_is_left_alone_and_an_earlier_report_is_replaced(
    out: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("mine")
    with pytest.raises(SettingsError, match="holds something else"):
        await report.report(out, other, say=lambda _: None)
    assert [path.name for path in other.iterdir()] == ["index.html"]
    for _ in range(2):
        await report.report(out, tmp_path / "new", say=lambda _: None)


def test_the_joined_script_has_each_module_once_behind_those_it_needs(tmp_path: Path) -> None:
    modules = {
        "main.js": 'import { one } from "./one.js";\nimport { two, other } from "./texts/two.js";\none(two);\n',
        "one.js": 'import { two } from "./texts/two.js";\nexport function one() {\n  two();\n}\n',
        "texts/two.js": "export const two = 2;\nexport async function other() {}\n",
    }
    (tmp_path / "texts").mkdir()
    for name, text in modules.items():
        (tmp_path / name).write_text(text)
    body = "const two = 2;\nasync function other() {}\n\nfunction one() {\n  two();\n}\n\none(two);\n"
    assert report.joined(tmp_path) == f'"use strict";\n(() => {{\n{body}}})();\n'


def test_of_the_pages_own_modules_none_is_left_out() -> None:
    text = report.joined(PAGE)
    assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE)
    exported = re.compile(r"^export .*?(\w+)(?: =|\()", re.MULTILINE)
    named = [name for path in PAGE.rglob("*.js") for name in exported.findall(path.read_text())]
    assert named
    assert [name for name in named if not re.search(rf"^(?:async )?\w+ {name}\b", text, re.MULTILINE)] == []
