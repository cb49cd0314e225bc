"""`watch`: what is there and what comes is done once, whole, and whatever becomes of the folder meanwhile."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.errors import DiskError, LockedError, SettingsError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.run import batch, hints, watch
from batch_removebg.run.hints import Wake
from batch_removebg.run.put_away import Shelves
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support.bench import Bench, bench
from tests.support.doubles import FakeClock, photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


@dataclass
class Watched:
    """A watch over the bench's photos by a clock that is ours, looked at each second."""

    bench: Bench
    time: FakeClock = field(default_factory=FakeClock)
    said: list[str] = field(default_factory=list)
    runs: int = 0
    running: bool = False
    outcome: Summary | None = None

    async def during(self, hand: Callable[[], Awaitable[object]], *inputs: str, **given: Any) -> None:
        """Watch while a hand does something; what is given is for `watch`, or are settings."""
        own = {name: given.pop(name) for name in ("run", "shelves", "poll", "hints", "clock", "beat") if name in given}
        given = {"provider": "replicate", "base_url": "http://127.0.0.1:9/v1", **given}
        settings = Settings(out=self.bench.out, **given)
        how = {"poll": 1.0, "clock": self.time.clock, "run": self.counted, **own}

        async def watching() -> None:
            self.outcome = await watch.watch(
                list(inputs) or [str(self.bench.photos)], settings, say=self.said.append, listener=self.hear, **how
            )
            tasks.cancel_scope.cancel()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watching)
                await hand()
                tasks.cancel_scope.cancel()

    async def counted(self, *args: Any, **given: Any) -> Summary:
        self.runs += 1
        self.running = True
        try:
            return await batch.run(*args, **given)
        finally:
            self.running = False

    def hear(self, event: Event) -> None:
        self.bench.events.append(event)
        self.bench.on_event(event)

    async def pass_by(self, seconds: float) -> None:
        await self.time.sleep(seconds)

    async def saved(self, number: int) -> None:
        """Time passes until so many pictures have been saved, and the run that did it is over."""
        while not (self.bench.out / "ledger.jsonl").exists() or len(self.of("saved")) < number or self.running:
            await self.pass_by(1)
        await self.pass_by(1)

    def of(self, event: str) -> list[str]:
        return sorted(line["item"] for line in self.bench.ledger() if line["event"] == event)


@pytest.fixture
def watched(bench: Bench) -> Watched:
    return Watched(bench)


async def test_what_is_there_and_what_comes_is_done_once_and_nothing_new_is_no_run(watched: Watched) -> None:
    bench, pass_by = watched.bench, watched.pass_by
    bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        bench.add("b.jpg", "~c.jpg", ".d.jpg", "e.jpg.part")
        await watched.saved(2)
        before = (bench.out / "ledger.jsonl").read_bytes()
        await pass_by(7200)
        assert (bench.out / "ledger.jsonl").read_bytes() == before

    await watched.during(hand, poll=10.0)
    assert (watched.runs, watched.of("saved")) == (2, ["a.jpg", "b.jpg"])
    assert [line.partition(" in ")[0] for line in watched.said] == ["1 saved, 0 failed", "1 saved, 0 failed"]


async def test_a_file_that_is_written_is_left_alone_and_one_cut_short_waits_and_never_fails(watched: Watched) -> None:
    path, data = watched.bench.photos / "a.jpg", photo(400, 300)

    async def hand() -> None:
        watched.bench.add("b.jpg")
        for end in range(100, 600, 100):  # it grows from look to look
            path.write_bytes(data[:end])
            await watched.pass_by(1)
        assert watched.of("saved") == ["b.jpg"]
        await watched.pass_by(20)  # a writer that pauses
        assert watched.bench.events[-1].kind is Kind.PENDING
        path.write_bytes(data)
        await watched.saved(2)

    await watched.during(hand)
    assert (watched.of("failed"), watched.of("saved")) == ([], ["a.jpg", "b.jpg"])


