"""--hold-flagged: what has flags reaches its place in OUT once somebody has accepted it, and not before."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli.main import run_command
from batch_removebg.events import Kind
from batch_removebg.pipeline import download
from batch_removebg.run.export import Choice, export
from batch_removebg.storage.layout import HELD
from tests.support.bench import Bench, bench
from tests.support.decisions import decide

__all__ = ["bench"]
pytestmark = pytest.mark.anyio


def files(bench: Bench) -> dict[str, bytes]:
    """The pictures in OUT, those that are held included."""
    found = [path for form in ("png", "webp") for path in bench.out.rglob(f"*.{form}")]
    kept = {path.relative_to(bench.out).as_posix(): path.read_bytes() for path in found}
    return {name: data for name, data in kept.items() if not name.startswith(".") or name.startswith(HELD)}


def shown(bench: Bench) -> dict[str, tuple[str, bool]]:
    return {item["id"]: (item["output"], item.get("held", False)) for item in bench.results()["items"]}


def events(bench: Bench, event: str) -> list[str]:
    return [line["item"] for line in bench.ledger() if line["event"] == event]


@pytest.fixture
def flawless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No picture has flags, until this is undone."""
    real = download._judged
    monkeypatch.setattr(download, "_judged", lambda quality, flags: real(quality, ()) | {"flags": ()})
    return monkeypatch


