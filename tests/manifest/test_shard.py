"""Shards divide the rows of a manifest: each row is of one, whatever the order; rows with one source meet."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg.errors import ManifestError
from batch_removebg.manifest.reader import Reading, check, read_rows
from batch_removebg.manifest.shard import Shard, Tally
from batch_removebg.model import Lot
from tests.support.listings import here, make

__all__ = ["here"]
URL = "https://shop.example/{}.jpg"


def shard_by_shard(inputs: list[str], of: int) -> list[list[tuple[str, str]]]:
    """(Id, source) of the items of each shard; all have counted the same manifest."""
    readings = [Reading(shard=Shard(number, of)) for number in range(1, of + 1)]
    found = [[(row.id, row.source) for row in read_rows(inputs, reading)] for reading in readings]
    whole = [(row.id, row.source) for row in read_rows(inputs, Reading())]
    assert {(reading.whole.items, reading.whole.digest) for reading in readings} == {
        (len(whole), sum_of(row[0] for row in whole))
    }
    assert sorted(chain(*found)) == sorted(whole)
    return found


def sum_of(ids: Iterable[str]) -> int:
    tally = Tally()
    for one in ids:
        tally.add(one)
    return tally.digest


def write(name: str, rows: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([("id", "image"), *rows])
    Path(name).write_text(text.getvalue(), "utf-8")
    return name


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 5)), min_size=1, max_size=25),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_every_row_is_of_one_shard_and_rows_with_one_source_meet_in_every_order(
    rows: list[tuple[str, int]], of: int, dice: random.Random
) -> None:
    named = [(f"{name}{nth}", URL.format(f"{source}?token=eyJ.{nth}.x&" if source % 2 else source))
             for nth, (name, source) in enumerate(rows)]  # fmt: skip
    found = shard_by_shard([write("a.csv", named)], of)
    sources = [{source for _, source in shard} for shard in found]
    assert sum(map(len, sources)) == len(set.union(*sources))
    dice.shuffle(named)
    assert [set(shard) for shard in shard_by_shard([write("b.csv", named)], of)] == [set(shard) for shard in found]


def test_ids_that_repeat_are_numbered_as_they_are_without_shards() -> None:
    name = write("a.csv", [("x", URL.format(nth % 7)) for nth in range(20)])
    assert {row[0] for shard in shard_by_shard([name], 3) for row in shard} == {"x", *(f"x-{n}" for n in range(2, 8))}


def test_a_folder_is_divided_alike_wherever_it_lies_and_however_it_is_named() -> None:
    for place in ("here/photos", "there/mnt/photos"):
        make(*(f"{place}/{nth % 3}/{nth}.jpg" for nth in range(40)))
    Path("linked").symlink_to("there/mnt/photos")
    ways = ("here/photos", "there/mnt/photos", "linked", str(Path("here/photos").absolute()))
    divided = [[{key for key, _ in shard} for shard in shard_by_shard([place], 4)] for place in ways]
    assert divided == divided[:1] * 4


def test_spellings_of_one_path_meet() -> None:
    make("p/a.jpg")
    ways = ["a.jpg", "./a.jpg", "../p/a.jpg", str(Path("p/a.jpg").absolute())]
    write("p/list.csv", [(f"{nth}", way) for nth, way in enumerate(ways)])
    assert sorted(map(len, shard_by_shard(["p/list.csv"], 3))) == [0, 0, 4]


def test_sixteen_shards_of_ten_thousand_rows_are_alike_to_a_fifth() -> None:
    sizes = [0] * 16
    for nth in range(10_000):
        sizes[next(n for n in range(16) if Shard(n + 1, 16).has(URL.format(nth)))] += 1
    assert (min(sizes), max(sizes)) == (577, 655)
    assert 500 <= min(sizes) <= max(sizes) <= 750


def test_the_shard_of_a_source_is_the_same_in_every_version() -> None:
    assert [Shard(number, 16).has(URL.format(1)) for number in range(1, 17)].index(True) + 1 == 10


@given(st.integers(0, 10**7), st.integers(1, 300))
def test_parts_of_a_budget_add_up_to_it_and_differ_by_one(count: int, of: int) -> None:
    parts = [Shard(number, of).share(count) for number in range(1, of + 1)]
    assert sum(parts) == count
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


def test_rows_without_a_picture_are_kept_by_the_first_shard_and_others_by_their_own() -> None:
    name = write("a.csv", [(f"{nth}", URL.format(nth) if nth % 5 else "") for nth in range(20)])
    kept: list[list[Lot]] = [[], []]
    for number in (1, 2):
        list(read_rows([name], Reading(shard=Shard(number, 2), keep=kept[number - 1].append)))
    first, second = ([row for lot in lots for row in lot.rows] for lots in kept)
    assert sorted([row[0] for row in [*first, *second]], key=int) == [str(nth) for nth in range(20)]
    assert {row[0] for row in first} >= {"0", "5", "10", "15"}
    assert all(list(lot.ids) == [row[0] for row in lot.rows if row[1]] for lots in kept for lot in lots)


def test_a_shard_without_rows_is_no_mistake_and_a_manifest_without_any_is() -> None:
    name = write("a.csv", [("only", URL.format(1))])
    assert sorted(map(len, shard_by_shard([name], 3))) == [0, 0, 1]
    assert sorted(check([name], Reading(shard=Shard(number, 3))) or 0 for number in (1, 2, 3)) == [0, 0, 1]
    with pytest.raises(ManifestError, match="nothing to do"):
        list(read_rows([write("b.csv", [])], Reading(shard=Shard(1, 3))))