async def test_a_picture_that_stays_broken_fails_after_its_tries_and_is_moved_with_its_folder(
    watched: Watched, tmp_path: Path
) -> None:
    path = watched.bench.photos / "new" / "a.jpg"

    async def hand() -> None:
        path.parent.mkdir()
        path.write_bytes(photo(400, 300)[:500])
        while path.exists():
            await watched.pass_by(1)

    await watched.during(hand, shelves=Shelves(tmp_path / "done", tmp_path / "failed"))
    [line] = [line for line in watched.bench.ledger() if line["event"] == "failed"]
    assert line["message"].endswith("(and it stayed so over 4 more tries in 3 minutes)")
    assert watched.runs == 5
    assert (path.parent.exists(), path.exists(), (tmp_path / "failed" / "new" / "a.jpg").exists()) == (
        True,
        False,
        True,
    )


async def test_replaced_pictures_are_made_again_and_those_of_deleted_ones_stay(
    watched: Watched, tmp_path: Path
) -> None:
    bench = watched.bench
    bench.add("a.jpg", "b.jpg")
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "c.jpg").write_bytes(photo(50, 50, (1, 2, 3)))

    async def hand() -> None:
        await watched.saved(2)
        (bench.photos / "a.jpg").unlink()
        (bench.photos / "b.jpg").write_bytes(photo(41, 30, (9, 9, 9)))
        (tmp_path / "aside").rename(bench.photos / "sub")  # a folder comes with its contents
        await watched.saved(4)

    await watched.during(hand, prune=True)
    assert (watched.of("saved"), watched.of("gone")) == (["a.jpg", "b.jpg", "b.jpg", "sub/c.jpg"], [])
    assert bench.saved() == ["a.png", "b.png", "sub/c.png"]


async def test_a_picture_beside_one_that_is_being_replaced_does_not_take_its_record(watched: Watched) -> None:
    bench = watched.bench
    bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        bench.add("a.png")
        for size in range(1, 6):
            (bench.photos / "a.jpg").write_bytes(photo(90, 90, (size, 1, 1)) + b" " * size)
            await watched.pass_by(0.8)
        while "a.png" not in watched.of("saved"):
            await watched.pass_by(1)

    await watched.during(hand)
    assert watched.of("renamed") == []


async def test_a_folder_that_comes_late_or_is_unmounted_for_a_while_is_waited_for(watched: Watched) -> None:
    bench, photos = watched.bench, watched.bench.photos
    photos.rmdir()
    away = photos.with_name("away")

    async def hand() -> None:
        await watched.pass_by(20)
        photos.mkdir()
        bench.add("a.jpg", "b.jpg")
        await watched.saved(2)
        photos.rename(away)
        photos.mkdir()  # the mount point, without its disk
        await watched.pass_by(900)
        photos.rmdir()
        away.rename(photos)
        await watched.pass_by(20)

    await watched.during(hand)
    assert (watched.runs, watched.of("gone"), watched.of("saved")) == (1, [], ["a.jpg", "b.jpg"])
    over = "waits, and goes on by itself"
    assert [line for line in watched.said if " saved" not in line] == [
        f"{photos} does not exist; check its spelling; {over}",
        "goes on",
        f"no picture is in {photos}, where there were 2; {over}",
        "goes on",
    ]


async def test_looks_with_nothing_to_do_are_told_of_once_a_minute_and_what_goes_wrong_with_that_once(
    watched: Watched,
) -> None:
    beats: list[float] = []

    async def beat(listener: Listener) -> None:
        beats.append(watched.time.now)
        listener(Event(Kind.WARNING, text="not written: the disk is full"))

    watched.bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        await watched.pass_by(600)

    await watched.during(hand, beat=beat, poll=10.0)
    assert 9 <= len(beats) <= 12
    assert min(later - beat for beat, later in itertools.pairwise(beats)) >= 60
    assert [event.text for event in watched.bench.events].count("not written: the disk is full") == 1


