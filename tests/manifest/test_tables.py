"""What a manifest may hold: its rows, their faults, and ids that come twice."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest

from batch_removebg.errors import ManifestError
from batch_removebg.manifest.columns import Choice
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.model import Item
from tests.support.items import buffered, read
from tests.support.listings import here, ids, make, rows, warned

__all__ = ["here"]


def fault(name: str, content: bytes | str) -> str:
    with pytest.raises(ManifestError) as caught:
        rows(name, content, Choice(strict=True))
    return str(caught.value)


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
