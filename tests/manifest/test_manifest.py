from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import os
import pathlib
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ManifestError
from batch_removebg.manifest import table
from batch_removebg.manifest.columns import Choice
from batch_removebg.manifest.folder import Folders
from batch_removebg.manifest.reader import Reading, check, read_rows
from batch_removebg.manifest.seen import Marks, Seen
from batch_removebg.manifest.text import Flawed, lines
from batch_removebg.model import Item, UrlRow
from tests.support.items import buffered, read

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a current folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def ids(*inputs: str, out: Path | None = None) -> list[str]:
    return [item.id for item in read(inputs, out=out)]


def warned(*inputs: str, out: Path | None = None) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    return [item.id for item in read(inputs, out=out, on_warning=warnings.append)], warnings


def rows(name: str, content: bytes | str, choice: Choice = Choice()) -> list[Item]:
    data = content.encode() if isinstance(content, str) else content
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return list(read([name], out=None, choice=choice))


def fault(name: str, content: bytes | str) -> str:
    with pytest.raises(ManifestError) as caught:
        rows(name, content, Choice(strict=True))
    return str(caught.value)


# Folders


def test_a_folder_gives_its_pictures_in_the_order_of_their_posix_paths() -> None:
    make("photos/b.JPG", "photos/a/z.png", "photos/a.webp", "photos/a b/x.tif", "photos/a/b/c.heic", "photos/ä.jp2")
    make("photos/notes.txt", "photos/list.csv", "photos/.hidden.jpg", "photos/.git/a.jpg", "photos/jpg")
    expected = ["a b/x.tif", "a.webp", "a/b/c.heic", "a/z.png", "b.JPG", "ä.jp2"]
    assert ids("photos") == expected == sorted(expected)
    first = next(read(["photos"], out=None))
    assert first == Item("a b/x.tif", "photos/a b/x.tif", "photos", path=Path("photos/a b/x.tif"))


def test_out_is_left_out_even_if_it_is_created_while_the_folder_is_read() -> None:
    make("photos/a.jpg", "photos/c/a.jpg", "photos/cut/outer.jpg")
    assert ids("photos", out=Path("photos/cut")) == ["a.jpg", "c/a.jpg"]
    items = read(["photos"], out=Path("photos/c/out"))
    assert next(items).id == "a.jpg"
    make("photos/c/out/a.png")
    assert [item.id for item in items] == ["c/a.jpg", "cut/outer.jpg"]


def test_out_as_input_and_out_around_the_input() -> None:
    make("photos/a.jpg")
    with pytest.raises(ManifestError, match="is the output folder itself; choose another --out"):
        ids("photos", out=Path("../" + Path.cwd().name + "/photos"))
    assert ids("photos", out=Path()) == ["a.jpg"]


def test_two_inputs_with_a_folder_keep_their_pictures_apart() -> None:
    make("a/shoe.jpg", "b/shoe.jpg", "c.jpg")
    assert ids("a", "b/", "c.jpg") == ["a/shoe.jpg", "b/shoe.jpg", "c.jpg"]
    assert ids("a/", ".") == ["a/shoe.jpg", f"{Path.cwd().name}/b/shoe.jpg", f"{Path.cwd().name}/c.jpg"]


def test_folders_of_one_name_are_told_apart_by_the_folder_that_they_have_in_common() -> None:
    make("x/photos/shoe.jpg", "y/photos/shoe.jpg", "z/shoe.jpg")
    assert ids("x/photos", "y/photos", "z") == ["x/photos/shoe.jpg", "y/photos/shoe.jpg", "z/shoe.jpg"]
    make("y/a/b/photos/hat.jpg")
    assert ids("x/photos", "y/a/b/photos") == ["x/photos/shoe.jpg", "y/a/b/photos/hat.jpg"]


def test_an_unreadable_subfolder_is_one_failed_item(monkeypatch: pytest.MonkeyPatch) -> None:
    make("photos/a.jpg", "photos/locked/b.jpg", "photos/z.jpg")
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    items = list(read(["photos"], out=None))
    assert [item.id for item in items] == ["a.jpg", "locked/", "z.jpg"]
    assert items[1].path is None
    assert items[1].source == "photos/locked"
    assert items[1].problem is not None
    assert items[1].problem.startswith("The folder can't be read: Permission denied.")
    Path("photos").rename("locked")
    with pytest.raises(ManifestError, match="locked can't be read: Permission denied"):
        ids("locked")


def test_links_are_taken_only_to_files_inside_the_folder() -> None:
    make("photos/a.jpg", "photos/raw/b.bin", "outside/c.jpg", "photos/notes.txt")
    links = {
        "photos/inside.jpg": "raw/b.bin",
        "photos/outside.jpg": "../outside/c.jpg",
        "photos/nowhere.jpg": "gone.jpg",
        "photos/nowhere.txt": "gone.txt",
        "photos/circle.jpg": "circle.jpg",
        "photos/folder": "../outside",
        "photos/round": ".",
        "photos/text.txt": "notes.txt",
    }
    for link, target in links.items():
        Path(link).symlink_to(target)
    assert ids("photos") == ["a.jpg", "inside.jpg"]


