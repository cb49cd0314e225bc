"""A run over a ledger that isn't what it was: nothing is bought; after a repair, or starting over, it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_removebg.cli.main import run_command
from batch_removebg.errors import LedgerDamaged
from batch_removebg.events import Kind
from batch_removebg.ledger.repair import repair
from batch_removebg.run.dry_run import preview
from batch_removebg.run.settings import Settings
from batch_removebg.storage.layout import INDEX, LEDGER, RESULTS
from tests.support.bench import Bench, bench, processing, stop_after

__all__ = ["bench"]

pytestmark = pytest.mark.anyio
STAMP = "2027-01-15T08:00:00.000Z"


def cut_short(ledger: Path) -> None:
    """Without the last create: what still names all of them holds what was paid for."""
    data = ledger.read_bytes()
    ledger.write_bytes(data[: data.rindex(b"submitting")])


def reformatted(ledger: Path) -> None:
    ledger.write_text("\n".join(json.dumps(json.loads(each), indent=2) for each in ledger.read_text().splitlines()))


def pointer(ledger: Path) -> None:
    ledger.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5303\n")


def blank(ledger: Path) -> None:
    ledger.write_bytes(b"")


LOSSES: list[Callable[[Path], None]] = [cut_short, reformatted, pointer, blank, Path.unlink]
SOME = [cut_short, pointer]  # what a repair makes of each is a matter of tests/ledger/test_repair.py


@pytest.fixture
async def finished(bench: Bench, tmp_path: Path) -> Bench:
    """A run over two photos, and two URLs of which the API's cutout is the picture, is over."""
    bench.add("a.jpg", "b.jpg")
    (tmp_path / "urls.txt").write_text("https://shop.example/c.jpg\nhttps://shop.example/d.jpg\n")
    assert (await again(bench)).saved == bench.provider.bill == 4
    return bench


async def again(bench: Bench, **settings: bool) -> object:
    return await bench.run(str(bench.photos), str(bench.photos.parent / "urls.txt"), **settings)


def contents(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("lose", LOSSES)
async def test_a_run_over_a_ledger_that_isnt_what_it_was_is_refused_and_buys_and_touches_nothing(
    finished: Bench, lose: Callable[[Path], None], index: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(finished.out / LEDGER)
    if not index:
        (finished.out / INDEX).unlink()
    before = contents(finished.out)
    with pytest.raises(LedgerDamaged) as error:
        await again(finished)
    assert error.value.exit_code == 4
    assert run_command(["status", str(finished.out)]) == 4
    assert str(error.value) in capsys.readouterr().err
    after = contents(finished.out)
    if not index:
        after.pop(INDEX, None)  # one of what there is now may have been built
    assert (finished.provider.bill, after) == (4, before)


@pytest.mark.parametrize("lose", SOME)
async def test_after_a_repair_a_run_buys_nothing_and_makes_nothing_anew(
    finished: Bench, lose: Callable[[Path], None]
) -> None:
    pictures = {name: (finished.out / name).stat().st_mtime_ns for name in finished.saved()}
    lose(finished.out / LEDGER)
    repair(finished.out, STAMP)
    summary = await again(finished)
    assert (summary.saved, summary.skipped, summary.exit_code, finished.provider.bill) == (4, 4, 0, 4)
    assert {name: (finished.out / name).stat().st_mtime_ns for name in finished.saved()} == pictures
    assert finished.results()["counts"] == {"total": 4, "saved": 4, "failed": 0, "pending": 0}


async def test_with_results_json_alone_a_repair_still_saves_what_was_paid_for(finished: Bench) -> None:
    (finished.out / LEDGER).unlink()
    (finished.out / INDEX).unlink()
    pictures = finished.saved()
    assert repair(finished.out, STAMP) == {RESULTS: 4}
    summary = await again(finished)
    assert (summary.saved, summary.exit_code, finished.provider.bill, finished.saved()) == (4, 0, 4, pictures)


@pytest.mark.parametrize("lose", SOME)
async def test_what_is_in_flight_is_collected_after_a_repair(bench: Bench, lose: Callable[[Path], None]) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(stop_after(bench, processing("p1")))
    assert ((await bench.run(grace=1)).pending, bench.provider.bill) == (1, 1)
    bench.provider.known["p1"] = bench.provider.succeed(bench.provider.requests[0])
    lose(bench.out / LEDGER)
    with pytest.raises(LedgerDamaged):
        await bench.run()
    repair(bench.out, STAMP)
    assert (await bench.run()).saved == bench.provider.bill == 1


@pytest.mark.parametrize("lose", SOME)
async def test_starting_over_keeps_the_old_ledger_and_makes_photos_from_the_masks_there_are(
    finished: Bench, lose: Callable[[Path], None]
) -> None:
    lose(finished.out / LEDGER)
    before = contents(finished.out)
    summary = await again(finished, start_over=True)
    assert (summary.saved, summary.exit_code) == (4, 0)
    assert finished.provider.bill == 6  # the two URLs, of which nothing but a picture without a line was left
    said, renamed = [event.text for event in finished.events if event.kind is Kind.WARNING]
    assert said.startswith("a new ledger is begun; kept of the old one: ")
    assert renamed.startswith("4 × another name than was asked for (first: ")
    after = contents(finished.out)
    for name in filter(before.__contains__, (LEDGER, INDEX, RESULTS)):
        [kept] = [each for each in after if each.startswith(f"{name}.cut-")]
        assert after[kept] == before[name]
        assert kept in said
    assert {name: after[name] for name in before if name.endswith(".png")} == {
        name: data for name, data in before.items() if name.endswith(".png")
    }
    summary = await again(finished, start_over=True)
    assert (summary.skipped, finished.provider.bill) == (4, 6)


async def test_a_dry_run_is_refused_as_the_run_would_be_and_goes_on_as_it_would(finished: Bench) -> None:
    (finished.out / LEDGER).unlink()
    given = {"out": finished.out, "provider": "replicate", "base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(LedgerDamaged):
        preview([str(finished.photos)], Settings(**given), lambda event: None)
    found = preview([str(finished.photos)], Settings(**given, start_over=True), lambda event: None)
    assert (found["total"], found["kept"], found["bought"]) == (2, 2, 0)


def test_the_command_says_what_it_would_do_does_it_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = '{"v":1,"t":"2027-01-15T08:00:00.000Z","event":"claimed","item":"a","output":"a.png"}\n'
    (tmp_path / LEDGER).write_text(item + "spoilt\n")
    out = str(tmp_path)
    assert run_command(["status", out]) == 4
    assert (
        f"line 2 is damaged. Nothing is bought until that is settled: restore it from a backup, mend it by "
        f"`batch-removebg repair {out}`" in capsys.readouterr().err
    )
    assert run_command(["repair", out, "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "        1 lines from ledger.jsonl\nthe ledger would be made of these; what it was is kept as `*.cut-*`\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER]
    assert run_command(["repair", out]) == 0
    assert "the ledger is made of these" in capsys.readouterr().out
    assert (tmp_path / LEDGER).read_text() == item
    assert run_command(["repair", out]) == 0
    assert capsys.readouterr().out == "nothing is wrong with the ledger\n"
    assert run_command(["repair", str(tmp_path / "elsewhere")]) == 2