async def test_a_burst_of_hints_is_a_few_looks_and_a_lost_hint_is_made_up_for(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, wakes, look = [0], list[Wake](), watch._Watcher._look

    async def counted(self: Any) -> Any:
        looks[0] += 1
        return await look(self)

    async def hints(places: Sequence[Path], out: Path, wake: Wake, stop: anyio.Event) -> None:
        wakes.append(wake)
        await stop.wait()

    monkeypatch.setattr(watch._Watcher, "_look", counted)
    watched.bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        await watched.pass_by(10)
        before = looks[0]
        for _ in range(100):
            for _ in range(10_000):
                wakes[0](None)
            await watched.pass_by(0.01)
        assert looks[0] - before <= 6
        watched.bench.add("b.jpg")  # nobody tells
        await watched.saved(2)

    await watched.during(hand, poll=None, hints=hints)
    assert watched.of("saved") == ["a.jpg", "b.jpg"]


async def test_rows_that_are_added_to_a_manifest_are_done_and_those_taken_out_are_gone(
    watched: Watched, tmp_path: Path
) -> None:
    watched.bench.add("a.jpg", "b.jpg", "c.jpg")
    manifest = tmp_path / "photos.csv"

    async def hand() -> None:
        for number, names in ((2, ("a", "b")), (3, ("b", "c"))):
            manifest.write_text("".join(f"{line}\n" for line in ("image", *(f"photos/{name}.jpg" for name in names))))
            await watched.saved(number)

    await watched.during(hand, str(manifest))
    assert (watched.of("saved"), watched.of("gone")) == (
        ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg"],
        ["photos/a.jpg"],
    )


async def test_sources_are_moved_once_on_record_and_a_later_one_is_a_new_picture_of_its_item(
    watched: Watched, tmp_path: Path
) -> None:
    bench, done = watched.bench, watched.bench.photos / "done"
    bench.add("sub/a.jpg")
    await bench.run()  # and was killed before it could move the source

    async def hand() -> None:
        while not (done / "sub" / "a.jpg").exists():
            await watched.pass_by(1)
        (bench.photos / "sub" / "a.jpg").write_bytes(photo(60, 60, (5, 5, 5)))
        while not (done / "sub" / "a-2.jpg").exists():
            await watched.pass_by(1)

    await watched.during(hand, shelves=Shelves(done))
    assert sorted(path.name for path in (done / "sub").iterdir()) == ["a-2.jpg", "a.jpg"]
    assert (watched.of("saved"), watched.of("gone")) == (["sub/a.jpg", "sub/a.jpg"], [])
    assert not any("no picture" in line for line in watched.said)


@pytest.mark.parametrize("flag", ["done", "failed"])
async def test_a_shelf_that_a_rename_cannot_reach_is_refused_at_once(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    (tmp_path / "shop.csv").write_text("image\n")
    shelves = Shelves(**{flag: Path("/proc/shelf")})
    for inputs, why in ((["photos"], "another file system"), (["shop.csv"], "is a manifest")):
        with pytest.raises(SettingsError, match=f"--move-{flag}.*{why}"):
            shelves.check([str(tmp_path / value) for value in inputs])
    with pytest.raises(SettingsError, match="the INPUT itself"):
        Shelves(**{flag: tmp_path}).check([str(tmp_path)])


async def test_a_full_disk_is_said_once_and_the_watch_goes_on_when_there_is_room(watched: Watched) -> None:
    watched.bench.add("a.jpg")
    tries = list[float]()

    async def full(*args: Any, **given: Any) -> Summary:
        tries.append(watched.time.now)
        if len(tries) < 8:
            raise DiskError("ledger.jsonl can't be written: the disk is full")
        return await batch.run(*args, **given)

    await watched.during(partial(watched.pass_by, 1500), run=full, poll=100.0)
    assert [round(after - before) for before, after in itertools.pairwise(tries)] == [*(5, 10, 20, 40, 80, 160, 300)]
    assert watched.of("saved") == ["a.jpg"]
    assert [line.partition(";")[0] for line in watched.said] == [
        "ledger.jsonl can't be written: the disk is full",
        "goes on",
        watched.said[-1].partition(";")[0],
    ]


async def test_a_second_watch_of_an_out_is_refused_while_a_run_between_two_of_its_runs_is_not(watched: Watched) -> None:
    watched.bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        with pytest.raises(LockedError, match="in use by another watch"):
            await watch.watch([str(watched.bench.photos)], settings, say=print, listener=print, poll=1.0)
        assert (await watched.bench.run()).skipped == 1

    settings = Settings(out=watched.bench.out)
    await watched.during(hand)


async def test_the_budget_is_that_of_all_runs_and_ends_the_watch(watched: Watched) -> None:
    async def hand() -> None:
        for name in ("a.jpg", "bb.jpg", "ccc.jpg", "dddd.jpg"):
            watched.bench.add(name)
            await watched.pass_by(10)
        await anyio.sleep_forever()

    await watched.during(hand, max_predictions=2)
    assert watched.outcome is not None
    assert (watched.outcome.exit_code, watched.bench.provider.bill) == (4, 2)


async def test_a_clock_on_the_wall_that_jumps_changes_nothing(watched: Watched) -> None:
    jumps = iter(range(0, 10**9, 10**6))
    clock = Clock(lambda: watched.time.now, lambda: 1e9 + next(jumps) * (-1) ** next(jumps), watched.time.sleep)

    async def hand() -> None:
        for name, stamp in (("a.jpg", 0), ("bb.jpg", 4e9), ("ccc.jpg", 1e9)):
            watched.bench.add(name)
            os.utime(watched.bench.photos / name, (stamp, stamp))
            await watched.saved(len(name) - 4)

    await watched.during(hand, clock=clock)
    assert watched.of("saved") == ["a.jpg", "bb.jpg", "ccc.jpg"]


async def test_a_signal_ends_it_between_two_runs_with_the_outcome_of_the_last(watched: Watched) -> None:
    watched.bench.add("a.jpg")

    async def hand() -> None:
        await watched.saved(1)
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep_forever()

    await watched.during(hand)
    assert watched.outcome is not None
    assert (watched.outcome.exit_code, watched.outcome.saved) == (0, 1)


async def test_memory_stays_flat_over_two_thousand_runs(watched: Watched) -> None:
    sizes, enough = list[int](), anyio.Event()

    async def run(inputs: Sequence[str], settings: Settings, *, listener: Any, **_: Any) -> Summary:
        watched.runs += 1
        for text in ("always the same", f"of run {watched.runs}"):
            listener(Event(Kind.WARNING, text=text))
        listener(Event(Kind.SAVED, "a.jpg"))
        watched.bench.events.clear()
        watched.said.clear()
        (watched.bench.photos / f"{watched.runs}.jpg").write_bytes(b"1")  # the next one
        (watched.bench.photos / f"{watched.runs - 1}.jpg").unlink(missing_ok=True)
        if watched.runs in (1000, 1500, 2000):
            gc.collect()  # what is in circles isn't kept
            sizes.append(tracemalloc.get_traced_memory()[0])
        if watched.runs == 2000:
            enough.set()
        return Summary(settings.out, 1, 0, 0, 0, 0, 0, 0, seconds=0.0, failures=(), stopped=None)

    async def sleep(seconds: float) -> None:
        watched.time.now += seconds
        await anyio.lowlevel.checkpoint()

    (watched.bench.photos / "0.jpg").write_bytes(b"1")
    clock = Clock(lambda: watched.time.now, lambda: watched.time.now, sleep)
    tracemalloc.start()
    try:
        await watched.during(enough.wait, run=run, clock=clock)
    finally:
        tracemalloc.stop()
    assert min(sizes[1] - sizes[0], sizes[2] - sizes[1]) < 75_000  # something may be loaded once


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/mnt/nas/photos", "nfs4"),
        ("/mnt/nas2", "ext4"),
        ("/mnt/my share/x", "cifs"),
        ("/s3", "fuse.s3fs"),
        ("/", "ext4"),
    ],
)
def test_shares_are_told_from_disks_by_the_mount_they_are_on(tmp_path: Path, folder: str, kind: str) -> None:
    (mounts := tmp_path / "mounts").write_text(
        "/dev/sda / ext4 rw 0 0\nnas:/p /mnt/nas nfs4 rw 0 0\n"
        "//nas/my /mnt/my\\040share cifs rw 0 0\ns3 /s3 fuse.s3fs rw 0 0\n"
    )
    assert watch._kind_of(Path(folder), mounts) == kind
    assert bool(watch._REMOTE.fullmatch(kind)) == (kind != "ext4")