def test_a_link_as_input_is_followed_and_its_target_is_the_same_folder() -> None:
    make("photos/a.jpg")
    Path("link").symlink_to("photos")
    assert ids("link") == ["a.jpg"]
    found, warnings = warned("photos", "link")
    assert found == ["photos/a.jpg"]
    assert warnings == ["link: link/a.jpg was named before (photos); it is done once."]


def test_pipes_and_devices_never_hang_a_run() -> None:
    make("photos/a.jpg")
    os.mkfifo("photos/pipe.jpg")
    Path("photos/link.jpg").symlink_to("pipe.jpg")
    folders = Folders()
    assert [row.id for row in read_rows(["photos"], Reading(folders=folders))] == ["a.jpg"]
    assert folders.left_out["pipe(s) or device(s)"][0] == 2
    with pytest.raises(ManifestError, match="is a pipe or a device"):
        ids("photos/pipe.jpg")


def test_a_tree_deeper_than_the_stack_is_walked() -> None:
    deep, top = Path(*["d"] * 1100), Path.cwd()
    for _ in deep.parts:
        Path("d").mkdir()
        os.chdir("d")
    make("a.jpg")
    os.chdir(top)
    try:
        assert ids(".") == [f"{deep.as_posix()}/a.jpg"]
    finally:  # rmtree may not get down there
        (deep / "a.jpg").unlink()
        for folder in (deep, *deep.parents[:-1]):
            folder.rmdir()


@pytest.mark.parametrize("name", ["a b", "line\nbreak", "鞋", "👟", "-", "#1", "%20", "{x}", "[1]", "s3:x", "a*b"])
def test_any_file_name_is_taken_as_it_is(name: str) -> None:
    make(f"photos/{name}.jpg", f"{name}.jpg")
    assert ids("photos") == [f"{name}.jpg"]
    assert ids(f"{name}.jpg") == [f"{name}.jpg"]


def test_a_file_name_that_is_no_utf8_gets_an_id_that_can_be_written() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    make(f"photos/{name}")
    [item] = read(["photos"], out=None)
    assert item.id == r"caf\xe9.jpg"
    assert item.source == r"photos/caf\xe9.jpg"
    assert item.path is not None
    assert item.path.read_bytes() == b""
    [item] = read([f"photos/{name}"], out=None)
    assert item.id == r"photos/caf\xe9.jpg"


# Images, globs, URLs


def test_an_image_input_is_taken_whatever_its_extension() -> None:
    make("a.jpg", "photos/b.raw")
    assert list(read(["photos/b.raw"], out=None)) == [
        Item("photos/b.raw", "photos/b.raw", "command line", path=Path("photos/b.raw"), name="b.raw")
    ]
    assert ids("a.jpg", "photos/b.raw") == ["a.jpg", "photos/b.raw"]


def test_a_glob_is_expanded_as_a_shell_would() -> None:
    make("p/b.jpg", "p/a.jpg", "p/.c.jpg", "p/sub/d.jpg", "p/out/a.png", "q/d.jpg")
    assert ids("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]
    assert ids("[pq]/?.jpg") == ["p/a.jpg", "p/b.jpg", "q/d.jpg"]
    assert ids("p/*", out=Path("p/out")) == ["p/a.jpg", "p/b.jpg", "sub/d.jpg"]
    assert ids(f"{Path.cwd()}/q/*") == [f"{Path.cwd()}/q/d.jpg"]
    assert next(read(["q/*"], out=None)).origin == "q/*"


def test_two_stars_stand_for_any_number_of_folders() -> None:
    make("p/a.jpg", "p/sub/deep/b.jpg", "p/sub/c.png", "p/sub/.d.jpg", "p/out/e.jpg", "p/notes.txt")
    Path("p/round").symlink_to(".")
    out = Path("p/out")
    assert ids("p/**/*.jpg", out=out) == ["p/a.jpg", "p/sub/deep/b.jpg"]
    assert ids("p/**", out=out) == ["p/a.jpg", "p/sub/c.png", "p/sub/deep/b.jpg"]
    assert ids("**/sub/*", out=out) == ["p/sub/c.png"]
    assert ids("*/**/deep/**/?.jpg", out=out) == ["p/sub/deep/b.jpg"]
    assert ids(f"{Path.cwd()}/p/**/b*", out=out) == [f"{Path.cwd()}/p/sub/deep/b.jpg"]


@pytest.mark.parametrize("pattern", ["*.jpg", "photos/**/*.png", "gone/**", "[", "a.jpg/**"])
def test_a_glob_without_a_match_is_an_error(pattern: str) -> None:
    make("photos/a.jpg", "photos/b")
    with pytest.raises(ManifestError):
        ids("photos/a.jpg", pattern)


def test_what_a_glob_meets_by_chance_is_left_out_with_a_warning() -> None:
    make("p/a.jpg")
    Path("p/nowhere.jpg").symlink_to("gone")
    os.mkfifo("p/pipe.jpg")
    found, warnings = warned("p/*")
    assert found == ["p/a.jpg"]
    assert warnings == ["p/nowhere.jpg can't be read: No such file or directory; left out."]


def test_a_name_that_exists_is_no_glob() -> None:
    make("shoe[1].jpg", "shoe1.jpg")
    assert ids("shoe[1].jpg") == ["shoe[1].jpg"]
    Path("shoe[1].jpg").unlink()
    assert ids("shoe[1].jpg") == ["shoe1.jpg"]


@pytest.mark.parametrize("name", ["gone.jpg", "gone.csv", "gone/a.jpg", "a.jpg/b.jpg", "", "x" * 300, "a\0b"])
def test_an_input_that_is_not_there_stops_the_run_before_its_first_item(name: str) -> None:
    make("a.jpg")
    Path("link.jpg").symlink_to("gone.jpg")
    for bad in (name, "link.jpg"):
        with pytest.raises(ManifestError):
            next(read(["a.jpg", bad], out=None))


def test_urls_are_items_of_their_own() -> None:
    url = "HTTPS://cdn.example/a%20b.jpg?w=1"
    assert list(read([url], out=None)) == [Item(url, url, "command line")]
    assert rows("a.txt", f" {url}\t\n")[0].id == url


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("ftp://host/a.jpg", "download the picture first"),
        ("s3://bucket/a.jpg", "https URL"),
        ("http:/host/a.jpg", "http://host/path"),
        ("https://", "no valid host"),
        ("http://[::1/a.jpg", "no valid host"),
        ("http://host:99999/a.jpg", "no valid host or port"),
    ],
)
def test_an_address_that_can_not_be_read_is_one_failed_item(value: str, remedy: str) -> None:
    for item in [*read([value], out=None), *rows("a.txt", value)]:
        assert item.id == item.source == value
        assert item.path is None
        assert item.problem is not None
        assert remedy in item.problem