async def test_flagged_pictures_are_held_and_stay_so_without_the_flag(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.add("a.jpg", "sub/b.jpg")
    summary = await bench.run(hold_flagged=True)
    held = files(bench)
    assert sorted(held) == [f"{HELD}/a.png", f"{HELD}/sub/b.png"]
    assert (summary.saved, summary.held) == (2, 2)
    assert {event.text for event in bench.events if event.kind is Kind.SAVED} == set(held)
    assert shown(bench) == {"a.jpg": ("a.png", True), "sub/b.jpg": ("sub/b.png", True)}
    rows = list(csv.DictReader((bench.out / "results.csv").read_text().splitlines()))
    assert [(row["output"], row["status"]) for row in rows] == [("", "held")] * 2
    assert run_command(["status", str(bench.out)]) == 0
    assert f"held until accepted: 2, in {HELD}/" in capsys.readouterr().out
    lines = len(bench.ledger())
    for flag in (True, False):
        assert (await bench.run(hold_flagged=flag)).skipped == 2
        assert files(bench) == held
    assert len(bench.ledger()) == lines + 4  # that the runs began and ended
    assert (await bench.run(force=())).saved == 2
    assert sorted(files(bench)) == sorted(held)
    assert bench.provider.bill == 2


async def test_the_next_run_releases_what_was_accepted_alone_and_once(bench: Bench) -> None:
    bench.add("a.jpg", "sub/b.jpg", "c.jpg")
    await bench.run(hold_flagged=True)
    held = files(bench)
    decide(bench.out, "accepted", "sub/b.jpg")
    decide(bench.out, "rejected", "c.jpg")
    for _ in range(2):
        await bench.run()
        assert sorted(files(bench)) == [f"{HELD}/a.png", f"{HELD}/c.png", "sub/b.png"]
    assert files(bench)["sub/b.png"] == held[f"{HELD}/sub/b.png"]
    assert not (bench.out / HELD / "sub").exists()
    assert shown(bench)["sub/b.jpg"] == ("sub/b.png", False)
    assert (events(bench, "released"), bench.provider.bill) == (["sub/b.jpg"], 3)


async def test_a_kill_between_move_and_line_is_made_up_for(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(hold_flagged=True)
    decide(bench.out, "accepted", "a.jpg")
    (bench.out / HELD / "a.png").rename(bench.out / "a.png")
    await bench.run()
    assert (events(bench, "released"), len(events(bench, "saved"))) == (["a.jpg"], 1)
    assert (list(files(bench)), shown(bench)) == (["a.png"], {"a.jpg": ("a.png", False)})


async def test_another_file_than_was_accepted_stays_held_and_is_told_of(bench: Bench) -> None:
    bench.add("a.jpg")
    await bench.run(hold_flagged=True)
    decide(bench.out, "accepted", "a.jpg")
    size = (bench.out / HELD / "a.png").stat().st_size
    (bench.out / HELD / "a.png").write_bytes(b"x" * size)
    await bench.run()
    assert (list(files(bench)), events(bench, "released")) == ([f"{HELD}/a.png"], [])
    assert "a.jpg is accepted, and stays held" in next(
        event.text for event in bench.events if event.kind is Kind.WARNING
    )


async def test_pictures_made_again_without_flags_are_published(bench: Bench, flawless: pytest.MonkeyPatch) -> None:
    bench.add("a.jpg")
    await bench.run(hold_flagged=True)
    assert list(files(bench)) == ["a.png"]
    flawless.undo()
    published = files(bench)
    await bench.run(hold_flagged=True, format="webp")
    assert sorted(files(bench)) == [f"{HELD}/a.webp", "a.png"]
    assert files(bench)["a.png"] == published["a.png"]


async def test_what_is_held_no_more_leaves_nothing_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.add("a.jpg")
    await bench.run(hold_flagged=True)
    real = download._judged
    monkeypatch.setattr(download, "_judged", lambda quality, flags: real(quality, ()) | {"flags": ()})
    await bench.run(force=())
    assert (list(files(bench)), shown(bench)) == (["a.png"], {"a.jpg": ("a.png", False)})


async def test_the_pictures_of_an_item_are_held_and_released_together(bench: Bench, tmp_path: Path) -> None:
    presets = [str(tmp_path / f"{name}.toml") for name in ("one", "two")]
    for path, side in zip(presets, (64, 70), strict=True):
        Path(path).write_text(f"canvas = [{side}, {side}]\nformat = 'png'\n")
    bench.add("a.jpg")
    await bench.run(preset=presets[:1])
    published = files(bench)
    assert list(published) == ["one/a.png"]
    await bench.run(preset=presets, hold_flagged=True)
    assert sorted(files(bench)) == [f"{HELD}/one/a.png", f"{HELD}/two/a.png", "one/a.png"]
    assert files(bench)[f"{HELD}/one/a.png"] == published["one/a.png"]
    two = (bench.out / HELD / "two/a.png").read_bytes()
    (bench.out / HELD / "two/a.png").write_bytes(b"")
    decide(bench.out, "accepted", "a.jpg")
    await bench.run(preset=presets[:1])
    assert sorted(files(bench)) == [f"{HELD}/one/a.png", f"{HELD}/two/a.png", "one/a.png"]
    (bench.out / HELD / "two/a.png").write_bytes(two)
    await bench.run(preset=presets)
    assert sorted(files(bench)) == ["one/a.png", "two/a.png"]
    assert bench.provider.bill == 1


async def test_held_pictures_are_exported_and_pruned_where_they_lie(bench: Bench, tmp_path: Path) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run(hold_flagged=True)
    held, said = files(bench), list[str]()
    decide(bench.out, "accepted", "a.jpg")
    assert export(bench.out, tmp_path / "to", Choice(["accepted"]), said.append).pictures == 1
    assert (tmp_path / "to/a.png").read_bytes() == held[f"{HELD}/a.png"]
    (bench.photos / "b.jpg").unlink()
    summary = await bench.run(prune=True)
    assert (summary.gone, summary.pruned, sorted(files(bench))) == (1, 1, ["a.png"])


async def test_an_index_built_anew_knows_what_is_held(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    await bench.run(hold_flagged=True)
    decide(bench.out, "accepted", "a.jpg")
    await bench.run()
    before: dict[str, Any] = shown(bench)
    (bench.out / ".batch-removebg/index.sqlite").unlink()
    (bench.out / "results.json").unlink()
    await bench.run()
    assert shown(bench) == before == {"a.jpg": ("a.png", False), "b.jpg": ("b.png", True)}
    assert bench.provider.bill == 2
