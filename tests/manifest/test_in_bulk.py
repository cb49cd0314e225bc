"""What makes long manifests cheap changes nothing."""

from __future__ import annotations

import csv
import io
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ManifestError
from batch_removebg.manifest import table
from batch_removebg.manifest.columns import Choice
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.manifest.seen import Marks, Seen
from batch_removebg.manifest.text import Flawed, lines
from batch_removebg.model import Item, UrlRow
from tests.support.items import read
from tests.support.listings import here

__all__ = ["here"]


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
