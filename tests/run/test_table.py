"""results.csv gives the manifest back: its rows, with its columns, in its order, and what became of each."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.events import Kind
from batch_removebg.ledger.index.run_items import Table
from batch_removebg.model import Lot
from tests.support.bench import Bench, bench

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
ENDS = ["output", "status", "flags", "error"]
FLAGS = "suspect faint cut-off"  # of every picture
SAVED = ["saved", FLAGS, ""]


def table(bench: Bench) -> list[list[str]]:
    return list(csv.reader((bench.out / "results.csv").read_text("utf-8").splitlines(keepends=True)))


def write(bench: Bench, name: str, text: str) -> str:
    path = bench.photos / name
    path.write_text(text, "utf-8")
    return str(path)


async def test_a_tables_rows_come_back_as_they_are_with_what_became_of_them(bench: Bench) -> None:
    bench.add("a.jpg", 'b,"x".jpg')
    (bench.photos / "c.jpg").write_bytes(b"")
    export = write(
        bench,
        "export.csv",
        "Titel;Image Src;;SKU;tag;tag\r\n"
        "=1+1;a.jpg; x ;z1;one;two\r\n"
        "kein Bild;;;z2\r\n"
        '"zwei\nZeilen, größer";"b,""x"".jpg";;z0;;\r\n'
        "zu lang;a.jpg;;z4;;;;seven\r\n"
        'offen;"a.jpg;;z5;;\r\n'
        "kaputt;c.jpg;;z3;;\r\n",
    )
    await bench.run(export)
    *rows, last = table(bench)
    failed = {item["id"]: item["error"]["message"] for item in bench.results()["items"] if item["error"]}
    assert rows == [
        ["Titel", "Image Src", "", "SKU", "tag", "tag", *ENDS],
        ["=1+1", "a.jpg", " x ", "z1", "one", "two", "z1.png", *SAVED],
        ["kein Bild", "", "", "z2", "", "", "", "no picture", "", ""],
        ["zwei\nZeilen, größer", 'b,"x".jpg', "", "z0", "", "", "z0.png", *SAVED],
        ["zu lang", "a.jpg", "", "z4", "", "", "", "failed", "", failed[f"{export}:6"]],
        ["", "", "", "", "", "", "", "failed", "", f"{export}:7: {failed[f'{export}:7']}"],
    ]
    assert last == ["kaputt", "c.jpg", "", "z3", "", "", "", "failed", "", failed["z3"]]
    assert (bench.out / "results.csv").read_bytes().count(b"\r\n") == 7


async def test_objects_keys_are_columns_and_values_that_are_no_text_stand_as_json(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    given: list[dict[str, Any]] = [
        {"image": "a.jpg", "title": "x", "status": "active", "none": None},
        {"price": 7.5, "image": "b.jpg", "tags": ["x"]},
    ]
    await bench.run(write(bench, "list.jsonl", "\n".join(map(json.dumps, given))))
    assert table(bench) == [
        ["image", "title", "status", "none", "price", "tags", "output", "status_", "flags", "error"],
        ["a.jpg", "x", "active", "", "", "", "a.png", *SAVED],
        ["b.jpg", "", "", "", "7.5", '["x"]', "b.png", *SAVED],
    ]


async def test_a_row_with_several_pictures_stays_one_row_with_the_worst_of_their_ends(bench: Bench) -> None:
    bench.add("a.jpg", "c.jpg")
    (bench.photos / "b.jpg").write_bytes(b"")
    await bench.run(write(bench, "list.csv", "id,images\nx,a.jpg|b.jpg|c.jpg\ny,a.jpg|c.jpg\n"))
    [error] = (item["error"]["message"] for item in bench.results()["items"] if item["error"])
    assert table(bench) == [
        ["id", "images", *ENDS],
        ["x", "a.jpg|b.jpg|c.jpg", "x-1.png |  | x-3.png", "failed", f"{FLAGS} |  | {FLAGS}", error],
        ["y", "a.jpg|c.jpg", "y-1.png | y-2.png", "saved", f"{FLAGS} | {FLAGS}", ""],
    ]


async def test_rows_that_share_an_id_or_repeat_another_have_the_end_of_their_own_picture(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    pictures = ["a", "b", "a", "c", "b", "c"]
    await bench.run(write(bench, "list.csv", "id,image\n" + "".join(f"s,{name}.jpg\n" for name in pictures)))
    names = {"a": "s.png", "b": "s-2.png", "c": "s-3.png"}
    assert [row[:3] for row in table(bench)[1:]] == [["s", f"{name}.jpg", names[name]] for name in pictures]


async def test_several_inputs_have_their_columns_beside_each_other_in_the_order_of_reading(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg", "more/c.jpg")
    first = write(bench, "1.csv", "sku,image\n1,a.jpg\n")
    second, third = write(bench, "2.csv", "photo,shelf,sku\nb.jpg,top,2\n"), write(bench, "3.txt", "b.jpg\n")
    await bench.run(first, second, third, str(bench.photos / "more"))
    assert table(bench) == [
        ["sku", "image", "photo", "shelf", "id", "source", *ENDS],
        ["1", "a.jpg", "", "", "", "", "1.png", *SAVED],
        ["2", "", "b.jpg", "top", "", "", "2.png", *SAVED],
        ["", "", "", "", "b.jpg", str(bench.photos / "b.jpg"), "b.png", *SAVED],
        ["", "", "", "", "more/c.jpg", str(bench.photos / "more" / "c.jpg"), "more/c.png", *SAVED],
    ]


async def test_rows_behind_a_limit_or_an_interrupt_are_there_with_what_is_known_of_them(bench: Bench) -> None:
    names = [f"{number:02}" for number in range(40)]
    bench.add(*(f"{name}.jpg" for name in names))
    export = write(bench, "list.csv", "image\n" + "".join(f"{name}.jpg\n" for name in names[20:]))
    await bench.run(export)
    export = write(bench, "list.csv", "image\n" + "".join(f"{name}.jpg\n" for name in names))
    await bench.run(export, limit=1)
    waits = [f"{name}.jpg" for name in names[1:20]]
    done = [[f"{name}.jpg", f"{name}.png", *SAVED] for name in ("00", *names[20:])]
    pending = [[name, "", "pending", "", "not done yet: --limit is reached"] for name in waits]
    assert table(bench)[1:] == [done[0], *pending, *done[1:]]


async def test_the_table_says_of_pending_rows_what_they_wait_for(bench: Bench) -> None:
    bench.add("a.jpg")
    bench.on_event = lambda event: bench.stop() if event.kind is Kind.STARTED else None
    summary = await bench.run()
    assert table(bench)[1][2:] == ["", "pending", "", f"not done yet: {summary.stopped}"]


async def test_rows_in_another_order_are_written_anew_though_nothing_else_has_changed(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run(write(bench, "list.csv", "image\na.jpg\nb.jpg\n"))
    lines = len(bench.ledger())
    await bench.run(write(bench, "list.csv", "image\nb.jpg\n-\na.jpg\n"))
    assert [row[:3] for row in table(bench)[1:]] == [
        ["b.jpg", "b.png", "saved"],
        ["-", "", "no picture"],
        ["a.jpg", "a.png", "saved"],
    ]
    assert [line["event"] for line in bench.ledger()[lines:]] == ["run_started", "run_finished"]


async def test_what_lets_somebody_in_is_left_out_of_every_cell(bench: Bench) -> None:
    bench.add("a.jpg")
    secret = "https://me:geheim@x.example/a.jpg?v=7&X-Amz-Signature=geheim"
    await bench.run(
        write(bench, "list.csv", f"image,more,more,{secret}\na.jpg,{secret},see {secret}!,x\n,{secret},,\n")
    )
    text = (bench.out / "results.csv").read_text()
    assert ("geheim" in text, text.count("https://x.example/a.jpg?v=7")) == (False, 4)


def blocks(number: int) -> Iterator[Lot]:
    letters = random.Random(number)
    for first in range(0, number, 512):
        rows = [[f"{n}", "ä\n" * letters.randrange(20)] for n in range(first, min(first + 512, number))]
        yield Lot(["id", "text"], rows, [str(row[0]) for row in rows])


def test_more_rows_than_fit_into_memory_come_back_in_order(tmp_path: Path) -> None:
    given = list(blocks(20_000))
    with closing(Table(tmp_path / "index.sqlite")) as kept:
        for lot in given:
            kept.keep(lot)
        found = list(kept.blocks())
        assert (list(tmp_path.iterdir()), max(map(len, found)) < len(given)) == ([], True)
    assert [lot for some in found for lot in some] == given
