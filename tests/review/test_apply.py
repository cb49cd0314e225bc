"""A touch-up is a picture at once where no run is going on, and else as soon as that has ended; see `test_edits`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_removebg.errors import LockedError, SettingsError
from batch_removebg.ledger.decisions import Decided, Decisions
from batch_removebg.ledger.journal import look
from batch_removebg.ledger.state import ItemState
from batch_removebg.resources import Cpu
from batch_removebg.review import apply
from batch_removebg.review.apply import Applier, OtherPicture, Result
from batch_removebg.review.touch_up import Operation, Stroke
from batch_removebg.storage.lock import held, locked
from tests.pipeline.test_sharing import urls
from tests.support.bench import Bench
from tests.support.bench import bench as plain
from tests.support.decisions import decide
from tests.support.doubles import FakeClock, cutout, photo

__all__ = ["plain"]
pytestmark = pytest.mark.anyio
ERASE = (Stroke(keep=False, size=200, hardness=1, points=((5, 5),)),)
KEEP = (Stroke(keep=True, size=200, hardness=1, points=((5, 5),)),)


@pytest.fixture
def bench(plain: Bench) -> Bench:
    plain.provider.name = "replicate"
    return plain


class Paused(Exception):
    pass


class Review:
    """A review over the OUT of a bench."""

    def __init__(self, bench: Bench) -> None:
        self.out, self.fake = bench.out, FakeClock()
        self.applier = Applier(bench.out, Cpu(), replace(self.fake.clock, sleep=self._pause))

    async def _pause(self, seconds: float) -> None:
        raise Paused

    async def until_it_pauses(self) -> None:
        with pytest.raises(Paused):
            await self.applier.run()

    def state(self, item: str) -> ItemState:
        with closing(look(self.out / "ledger.jsonl", self.out / ".batch-removebg/index.sqlite")) as fold:
            return fold.items[item]

    async def touch_up(self, item: str, operations: Sequence[Operation] = ERASE) -> Result:
        state = self.state(item)
        return await self.applier.touch_up(item, state, operations, state.sha256 or "")

    def alpha(self, name: str) -> set[int]:
        with Image.open(self.out / name) as picture:
            return set(np.asarray(picture.convert("RGBA").getchannel("A")).ravel().tolist())


async def test_a_touch_up_is_a_picture_at_once_and_the_next_run_has_nothing_to_do(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    review = Review(bench)
    result = await review.touch_up("a.jpg")
    assert (result.state, result.why) == ("made", "")
    assert (review.alpha("a.png"), review.alpha("b.png")) == ({0}, {128})
    kept = bench.out / ".batch-removebg/edits" / f"{result.alpha}.png"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == result.alpha == review.state("a.jpg").edited
    assert {each["id"]: each["sha256"] for each in bench.results()["items"]}["a.jpg"] == review.state("a.jpg").sha256
    assert not held(bench.out / ".batch-removebg")
    summary = await bench.run()
    assert (summary.skipped, summary.predictions, review.alpha("a.png")) == (2, 0, {0})


async def test_a_second_touch_up_goes_on_from_the_first_and_none_brings_the_bought_picture_back(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    before, review = (bench.out / "a.png").read_bytes(), Review(bench)
    await review.touch_up("a.jpg", [Stroke(keep=True, size=8, hardness=1, points=((4, 4),))])
    await review.touch_up("a.jpg", [Stroke(keep=False, size=8, hardness=1, points=((30, 20),))])
    assert {0, 128, 255} <= review.alpha("a.png")
    assert await review.touch_up("a.jpg", []) == Result(None, "made")
    assert (bench.out / "a.png").read_bytes() == before
    assert bench.provider.bill == 1


async def test_while_a_run_holds_the_lock_an_edit_waits_and_is_made_once_it_is_free(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    review = Review(bench)
    with locked(bench.out / ".batch-removebg", clock=review.fake.clock):
        result = await review.touch_up("a.jpg")
        assert (result.state, review.alpha("a.png")) == ("waits", {128})
        assert "a run is going on" in result.why
    await review.until_it_pauses()
    assert review.alpha("a.png") == {0}
    assert (await bench.run()).skipped == 1


async def test_edits_of_a_review_that_ended_before_they_were_made_are_made_by_the_next_review(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    first = Review(bench)
    with locked(bench.out / ".batch-removebg", clock=first.fake.clock):
        await first.touch_up("a.jpg")
    await Review(bench).until_it_pauses()
    assert first.alpha("a.png") == {0}


async def test_what_was_drawn_on_another_picture_or_source_leaves_no_trace(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    review = Review(bench)
    with pytest.raises(OtherPicture, match="made anew"):
        await review.applier.touch_up("a.jpg", review.state("a.jpg"), ERASE, "0" * 64)
    (bench.photos / "a.jpg").write_bytes(photo(40, 30, (1, 2, 3)))
    with pytest.raises(OtherPicture, match="source"):
        await review.touch_up("a.jpg")
    assert not (bench.out / "decisions.jsonl").exists()
    assert not (bench.out / ".batch-removebg/edits").exists()


@pytest.mark.parametrize(
    "settings",
    [{"format": "webp", "lossless": True}, {"edges": "keep", "refine": "none", "metadata": "keep", "grace": 5.0}],
)
async def test_the_picture_is_made_as_the_last_run_made_it(bench: Bench, settings: dict[str, Any]) -> None:
    bench.add("a.jpg")
    await bench.run(**settings)
    review, recipe = Review(bench), Review(bench).state("a.jpg").recipe
    assert (await review.touch_up("a.jpg", KEEP)).state == "made"
    state = review.state("a.jpg")
    assert (state.recipe, review.alpha(state.output or "")) == (recipe, {255})
    assert (await bench.run(**settings)).skipped == 1


async def test_all_presets_follow_and_one_of_an_earlier_run_when_it_is_wanted_again(
    bench: Bench, tmp_path: Path
) -> None:
    bench.add("a.jpg")
    for side in (50, 60):
        (tmp_path / f"s{side}.toml").write_text(f"format = 'png'\ncanvas = [{side}, {side}]\n")
    one, other = (str(tmp_path / f"s{side}.toml") for side in (50, 60))
    await bench.run(preset=(one,))
    await bench.run(preset=(one, other))
    review = Review(bench)
    assert (await review.touch_up("a.jpg", KEEP)).state == "made"
    assert (review.alpha("s50/a.png"), review.alpha("s60/a.png")) == ({0, 255}, {0, 255})
    assert (await bench.run(preset=(one, other))).skipped == 1


@pytest.mark.parametrize("source", ["url", "file"])
async def test_what_is_not_on_record_of_the_run_makes_the_edit_wait_for_the_next(
    bench: Bench, tmp_path: Path, source: str
) -> None:
    bench.add("a.jpg")
    rows, item, name = (
        (urls(tmp_path, "https://shop.example/a.jpg,red"), "red", "red.png")
        if source == "url"
        else (str(bench.photos), "a.jpg", "a.png")
    )
    colour = tmp_path / "behind.png"
    colour.write_bytes(cutout(50, 50, 255))
    await bench.run(rows)
    review = Review(bench)
    await review.touch_up(item, KEEP)
    await bench.run(rows, format="tiff", background=str(colour))
    colour.unlink()
    before = (bench.out / name.replace("png", "tiff")).read_bytes()
    result = await review.touch_up(item, [])
    assert (result.state, (bench.out / name.replace("png", "tiff")).read_bytes()) == ("waits", before)
    assert result.why.startswith("the next run makes its picture: --background")
    with pytest.raises(SettingsError):
        await review.touch_up(item, ERASE)
    await bench.run(rows)
    assert review.alpha(name) == {128}


async def test_a_urls_cutout_is_touched_up_on_its_own_alpha(bench: Bench, tmp_path: Path) -> None:
    rows = urls(tmp_path, "https://shop.example/a.jpg,red")
    await bench.run(rows)
    review = Review(bench)
    dot = [Stroke(keep=True, size=2, hardness=1, points=((3.5, 3.5),))]
    assert (await review.touch_up("red", dot)).state == "made"
    with Image.open(bench.out / "red.png") as picture:
        assert (picture.getpixel((3, 3)), picture.getpixel((9, 9))) == ((200, 40, 90, 255), (200, 40, 90, 128))
    assert (await review.touch_up("red", [])).state == "made"
    assert (bench.out / "red.png").read_bytes() == cutout()
    assert ((await bench.run(rows)).skipped, bench.provider.bill) == (1, 1)


async def test_a_urls_picture_in_a_lossy_format_is_touched_up_on_the_cutout_that_was_kept(
    bench: Bench, tmp_path: Path
) -> None:
    rows = urls(tmp_path, "https://shop.example/a.jpg,red")
    await bench.run(rows, format="jpeg")
    review = Review(bench)
    assert (await review.touch_up("red")).state == "made"
    with Image.open(bench.out / "red.jpg") as picture:
        assert picture.convert("RGB").getextrema() == ((255, 255),) * 3
    assert ((await bench.run(rows, format="jpeg")).skipped, bench.provider.bill) == (1, 1)


async def test_twins_follow_at_once(bench: Bench) -> None:
    bench.add("a.jpg")
    (bench.photos / "b.jpg").write_bytes((bench.photos / "a.jpg").read_bytes())
    await bench.run()
    review = Review(bench)
    await review.touch_up("b.jpg", KEEP)
    assert (review.alpha("a.png"), review.alpha("b.png")) == ({255}, {255})


async def test_a_run_waits_a_moment_for_a_lock_that_is_held_briefly_and_for_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clock = bench.out, FakeClock().clock
    folder.mkdir()
    monkeypatch.setattr("batch_removebg.storage.lock._BRIEF", 0.2)
    asked: list[float] = []
    from filelock import FileLock

    acquire = FileLock.acquire

    def counted(self: Any, timeout: float | None = None, **more: Any) -> Any:
        asked.append(timeout if timeout is not None else -1)
        return acquire(self, timeout, **more)

    monkeypatch.setattr(FileLock, "acquire", counted)
    for brief, waited in ((True, 0.2), (False, 0)):
        with locked(folder, clock=clock, brief=brief), pytest.raises(LockedError, match="process"):  # noqa: SIM117
            with locked(folder, clock=clock):
                pass
        assert asked == [-1, -1, waited]
        asked.clear()


async def test_nothing_is_on_record_of_an_edit_whose_alpha_is_not_durable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg")
    await bench.run()
    (bench.out / ".batch-removebg/edits").write_text("in the way")
    with pytest.raises(Exception, match="in the way"):
        await Review(bench).touch_up("a.jpg")
    assert Decisions.read(bench.out).edited == {}


async def test_the_lock_is_let_go_after_a_while_and_what_was_touched_up_last_comes_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    await bench.run()
    review = Review(bench)
    with locked(bench.out / ".batch-removebg", clock=review.fake.clock):
        for item in ("a.jpg", "b.jpg"):
            await review.touch_up(item)
    prepare = apply.prepare

    async def slow(*given: Any) -> Any:
        review.fake.now += 6
        return await prepare(*given)

    monkeypatch.setattr(apply, "prepare", slow)
    assert (await review.touch_up("c.jpg")).state == "made"
    assert [review.alpha(f"{name}.png") for name in "abc"] == [{128}, {128}, {0}]
    for made in (1, 2):
        await review.until_it_pauses()
        assert sum(review.alpha(f"{name}.png") == {0} for name in "ab") == made


async def test_a_held_picture_is_released_once_it_is_accepted_touched_up_or_not(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run(hold_flagged=True)
    review = Review(bench)
    assert bench.saved() == []  # half an alpha everywhere is suspect
    await review.until_it_pauses()
    dot = [Stroke(keep=True, size=8, hardness=1, points=((9, 9),))]
    assert (await review.touch_up("a.jpg", dot)).state == "made"
    assert (bench.saved(), review.alpha(".batch-removebg/held/a.png") >= {128, 255}) == ([], True)
    decide(bench.out, "accepted", "a.jpg", "b.jpg")
    await review.until_it_pauses()
    assert (bench.saved(), review.alpha("a.png") >= {128, 255}) == (["a.png", "b.png"], True)


async def test_a_redone_picture_keeps_its_options_and_a_later_redo_ends_the_edit(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run()
    review = Review(bench)

    async def redo(**options: str) -> None:
        sha256 = review.state("a.jpg").sha256
        wish = Decided(item="a.jpg", verdict="redo", output_sha256=sha256, redo=options)
        Decisions.read(bench.out).append([wish], "2099-01-01T00:00:00.000Z")
        await bench.run(redo=("rejected",))

    await redo(edges="keep")
    assert (await review.touch_up("a.jpg", KEEP)).state == "made"
    assert (review.state("a.jpg").redo, review.alpha("a.png")) == ({"edges": "keep"}, {255})
    assert (await bench.run()).skipped == 1
    await redo(edges="keep", refine="none")
    assert (review.state("a.jpg").edited, review.alpha("a.png")) == (None, {128})