def test_a_data_uri_is_refused_without_being_repeated() -> None:
    uri = "data:image/png;base64," + "A" * 5000
    [item], [row] = list(read([uri], out=None)), rows("a.txt", uri)
    assert (
        item.problem
        == row.problem
        == "data: is no scheme this program reads; save the picture to a file and name that."
    )
    assert item.id == row.id
    assert len(item.id) == len(item.source) < 80


# Manifests


def test_rows_are_relative_to_the_manifest_and_their_other_columns_travel_along() -> None:
    content = 'image,id,output,Title,qty\nimg/a.jpg,SKU-1,red/1,"Shoe, red",2\n/abs/b.jpg,,,,\n'
    assert rows("shop/list.csv", content) == [
        Item(
            "SKU-1",
            "shop/img/a.jpg",
            "shop/list.csv:2",
            path=Path("shop/img/a.jpg"),
            output="red/1",
            meta={"Title": "Shoe, red", "qty": "2"},
            own_id=True,
        ),
        Item("b.jpg", "/abs/b.jpg", "shop/list.csv:3", path=Path("/abs/b.jpg"), meta={"Title": "", "qty": ""}),
    ]


@pytest.mark.parametrize("column", ["image", "source", "url", "path", "file", "IMAGE", " Url "])
def test_the_picture_may_be_named_in_any_of_five_columns(column: str) -> None:
    assert rows("a.csv", f"title,{column}\n7,https://cdn.example/a.jpg\n")[0].id == "https://cdn.example/a.jpg"
    [item] = rows("a.jsonl", json.dumps({column: "a.jpg", "title": 7}))
    assert (item.id, item.meta) == ("a.jpg", {"title": 7})


def test_of_two_columns_the_preferred_one_wins_and_the_other_travels_along() -> None:
    [item] = rows("a.csv", "file,url,Image\nf,u,i\n")
    assert (item.id, item.meta) == ("i", {"file": "f", "url": "u"})