@pytest.mark.parametrize(("library", "by"), [("asyncinotify", hints.inotify), ("watchfiles", hints.watchfiles)])
async def test_the_systems_own_hints_bring_a_file_home_long_before_the_next_look(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, library: str, by: Callable[[Any], hints.Hints]
) -> None:
    own, done = by(pytest.importorskip(library)), anyio.Event()
    watched.bench.on_event = lambda event: done.set() if event.kind is Kind.SAVED else None
    monkeypatch.setattr(watch, "_MISSING", watch._RESCAN)

    async def hand() -> None:
        while not watched.said:  # noqa: ASYNC110  # that nothing is there: hints are listened for by then
            await anyio.sleep(0.05)
        watched.bench.add("sub/a.jpg")
        await done.wait()

    await watched.during(hand, poll=None, clock=Clock(), hints=own)
    assert watched.of("saved") == ["sub/a.jpg"]


async def test_where_the_system_tells_of_no_more_changes_it_is_said_and_looked_for(watched: Watched) -> None:
    async def full(*_: object) -> None:
        async with anyio.create_task_group():
            raise OSError(28, "No space left on device")

    async def hand() -> None:
        await watched.pass_by(1)
        watched.bench.add("a.jpg")
        await watched.saved(1)

    await watched.during(hand, poll=None, hints=full)
    assert watched.said[0].startswith("the system tells of no more changes ([Errno 28] No space")


