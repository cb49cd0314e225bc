"""The ledger in a bucket: each line once, in order, by one writer; a folder that goes on is the same or refused."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from batch_removebg.errors import ConnectionFailed, LedgerError
from batch_removebg.storage.segments import Segment, Segments, chain
from tests.support.doubles import FakeClock
from tests.support.stores import AnswersLost, InMemory

pytestmark = pytest.mark.anyio
PREFIX = "cutouts/ledger/"


def test_what_a_writer_wrote_after_its_time_does_not_count() -> None:
    first, second, late, next_ = (
        Segment(1, 0, 10, "a"),
        Segment(1, 10, 5, "b"),
        Segment(1, 15, 7, "late"),
        Segment(2, 15, 9, "c"),
    )
    assert chain([late, next_, second, first]) == [first, second, next_]
    assert chain([late, second, first]) == [first, second, late]
    assert chain([]) == []


def test_a_missing_segment_is_noticed() -> None:
    with pytest.raises(LedgerError, match="missing"):
        chain([Segment(1, 0, 10, "a"), Segment(1, 12, 5, "b")])


class Machine:
    """A state folder on some machine."""

    def __init__(self, folder: Path, store: InMemory, clock: FakeClock) -> None:
        folder.mkdir(exist_ok=True)
        self.ledger = folder / "ledger.jsonl"
        self.segments = Segments(store, PREFIX, self.ledger, clock.clock)

    def write(self, *lines: str) -> None:
        with self.ledger.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)


def kept(store: InMemory) -> list[str]:
    return [one.key.removeprefix(PREFIX) for page in store.listed(PREFIX) for one in page]


async def test_what_is_new_is_put_once_and_fetched_elsewhere(tmp_path: Path) -> None:
    store, clock = InMemory(), FakeClock()
    here, there = (Machine(tmp_path / name, store, clock) for name in ("here", "there"))
    assert await here.segments.fetch(1) == 0
    here.write("one", "two")
    with here.ledger.open("a") as file:
        file.write("torn")
    await here.segments.copied()
    await here.segments.copied()
    here.ledger.write_bytes(b"one\ntwo\nthree\n")
    await here.segments.copied()
    assert kept(store) == ["00000001-0000000000000000.jsonl", "00000001-0000000000000008.jsonl"]
    assert await there.segments.fetch(2) == 14
    assert there.ledger.read_bytes() == here.ledger.read_bytes()
    there.write("four")
    await there.segments.copied()
    assert await here.segments.fetch(3) == 5
    assert here.ledger.read_bytes() == b"one\ntwo\nthree\nfour\n"


async def test_creates_share_segments_of_which_there_is_one_a_second(tmp_path: Path) -> None:
    store, clock = InMemory(), FakeClock()
    here = Machine(tmp_path, store, clock)
    await here.segments.fetch(1)
    begun = clock.now

    async def one(number: int) -> None:
        await clock.sleep(number / 20)
        here.write(str(number))
        await here.segments.copied()
        assert f"{number}\n".encode() in b"".join([bytes((await store.get(key, 9999))[0]) for key in store.puts])

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, number)
    assert len(store.puts) <= clock.now - begun + 1


@pytest.mark.parametrize("more", [[], ["two"]], ids=["the same again", "more since"])
async def test_a_segment_whose_answer_was_lost_is_recognised(tmp_path: Path, more: list[str]) -> None:
    store, clock = AnswersLost(), FakeClock()
    here = Machine(tmp_path, store, clock)
    await here.segments.fetch(1)
    here.write("one")
    store.times = 1
    with pytest.raises(ConnectionFailed):
        await here.segments.copied()
    here.write(*more)
    await here.segments.copied()
    there = Machine(tmp_path / "there", store, clock)
    await there.segments.fetch(2)
    assert there.ledger.read_bytes() == here.ledger.read_bytes()


@pytest.mark.parametrize("mine", [["one", "other"], ["eno"], ["one", "other", "more", "and more"]])
async def test_a_folder_whose_ledger_is_another_is_refused_and_stays_as_it_is(tmp_path: Path, mine: list[str]) -> None:
    store, clock = InMemory(), FakeClock()
    here, there = (Machine(tmp_path / name, store, clock) for name in ("here", "there"))
    await here.segments.fetch(1)
    here.write("one", "two", "three")
    await here.segments.copied()
    there.write(*mine)
    before = there.ledger.read_bytes()
    with pytest.raises(LedgerError, match="empty folder"):
        await there.segments.fetch(2)
    assert there.ledger.read_bytes() == before
    assert len(list(there.ledger.parent.iterdir())) == 1


async def test_a_folder_that_is_ahead_goes_on_and_the_rest_is_copied(tmp_path: Path) -> None:
    store, clock = InMemory(), FakeClock()
    here = Machine(tmp_path / "here", store, clock)
    await here.segments.fetch(1)
    here.write("one")
    await here.segments.copied()
    here.write("two")
    again = Machine(tmp_path / "here", store, clock)
    assert await again.segments.fetch(2) == 0
    await again.segments.copied()
    assert kept(store) == ["00000001-0000000000000000.jsonl", "00000002-0000000000000004.jsonl"]


async def test_storage_that_is_away_while_segments_are_fetched_is_told_as_such(tmp_path: Path) -> None:
    store, clock = InMemory(), FakeClock()
    here, there = (Machine(tmp_path / name, store, clock) for name in ("here", "there"))
    await here.segments.fetch(1)
    here.write("one")
    await here.segments.copied()
    store.away = True
    with pytest.raises(ConnectionFailed):
        await there.segments.fetch(2)
    assert not there.ledger.exists()