def test_a_header_without_a_picture_column_names_what_was_found_and_the_way_out() -> None:
    assert fault("a.csv", "sku,shot\n1,a.jpg\n") == (
        "a.csv:1: no column names the picture (found: sku, shot); name it with --image-column."
    )
    assert fault("a.csv", "").startswith("a.csv:1: no column names the picture (found: none)")
    assert fault("a.jsonl", '{"sku": 1}\n{"sku": 2}').startswith("a.jsonl:1: no column names the picture")
    assert [item.source for item in rows("a.csv", "image,sku,image\na,b,c\n")] == ["a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'image,title\na.jpg,"one, ""two"""\nb.jpg,"three\nfour"\n'),
        ("a.csv", 'image;title\na.jpg;"one, ""two"""\nb.jpg;"three\nfour"\n'),
        ("a.CSV", '\n  \nimage,title\n\n,\na.jpg,"one, ""two"""\n\nb.jpg,"three\nfour"'),
        ("a.csv", 'image,title,,\na.jpg,"one, ""two""",,\nb.jpg,"three\nfour",,,,\n'),
        ("a.csv", ',image,title\n0,a.jpg,"one, ""two"""\n1,b.jpg,"three\nfour"\n'),
        ("a.tsv", 'image\ttitle\na.jpg\t"one, ""two"""\nb.jpg\t"three\nfour"\n'),
        ("a.csv.gz", 'image,title\na.jpg,"one, ""two"""\nb.jpg,"three\nfour"\n'),
        ("a.jsonl", '{"image": "a.jpg", "title": "one, \\"two\\""}\n\n{"image": "b.jpg", "title": "three\\nfour"}'),
        ("a.NDJSON.GZ", '{"image": "a.jpg", "title": "one, \\"two\\""}\n{"image": "b.jpg", "title": "three\\nfour"}'),
    ],
)
def test_every_format_and_encoding_gives_the_same_rows(name: str, content: str) -> None:
    for encoding in ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]:
        for end in ["\n", "\r\n"]:
            mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
            data = mark + content.replace("\n", end).encode(encoding)
            Path(name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
            titles = [(item.id, item.meta["title"].replace("\r\n", "\n")) for item in read([name], out=None)]
            assert titles == [("a.jpg", 'one, "two"'), ("b.jpg", "three\nfour")], (encoding, end)


def test_a_text_list_has_one_path_a_line_and_comments() -> None:
    items = rows("a.txt", "# shoes\r\na b.jpg\r\n\r\nhttps://cdn.example/b.jpg#top\nsub/鞋.jpg")
    assert [(item.id, item.origin) for item in items] == [
        ("a b.jpg", "a.txt:2"),
        ("https://cdn.example/b.jpg#top", "a.txt:4"),
        ("sub/鞋.jpg", "a.txt:5"),
    ]


def test_a_row_is_named_by_the_line_it_starts_in() -> None:
    items = rows("a.csv", '\nimage,title\na.jpg,"1\n2\n3"\n\nb.jpg,x\n')
    assert [item.origin for item in items] == ["a.csv:3", "a.csv:7"]


def test_only_one_row_is_limited_in_size_not_the_manifest() -> None:
    assert len(rows("a.csv", "image,title\n" + "".join(f"{number}.jpg,{'x' * 60_000}\n" for number in range(40)))) == 40


@pytest.mark.parametrize(
    ("name", "content", "place", "text"),
    [
        ("a.csv", "image,id\na.jpg,1\nb.jpg,2,3\n", "a.csv:3", "has 3 cells where the header has 2"),
        ("a.csv", 'image,id\n\na.jpg,"1\n2\n', "a.csv:3", "check its quotes"),
        ("a.csv", 'image,id\na.jpg,"1" x\n', "a.csv:2", "check its quotes"),
        ("a.csv", "image,id\na.jpg,\0\n", "a.csv:2", "NUL byte; save it as UTF-8"),
        (
            "a.csv",
            b"image\n" + b"a.jpg\n" * 3000 + b"caf\xe9.jpg\nb.jpg\n",
            "a.csv:3002",
            "not valid UTF-8; save it as",
        ),
        ("a.csv", "image\na.jpg\n".encode("utf-16-le"), "a.csv:1", "NUL byte"),
        ("a.csv", "image\na.jpg\n".encode("utf-16")[:-1], "a.csv:", "not valid UTF-"),
        ("a.csv", "image\n" + "x" * 1_000_001, "a.csv:2", "longer than 1,000,000 characters"),
        ("a.csv", 'image\n"' + "x\n" * 200_000, "a.csv:2", "check its quotes"),
        ("a.csv", "image\na" + ',"\n"' * 500_000, "a.csv:2", "it is longer than 1,000,000"),
        ("a.csv.gz", "image\n" + "x" * 3_000_000, "a.csv.gz:2", "longer than 1,000,000 characters"),
        (
            "a.jsonl",
            '{"image": "a"}\n{"image": }',
            "a.jsonl:2",
            "not valid JSON: JSON is malformed: invalid character (byte 10)",
        ),
        ("a.jsonl", '["a.jpg"]', "a.jsonl:1", "must be a JSON object"),
        ("a.jsonl", '{"image": 5}', "a.jsonl:1", "it is of type int"),
        ("a.jsonl", '{"image": "a\\u0000"}', "a.jsonl:1", "NUL"),
        ("a.jsonl", '{"image": "a", "id": true}', "a.jsonl:1", "'id' must hold text"),
        ("a.jsonl", '{"image": "a", "output": ["b"]}', "a.jsonl:1", "'output' must hold text"),
        ("a.jsonl", '{"image": "a", "x": NaN}', "a.jsonl:1", "not valid JSON"),
        ("a.jsonl", '{"image": "a", "x": 1e999}', "a.jsonl:1", "out of range"),
        ("a.jsonl", '{"image": "a", "x": ' + "9" * 5000 + "}", "a.jsonl:1", "not valid JSON"),
        ("a.jsonl", '{"image": "a", "x": "\\ud83d"}', "a.jsonl:1", "not valid JSON"),
        ("a.jsonl", '{"image": "a", "x": ' + "[" * 70 + "]" * 70 + "}", "a.jsonl:1", "nested"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1", "recursion"),
        ("a.txt", b"a.jpg\n\xff\xff\n", "a.txt:2", "not valid UTF-8"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(name: str, content: str | bytes, place: str, text: str) -> None:
    message = fault(name, content)
    assert message.startswith(place)
    assert text in message


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "appended"])
def test_a_damaged_gz_is_named(damage: str) -> None:
    packed = gzip.compress("".join(f"{number}.jpg\n" for number in range(2_000)).encode())
    middle = len(packed) // 2
    data = {
        "cut": packed[:-20],
        "garbage": b"a.jpg\n",
        "flipped": packed[:middle] + bytes(byte ^ 255 for byte in packed[middle : middle + 9]) + packed[middle + 9 :],
        "appended": packed + b"garbage",
    }[damage]
    Path("a.txt.gz").write_bytes(data)
    with pytest.raises(ManifestError, match=r"^a\.txt\.gz:\d+: (the compressed file|not valid UTF-8|the line holds)"):
        ids("a.txt.gz")


@pytest.mark.parametrize(
    "output", ["/a.png", "../a.png", "a/../b.png", "C:a.png", r"C:\a.png", "a//b", "a/", r"\a", r"a\..\b"]
)
def test_an_output_never_leads_outside(output: str) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([["image", "output"], ["a.jpg", "fine.png"], ["b.jpg", output]])
    message = fault("a.csv", content.getvalue())
    assert message.startswith("a.csv:3: the output ")
    assert fault("a.jsonl", '{"image": "a", "output": "a\\u0000b"}').startswith("a.jsonl:1: the output ")


def test_ids_are_kept_as_written_but_for_blanks_around_them() -> None:
    odd = ["b c", "../x", "cafe\u0301", "café", "A", "a"]
    content = "".join(json.dumps({"image": f"{index}.jpg", "id": each}) + "\n" for index, each in enumerate(odd))
    assert [item.id for item in rows("a.jsonl", content)] == odd
    written = [("42", "42"), ("7.0", "7"), ("7.5", "7.5"), ('" A "', "A"), ('" "', "a.jpg")]
    assert [rows("a.jsonl", f'{{"image": "a.jpg", "id": {one}}}')[0].id for one, _ in written] == [
        found for _, found in written
    ]
    shop = "https://shop.example/"
    padded, blank = rows("a.csv", f"id,image\n A ,{shop}a.jpg\n \t,{shop}b.jpg\n")
    assert (padded.id, padded.was, blank.id) == ("A", (f"{shop}a.jpg", " A "), f"{shop}b.jpg")
    assert "is of type bool" in fault("a.jsonl", '{"image": "a.jpg", "sku": true}')
    assert rows("a.jsonl", '{"image": "./a.jpg", "id": null}')[0].id == "./a.jpg"


def test_a_missing_picture_and_a_folder_in_a_row_are_not_the_readers_business() -> None:
    make("shop/img/a.jpg")
    assert [item.path for item in rows("shop/a.txt", "gone.jpg\nimg\n")] == [Path("shop/gone.jpg"), Path("shop/img")]


def test_an_unreadable_manifest_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    make("a.csv")

    def refusing(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ManifestError, match=r"a\.csv can't be read: Permission denied"):
        ids("a.csv")


class BrokenDisk(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError(5, "Input/output error")


def test_a_disk_that_fails_while_reading_is_an_error() -> None:
    with pytest.raises(ManifestError, match="stdin:1: can't be read further: Input/output error"):
        list(read(["-"], out=None, stdin=io.BufferedReader(BrokenDisk())))


# Standard input


def test_stdin_takes_paths_and_json_objects_relative_to_the_current_folder() -> None:
    stdin = buffered(b'# list\nimg/a.jpg\n{"image": "b.jpg", "id": "B", "sku": 1}\n\nhttps://cdn.example/c.jpg\n')
    items = list(read(["-"], out=None, stdin=stdin))
    assert items == [
        Item("img/a.jpg", "img/a.jpg", "stdin:2", path=Path("img/a.jpg")),
        Item("B", "b.jpg", "stdin:3", path=Path("b.jpg"), meta={"sku": 1}, own_id=True),
        Item("https://cdn.example/c.jpg", "https://cdn.example/c.jpg", "stdin:5"),
    ]
    assert not stdin.closed
    [item] = read(["-"], out=None, stdin=buffered(b"{a}.jpg\n"))
    assert item.problem is not None
    assert item.problem.startswith("not valid JSON")


def test_a_slow_pipe_gives_each_line_as_it_comes() -> None:
    receiver, sender = os.pipe()
    with open(receiver, "rb") as stdin, open(sender, "wb", buffering=0) as writer:  # noqa: PTH123  # descriptors
        items = read(["-"], out=None, stdin=stdin)
        for name in ("a.jpg", "b.jpg"):
            writer.write(f"{name}\n".encode())
            assert next(items).id == name
        writer.close()
        assert list(items) == []
        assert not stdin.closed


# Duplicates


def test_the_same_row_twice_is_done_once_and_both_lines_are_named() -> None:
    Path("a.csv").write_text("image,id\na.jpg,1\nb.jpg,2\n./a.jpg,1\n")
    assert warned("a.csv") == (["1", "2"], ["a.csv:4: a.jpg was named before (a.csv:2); it is done once."])


def test_an_id_that_stands_again_with_another_picture_is_numbered_in_order_and_said_once() -> None:
    Path("a.csv").write_text("image,id\na.jpg,1\nb.jpg,1\na.jpg,1\nc.jpg,1\nb.jpg,1\nd.jpg,1-2\ne.jpg,1\n")
    found, warnings = warned("a.csv")
    assert found == ["1", "1-2", "1-3", "1-2-2", "1-4"]
    displaced, said = [warning for warning in warnings if "named before" not in warning]
    assert said.startswith("a.csv:3: the id '1' stands for another picture already (a.csv:2): this one is '1-2' (3 ")
    assert displaced == (
        "a.csv:7: the id '1-2' stands for another picture already (numbered so for a.csv:3): this one is '1-2-2'"
    )
    assert [(item.name, item.suffix) for item in read(["a.csv"], out=None)][:3] == [
        (None, ""),
        ("1", "-2"),
        ("1", "-3"),
    ]


@pytest.mark.parametrize("place", ["https://x.example/", ""])
def test_a_row_whose_own_id_is_that_of_a_picture_in_a_cell_is_an_item_too(place: str) -> None:
    for name in ("1.jpg", "2.jpg"):
        Path(name).write_bytes(b"")
    Path("a.csv").write_text(f"image,id\n{place}1.jpg|{place}2.jpg,c\n{place}3.jpg,c-1\n")
    found, [said] = warned("a.csv")
    assert found == ["c-1", "c-2", "c-1-2"]
    assert said.startswith("a.csv:3: the id 'c-1' stands for another picture already (numbered so for a.csv:2)")


def test_a_strict_reader_stops_at_an_id_for_two_pictures_and_names_both_lines() -> None:
    Path("a.csv").write_text("image,id\na.jpg,1\nb.jpg,1\n")
    with pytest.raises(ManifestError, match=r"a.csv:3: the id '1' stands .* already \(a.csv:2\); give each its own"):
        list(read_rows(["a.csv"], Reading(Choice(strict=True))))


def test_one_picture_under_two_ids_is_fine_in_a_manifest() -> None:
    assert [item.id for item in rows("a.csv", "image,id\na.jpg,1\na.jpg,2\n")] == ["1", "2"]


def test_a_file_reached_in_two_ways_is_done_once() -> None:
    make("photos/a.jpg", "photos/b.jpg")
    assert warned("photos", "photos/*.jpg") == (
        ["photos/a.jpg", "photos/b.jpg"],
        [
            "photos/*.jpg: photos/a.jpg was named before (photos); it is done once.",
            "photos/*.jpg: photos/b.jpg was named before (photos); it is done once.",
        ],
    )
    found, warnings = warned("./photos/a.jpg", str(Path("photos/a.jpg").absolute()), "photos")
    assert found == ["./photos/a.jpg", "photos/b.jpg"]
    assert len(warnings) == 2


# The reader as a whole


@pytest.mark.parametrize(
    ("inputs", "stdin"),
    [([], b""), (["empty"], b""), (["-"], b"# nothing\n"), (["a.csv"], b""), (["a.csv", "-"], b"\n")],
)
def test_nothing_to_do_is_an_error(inputs: list[str], stdin: bytes) -> None:
    Path("empty").mkdir()
    Path("a.csv").write_text("image,id\n")
    with pytest.raises(ManifestError, match="nothing to do"):
        list(read(inputs, out=None, stdin=buffered(stdin)))


def test_the_check_finds_a_bad_manifest_before_anything_is_bought() -> None:
    make(*(f"photos/{number}.jpg" for number in range(20)))
    Path("a.csv").write_text("image,id\n" + "".join(f"{number}.jpg,{number}\n" for number in range(20)) + "b.jpg,1,2\n")
    strict = Choice(strict=True)
    assert check(["a.csv"], Reading(strict), rows=19) is None
    with pytest.raises(ManifestError, match=r"a\.csv:22"):
        check(["a.csv"], Reading(strict))
    with pytest.raises(ManifestError, match=r"a\.csv:22"):
        check(["photos", "a.csv"], Reading(strict), rows=21)
    assert check(["a.csv"], Reading()) == 21
    with pytest.raises(ManifestError, match="nothing to do"):
        check([], Reading())
    with pytest.raises(ManifestError, match="does not exist"):
        check(["-", "gone.csv"], Reading())


def test_the_check_counts_what_it_has_read_to_the_end_and_shows_each_item() -> None:
    make("photos/a.jpg", "photos/b.jpg")
    shown: list[str] = []
    assert check(["photos"], Reading(), look=lambda item: shown.append(item.id)) == 2
    assert shown == ["a.jpg", "b.jpg"]
    assert check(["photos"], Reading(), rows=2) == 2
    assert check(["photos"], Reading(), rows=1) is None


def test_names_of_single_pictures_start_below_their_folder_and_those_of_globs_below_the_first_wildcard() -> None:
    make("p/x/main.jpg", "p/y/main.jpg")
    assert [item.name for item in read(["p/x/main.jpg"], out=None)] == ["main.jpg"]
    assert [item.name for item in read([f"{Path.cwd()}/p/x/main.jpg"], out=None)] == ["main.jpg"]
    assert [item.name for item in read(["p/*/main.jpg"], out=None)] == ["x/main.jpg", "y/main.jpg"]
    assert [item.name for item in read(["p/**/*.jpg"], out=None)] == ["x/main.jpg", "y/main.jpg"]


def test_the_check_leaves_stdin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    check(["-"], Reading())
    Path("a.csv").write_text("image\n")
    check(["a.csv", "-"], Reading())


def test_an_abandoned_reader_lets_go_of_its_file() -> None:
    Path("a.txt").write_text("a.jpg\nb.jpg\n")
    items = read(["a.txt"], out=None)
    assert next(items).id == "a.jpg"
    del items  # a ResourceWarning would be an error


class Endless(io.RawIOBase):
    """A list of pictures without an end."""

    def __init__(self) -> None:
        self._numbers = iter(range(1 << 60))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        line = b"%d.jpg\n" % next(self._numbers)
        buffer[: len(line)] = line
        return len(line)


def test_a_list_without_an_end_is_read_lazily_in_few_bytes_a_row() -> None:
    items = read(["-"], out=None, stdin=io.BufferedReader(Endless()))
    next(items)
    tracemalloc.start()
    try:
        for _ in range(2_000):
            next(items)
        # pathlib interns names: where the interpreter's table of them has to grow, that is no row's cost.
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
        size = sum(trace.size for trace in kept.traces)
    finally:
        tracemalloc.stop()
    assert size / 2_000 < 250


FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"image", b"id", b"output", b"a.jpg", b"https://h/", b"data:", b'{"image":', b"}", b'"', b"#"]
        ),
        st.sampled_from(
            [b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\\ud83d", b"[["]
        ),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FRAGMENTS, st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.csv.gz", "-"]), st.booleans())
@example(b'{"image": "x", "y": "\\ud83d\\ude00"}', "-", False)
def test_any_bytes_give_items_or_a_manifest_error(content: bytes, name: str, with_header: bool) -> None:
    data = b"image,id,output\n" + content if with_header else content
    if name != "-":
        Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    try:
        items = list(read([name], out=None, stdin=buffered(data)))
    except ManifestError as error:
        str(error).encode()
        return
    for item in items:
        json.dumps([item.id, item.source, item.origin, dict(item.meta)], ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_called_gz_give_a_manifest_error(content: bytes) -> None:
    Path("b.jsonl.gz").write_bytes(content)
    with pytest.raises(ManifestError):
        ids("b.jsonl.gz")


def test_lines_keep_their_ends_and_leave_the_stream_open() -> None:
    stream = buffered(b"\xef\xbb\xbfa\r\nb\rc")
    assert list(lines(stream, "x")) == ["a\r\n", "b\r", "c"]
    assert not stream.closed
    stream.seek(0)
    with closing(lines(stream, "x")) as some:  # type: ignore[type-var]  # a generator by construction
        next(some)
    assert not stream.closed


# The samples


@pytest.mark.parametrize("name", ["catalogue.csv", "catalogue.jsonl"])
def test_the_samples_name_pictures_that_are_there(name: str) -> None:
    items = list(read([str(SAMPLES / name)], out=None))
    assert len(items) >= 3
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.path is not None
        assert item.path.is_file(), item.path
        assert item.meta["title"]


# What makes long manifests cheap changes nothing


@settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(st.sampled_from("ab,é\n\r\0\ud800"), max_size=40))
def test_the_lines_of_a_text_are_all_of_it_and_those_that_cannot_be_used_say_so(tmp_path: Path, written: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(written.encode("utf-8", "surrogatepass"))
    whole = io.StringIO(written, newline="").readlines()
    bad = [nth for nth, line in enumerate(whole) if "\0" in line or "\ud800" in line]
    with path.open("rb") as stream:
        got = list(lines(stream, "t.txt"))
    assert [nth for nth, line in enumerate(got) if isinstance(line, Flawed)] == bad
    assert [line for nth, line in enumerate(got) if nth not in bad] == [
        line for nth, line in enumerate(whole) if nth not in bad
    ]


CELLS = ["", " ", "p1", "p2", "https://x.example/a.jpg", "https://x.example/b.jpg ", "http://", "HTTPS://x.example/a b"]
CELLS += [
    "https://x.example:0/a",
    "https://é.example/ü,1.jpg",
    "in/a.jpg",
    "../up",
    "file:///a.jpg",
    'say "no"',
    "a\nb",
    "nul\0",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.permutations(["id", "output", "sku", "image"])
    | st.lists(st.sampled_from(["image", "URL", "id", "sku"]), max_size=4),
    st.lists(st.lists(st.sampled_from(CELLS) | st.just(CELLS[4]), min_size=1, max_size=5), min_size=1, max_size=6),
    st.booleans(),
    st.integers(1, 7),
    st.sampled_from(["", "\n", '"', '"https://x.example/a.jpg']),
)
def test_rows_taken_as_they_are_give_the_items_and_the_errors_of_those_looked_at_closely(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    header: list[str],
    cells: list[list[str]],
    padded: bool,
    many: int,
    tail: str,
) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        width = len(header)
        csv.writer(file).writerows([header, *((row * width)[:width] if padded else row for row in cells)])
        file.write(tail)
    monkeypatch.setattr(table, "MANY", many)

    def found(*, closely: bool) -> list[Any]:
        with monkeypatch.context() as patch:
            if closely:
                patch.setattr(table.Table, "url_rows", lambda *_: None)
                patch.setattr(table, "_one_a_line", lambda *_: None)
                patch.setattr(table, "MANY", 1000)
            got: list[Any] = []
            try:
                got.extend(read([str(path)], out=None, on_warning=got.append))
            except ManifestError as error:
                got.append(str(error))
            return got

    assert found(closely=False) == found(closely=True)


def test_a_plain_row_of_a_table_is_no_item_yet() -> None:
    url = "https://x.example/a.jpg"
    Path("a.csv").write_text(f"sku,id,image,output\n7,shoe,{url},\n7,hat,in/a.jpg,\n7,bag,{url},bag\n7,,{url},\n")
    first, *others = read_rows(["a.csv"], Reading())
    assert first == UrlRow("shoe", url, {"sku": "7"}, "a.csv", 2)
    assert [isinstance(row, Item) for row in others] == [True] * 3
    for number, row in enumerate([f"7,,{url},", "7,hat,in/a.jpg,", f"7,bag,{url},bag", f"7,shoe,{url},"]):
        Path("a.csv").write_text(f"sku,id,image,output\n{row}\n")
        assert isinstance(next(read_rows(["a.csv"], Reading())), Item) == (number < 3)


def test_what_comes_before_an_error_is_handed_over_first() -> None:
    url = "https://x.example/a.jpg"
    Path("a.csv").write_text(f"id,image\np1,{url}\np2,{url}\np\0,{url}\n")
    rows = read_rows(["a.csv"], Reading(Choice(strict=True)))
    assert [next(rows).id, next(rows).id] == ["p1", "p2"]
    with pytest.raises(ManifestError, match=r"a\.csv:4: the line holds a NUL byte"):
        next(rows)


def test_of_long_rows_few_are_in_memory_at_a_time() -> None:
    row = f"p%d,https://x.example/{'a' * 100_000}.jpg\n"
    Path("a.csv").write_text("".join(["id,image\n", *(row % number for number in range(200))]))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(["a.csv"], Reading())) == 200
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000


@settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=30), st.integers(1, 30))
def test_rows_marked_together_are_those_that_are_looked_at_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: list[tuple[int, bool]], many: int
) -> None:
    path = tmp_path / "t.csv"
    lines = [f"p{number},https://x.example/{number}.jpg{'?2' * (other and number < 3)}\n" for number, other in named]
    path.write_text("".join(["id,image\n", *lines]))
    monkeypatch.setattr(table, "MANY", many)

    def found(*, marked: bool) -> list[Any]:
        with monkeypatch.context() as patch:
            if not marked:
                patch.setattr(Marks, "add", lambda *_: True)
            got: list[Any] = []
            try:
                got.extend(read([str(path)], out=None, on_warning=got.append))
            except ManifestError as error:
                got.append(str(error))
            return got

    assert found(marked=True) == found(marked=False)


@given(st.lists(st.sets(st.text(max_size=3), max_size=8), max_size=8))
def test_no_key_comes_twice_without_a_mark_that_says_so(together: list[set[str]]) -> None:
    marks, known = Marks(), set[str]()
    for keys in together:
        assert marks.add(keys) == (not known.isdisjoint(keys))  # of so few keys none looks like another by chance
        known |= keys
    assert Marks().add(["a", "b", "a"])


def test_an_id_that_only_looks_as_if_it_had_come_before_is_an_item_like_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"https://shop.example/{number}.jpg\n" for number in range(50)))
    whole = list(read([str(path)], out=None))
    count = itertools.count()
    monkeypatch.setattr(Marks, "add", lambda *_: next(count) == 30)
    assert list(read([str(path)], out=None)) == whole
    assert len(whole) == 50


@pytest.mark.parametrize("kind", [Marks, Seen])
def test_what_came_before_takes_few_bytes_a_row(kind: Any) -> None:
    def size(rows: int) -> int:
        tracemalloc.start()
        kept = kind()
        for number in range(rows):
            known = kept.add([f"item {number}"]) if kind is Marks else kept.add(f"item {number}", "a", "a.csv:1")
            assert not known
        assert kept.add(["item 7"]) if kind is Marks else kept.add("item 7", "a", "b").origin == "a.csv:1"
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        if kind is Seen:  # what SQLite takes isn't traced
            taken += kept._rows.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            ).fetchone()[0]
            kept.close()
        return taken

    assert (size(16_000) - size(8_000)) / 8_000 < {Marks: 12, Seen: 40}[kind]