@pytest.mark.parametrize("manifest", [False, True])
async def test_a_picture_or_a_manifest_that_is_closed_is_done_at_once(
    watched: Watched, tmp_path: Path, *, manifest: bool
) -> None:
    wakes, begun, closed, table = list[Wake](), list[float](), list[float](), tmp_path / "photos.csv"

    async def run(*args: Any, **given: Any) -> Summary:
        begun.append(watched.time.now)
        return await watched.counted(*args, **given)

    async def told(places: Sequence[Path], out: Path, wake: Wake, stop: anyio.Event) -> None:
        wakes.append(wake)
        await stop.wait()

    async def hand() -> None:
        await watched.saved(1)
        await watched.pass_by(10)
        watched.bench.add("sub/b.jpg")
        table.write_text("image\nphotos/a.jpg\nphotos/sub/b.jpg\n")
        closed.append(watched.time.now)
        wakes[0](str(table if manifest else watched.bench.photos / "sub" / "b.jpg"))
        await watched.saved(2)

    watched.bench.add("a.jpg")
    table.write_text("image\nphotos/a.jpg\n")
    await watched.during(hand, *[str(table)] * manifest, poll=None, hints=told, run=run)
    assert begun[1] - closed[0] < watch._BREATH


async def test_without_the_library_for_hints_it_says_what_to_install(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("asyncinotify", "watchfiles"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[watch\]'.*--poll"):
        await watch.watch([str(watched.bench.photos)], Settings(out=watched.bench.out), say=print, listener=print)
