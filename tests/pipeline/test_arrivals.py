"""Which files of a watched folder are whole, by looks at them, and which pictures get another try."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from batch_removebg.errors import BatchError, Postponed, SourceError
from batch_removebg.manifest.columns import path_item
from batch_removebg.model import Item
from batch_removebg.pipeline.arrivals import GAPS, Arrivals
from tests.support.doubles import FakeClock


def status(size: int, stamp: float) -> os.stat_result:
    seen = SimpleNamespace(st_size=size, st_mtime_ns=int(stamp * 1e9), st_ctime_ns=int(stamp * 1e9))
    return cast("os.stat_result", seen)


class Looks:
    """Arrivals in our hands: a clock, and what is seen."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.arrivals = Arrivals(lambda: self.clock.now)

    def look(self, after: float, **sizes: int | tuple[int, float]) -> bool:
        """A look at files of these sizes, perhaps with a time of change."""
        self.clock.now += after
        shown = {name: size if isinstance(size, tuple) else (size, 7.0) for name, size in sizes.items()}
        return self.arrivals.look((name, status(size, stamp)) for name, (size, stamp) in shown.items())

    def judged(self, mark: str = "1:1:1") -> BatchError:
        return self.arrivals.judged(SourceError("ends early"), "a", mark)


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_a_file_is_whole_once_two_looks_a_second_apart_saw_the_same(looks: Looks) -> None:
    assert not looks.look(0.0, a=10)
    assert not looks.look(0.9, a=10)
    assert looks.arrivals.next() == pytest.approx(looks.clock.now + 0.1, abs=1e-6)
    assert looks.look(0.2, a=10)
    assert not looks.look(1.0, a=10)  # which is known by now
    assert looks.look(1.0, a=10, b=5) is False
    assert looks.look(1.0, a=10, b=5)


def test_a_file_that_was_closed_is_whole_at_once_and_one_that_is_written_again_is_not(looks: Looks) -> None:
    assert not looks.look(0.0, a=10)
    looks.arrivals.close("a")
    assert looks.look(0.0, a=11, b=5)
    assert looks.look(0.1, a=12, b=5) is False
    assert looks.look(1.0, a=12, b=5)


def test_a_file_that_is_closed_anew_has_all_its_tries_again(looks: Looks, tmp_path: Path) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"1")
    looks.arrivals.judged(SourceError("ends early"), str(path), "1:1:1")
    looks.arrivals.close(str(path))
    looks.arrivals.look([(str(path), path.stat())])
    assert looks.arrivals.ready(item(path))


def test_what_has_become_whole_comes_first_with_its_folders_unless_it_is_much(looks: Looks) -> None:
    def closed(*names: str) -> bool:
        for name in names:
            looks.arrivals.close(name)
        return looks.arrivals.look((name, status(1, 7.0)) for name in names)

    assert closed("/in/s/a.jpg")
    assert looks.arrivals.first == {"/in/s/a.jpg", "/in/s/", "/in/", "/"}
    assert closed(*(f"/in/{number}.jpg" for number in range(1000)))
    assert looks.arrivals.first == set()


def test_a_file_that_grows_waits_as_long_as_it_does_and_one_that_is_replaced_waits_anew(looks: Looks) -> None:
    assert [looks.look(1.0, a=size) for size in (10, 20, 30, 30, 31, 31)] == [False, False, False, True, False, True]
    assert [looks.look(1.0, a=(31, stamp)) for stamp in (8.0, 8.0)] == [False, True]


@pytest.mark.parametrize("stamp", [0.0, 1e12])
def test_a_file_of_the_past_or_the_future_is_taken_like_any_other(looks: Looks, stamp: float) -> None:
    assert [looks.look(1.0, a=(10, stamp)) for _ in range(2)] == [False, True]


def test_files_that_went_with_their_disk_are_known_when_it_is_back(looks: Looks) -> None:
    for _ in range(2):
        looks.look(1.0, a=10, b=10)
    assert (looks.look(1.0), looks.arrivals.count) == (False, 0)
    assert [looks.look(1.0, a=10, b=10) for _ in range(3)] == [False, False, False]


def test_a_picture_that_cannot_be_read_waits_longer_each_time_and_fails_in_the_end_with_a_word(looks: Looks) -> None:
    waited = []
    for _ in GAPS:
        looks.arrivals.turn()
        assert isinstance(looks.judged(), Postponed)
        waited.append(looks.arrivals.next() - looks.clock.now)
        looks.clock.now = looks.arrivals.next()
    looks.arrivals.turn()
    failed = looks.judged()
    assert (waited, type(failed)) == ([2.0, 8.0, 30.0, 120.0], SourceError)
    assert str(failed) == "ends early (and it stayed so over 4 more tries in 3 minutes)"


def test_a_file_that_changes_meanwhile_has_all_its_tries_again(looks: Looks) -> None:
    for _ in range(3):
        looks.judged()
    assert "tried again in 2 s" in str(looks.judged("2:2:2"))


def item(path: Path, origin: str = "photos") -> Item:
    return path_item(path.name, path, origin)


def test_a_run_takes_whole_files_and_rows_but_nothing_that_waits_for_its_next_try(looks: Looks, tmp_path: Path) -> None:
    (path := tmp_path / "a.jpg").write_bytes(b"1")
    arrivals = looks.arrivals
    assert not arrivals.ready(item(path))
    assert arrivals.ready(item(path, "shop.csv:2"))  # a manifest names it, and its file may lie anywhere
    for _ in range(2):
        arrivals.look([(str(path), path.stat())])
        looks.clock.now += 1
    assert arrivals.ready(item(path))
    path.write_bytes(b"12")
    assert not arrivals.ready(item(path))
    arrivals.judged(SourceError("ends early"), str(path), "1:1:1")
    assert not arrivals.ready(item(path, "shop.csv:2"))
    looks.clock.now += GAPS[0]
    arrivals.turn()
    assert arrivals.ready(item(path, "shop.csv:2"))


def test_only_a_run_that_saw_every_row_of_manifests_alone_tells_what_has_left_them(tmp_path: Path) -> None:
    clock, row = FakeClock(), item(tmp_path / "a.jpg", "shop.csv:2")
    arrivals = Arrivals(lambda: clock.now, folders=False)
    arrivals.turn()
    assert (arrivals.ready(row), arrivals.hide) == (True, False)
    arrivals.judged(SourceError("ends early"), str(row.path), None)
    assert (arrivals.ready(row), arrivals.hide) == (False, True)
