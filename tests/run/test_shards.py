"""Runs that divide a manifest among them, and the list that is made of all."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import main
from batch_removebg.clock import Clock
from batch_removebg.errors import LockedError, SettingsError
from batch_removebg.events import ignore
from batch_removebg.manifest.shard import Shard
from batch_removebg.run.assemble import Pace
from batch_removebg.run.dry_run import preview
from batch_removebg.run.merge import merge
from batch_removebg.run.settings import Settings
from batch_removebg.run.shards import shard_of
from batch_removebg.storage.layout import STATE
from batch_removebg.storage.lock import locked
from tests.support.bench import Bench, bench
from tests.support.settings import GATEWAY, OUT, made

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
NAMES = [f"{nth}.jpg" for nth in range(8)]


def own(bench: Bench, number: int, of: int = 2) -> Path:
    return bench.out / Shard(number, of).folder


def items(path: Path) -> dict[str, Any]:
    return {item["id"]: item for item in json.loads(path.read_text("utf-8"))["items"]}


@pytest.fixture
async def halves(bench: Bench) -> Bench:
    """Two shards of eight photos, both done."""
    bench.add(*NAMES)
    for number in (1, 2):
        await bench.run(shard=f"{number}/2")
    return bench


# Which shard a run is


@pytest.mark.parametrize(
    ("text", "environ", "shard"),
    [
        ("3/16", {}, (3, 16)),
        ("auto", {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, (1, 4)),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, (4, 4)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, (8, 8)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}, (1, 4)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "4",
                  "SLURM_ARRAY_TASK_STEP": "2"}, (4, 4)),
    ],
)  # fmt: skip
def test_a_shard_is_named_or_numbered_by_its_array(text: str, environ: dict[str, str], shard: tuple[int, int]) -> None:
    assert shard_of(text, environ) == shard


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        ("auto", {}, "none of JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, SLURM_ARRAY_TASK_ID is set"),
        (
            "auto",
            {"JOB_COMPLETION_INDEX": "3"},
            "is 4/? by JOB_COMPLETION_INDEX and JOB_COMPLETIONS: give I/N or auto/N",
        ),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "is 3/2 by JOB_COMPLETION_INDEX"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "is x/2 by JOB_COMPLETION_INDEX"),
        *((text, {}, f"--shard {text}: give I/N") for text in ("0/4", "5/4", "3", "/", "a/4", "1/0", "-1/4", "1/4/2")),
    ],
)
def test_what_is_no_shard_is_refused_with_what_was_found(text: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        shard_of(text, environ)


def test_the_settings_say_the_shard_and_its_folder_however_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    settings = made(shard="auto/16")
    assert (settings.shard, settings.out) == ("3/16", OUT / "shard-003-of-016")
    assert replace(settings, quality=80).out == settings.out
    assert Settings.recorded(OUT / "brought here", settings.shown()).out == OUT / "brought here"
    with pytest.raises(SettingsError, match="--prune doesn't go with --shard"):
        made(shard="1/2", prune=True)


# Budgets


def budgets(of: int, billed: int = 0, **given: Any) -> list[int]:
    return [made(**GATEWAY, shard=f"{n}/{of}", **given).budget(billed)[0] or 0 for n in range(1, of + 1)]


def test_all_shards_together_buy_what_was_asked_for_and_no_more() -> None:
    assert budgets(4, max_predictions=10) == [3, 3, 2, 2]
    assert budgets(3, max_predictions=1) == [1, 0, 0]
    assert budgets(4, max_cost=0.5, price=0.1) == [2, 1, 1, 1]
    assert budgets(2, billed=2, max_cost_total=0.9, price=0.1) == [3, 2]
    said = made(**GATEWAY, shard="2/4", max_predictions=10).budget()[1]
    assert said.startswith("--max-predictions 10 is reached by shard 2/4, which has 3 of them, in this run")
    assert [Pace(made(**GATEWAY, shard=f"{n}/4", rate=120.0)).creates.rate for n in (1, 4)] == [0.5, 0.5]


# Runs


async def test_shards_make_what_one_run_makes_each_in_a_folder_of_its_own(bench: Bench, tmp_path: Path) -> None:
    bench.add(*NAMES)
    bench.out = tmp_path / "alone"
    await bench.run()
    alone, bench.out = items(bench.out / "results.json"), tmp_path / "out"
    parts = [(await bench.run(shard=f"{n}/2"), items(own(bench, n) / "results.json")) for n in (1, 2)]
    assert sorted([*parts[0][1], *parts[1][1]]) == sorted(alone)
    assert all(found["output"] == alone[key]["output"] for _, part in parts for key, found in part.items())
    assert all(0 < summary.saved < 8 and summary.gone == 0 for summary, _ in parts)
    assert sum(summary.predictions for summary, _ in parts) == 8
    again = await bench.run(shard="1/2")
    assert (again.predictions, again.gone, again.skipped) == (0, 0, parts[0][0].saved)


async def test_out_in_the_midst_of_the_photos_is_not_read_by_other_shards(bench: Bench) -> None:
    bench.add(*NAMES)
    bench.out = bench.photos / "cutouts"
    assert sum([(await bench.run(shard=f"{n}/2")).total for n in (1, 2, 1)][1:]) == 8


async def test_a_budget_that_passes_share_is_that_of_the_shard(bench: Bench) -> None:
    bench.add(*NAMES)
    summaries = [await bench.run(shard=f"{n}/2", max_predictions=3) for n in (1, 2)]
    assert [summary.predictions for summary in summaries] == [2, 1]
    assert [summary.exit_code for summary in summaries] == [4, 4]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ("1/2", "1/3", "holds 2 shards: run one by --shard I/2"),
        ("1/2", None, "holds 2 shards: run one by --shard I/2"),
        (None, "1/2", "was made without --shard"),
    ],
)
async def test_an_out_that_is_divided_otherwise_is_refused(
    bench: Bench, first: str | None, then: str | None, said: str
) -> None:
    bench.add(*NAMES)
    await bench.run(shard=first)
    with pytest.raises(SettingsError, match=said):
        await bench.run(shard=then)
    with pytest.raises(SettingsError, match=said):
        preview([str(bench.photos)], Settings(out=bench.out, shard=then), ignore)
    assert bench.provider.bill <= 8


async def test_a_dry_run_is_of_the_shard_alone(bench: Bench) -> None:
    bench.add(*NAMES)
    found = [preview([str(bench.photos)], made(**GATEWAY, shard=f"{n}/2"), ignore) for n in (1, 2)]
    assert found[0]["total"] + found[1]["total"] == 8
    assert found[0]["bought"] + found[1]["bought"] == 8


# Merge


async def test_the_merged_list_has_every_item_once_with_its_place(halves: Bench) -> None:
    merged = merge([halves.out], None)
    assert (merged.to, merged.exit_code) == (halves.out / "results.json", 0)
    found = json.loads(merged.to.read_text())
    one = json.loads((own(halves, 1) / "results.json").read_text())
    assert list(found) == list(one)
    assert found["counts"] == {"total": 8, "saved": 8, "failed": 0, "pending": 0}
    assert (found["predictions"], found["run"]["state"], found["run"]["exit_code"]) == (8, "finished", 0)
    assert sorted(item["id"] for item in found["items"]) == NAMES
    for item in found["items"]:
        [shard] = [n for n in (1, 2) if item["id"] in items(own(halves, n) / "results.json")]
        before = items(own(halves, shard) / "results.json")[item["id"]]
        assert item == before | {"output": f"{own(halves, shard).name}/{before['output']}"}
        assert (halves.out / item["output"]).is_file()
    assert merge([halves.out], None).counts == merged.counts  # its own list may be replaced


async def test_shards_are_merged_from_where_they_were_brought_to(halves: Bench, tmp_path: Path) -> None:
    moved = [tmp_path / "one" / own(halves, 1).name, tmp_path / "two" / own(halves, 2).name]
    for number, place in enumerate(moved, 1):
        shutil.copytree(own(halves, number), place)
    merged = merge([moved[1], tmp_path / "one"], tmp_path / "all.json")
    assert all((tmp_path / item["output"]).is_file() for item in items(merged.to).values())
    with pytest.raises(SettingsError, match="--to"):
        merge(moved, None)
    with pytest.raises(SettingsError, match="shard 1/2 is there twice"):
        merge([halves.out, moved[0]], tmp_path / "all.json")


async def test_the_merged_table_has_the_rows_of_all_with_their_columns(bench: Bench) -> None:
    bench.add(*NAMES)
    rows = [{"id": f"i{nth}", "image": name, "status": "new"} for nth, name in enumerate(NAMES)]
    text = "id,image,status\n" + "".join(f"{','.join(row.values())}\n" for row in rows) + "none,,old\n"
    (bench.photos / "list.csv").write_text(text)
    for number in (1, 2):
        await bench.run(str(bench.photos / "list.csv"), shard=f"{number}/2")
    merge([bench.out], None)
    header, *lines = csv.reader((bench.out / "results.csv").read_text("utf-8").splitlines(keepends=True))
    assert header == ["id", "image", "status", "output", "status_", "flags", "error"]
    found = {row["id"]: row for row in (dict(zip(header, line, strict=True)) for line in lines)}
    assert found.keys() == {*(row["id"] for row in rows), "none"}
    assert all({name: found[row["id"]][name] for name in row} == row for row in rows)
    assert all((bench.out / found[row["id"]]["output"]).is_file() for row in rows)
    assert found["none"]["status_"] == "no picture"


async def test_names_that_clash_are_told_and_what_failed_is_exit_code_3(bench: Bench) -> None:
    stems = [str(nth) for nth in range(8)]
    bench.add(*(f"{stem}{suffix}" for stem in stems for suffix in (".jpg", ".png")))
    (bench.photos / "broken.jpg").write_bytes(b"")
    for number in (1, 2):
        await bench.run(shard=f"{number}/2")
    merged = merge([bench.out], None)
    names = [item["output"].partition("/")[2] for item in items(merged.to).values() if item["output"]]
    assert merged.clashes == len(names) - len(set(names)) > 0
    assert names.count(merged.clash) == 2
    assert (merged.counts["failed"], merged.exit_code) == (1, 3)


async def test_a_missing_shard_is_named(halves: Bench) -> None:
    shutil.rmtree(own(halves, 2))
    with pytest.raises(SettingsError, match=r"shard-002-of-002 is missing: run --shard 2/2"):
        merge([halves.out], None)
    assert not (halves.out / "results.json").exists()


async def test_a_shard_at_work_is_waited_for(halves: Bench) -> None:
    with locked(own(halves, 2) / STATE, clock=Clock()), pytest.raises(LockedError, match="shard-002-of-002 is in use"):
        merge([halves.out], None)


async def test_a_shard_that_was_stopped_is_named_and_completed_by_its_next_run(bench: Bench) -> None:
    bench.add(*NAMES)
    await bench.run(shard="1/2")
    await bench.run(shard="2/2", limit=1)
    with pytest.raises(SettingsError, match=r"shard-002-of-002: its last run was limited before all was read"):
        merge([bench.out], None)
    await bench.run(shard="2/2")
    assert merge([bench.out], None).exit_code == 0
    assert bench.provider.bill == 8


async def test_a_shard_that_was_killed_is_named_and_completed_by_its_next_run(bench: Bench) -> None:
    bench.add(*NAMES)
    await bench.run(shard="1/2")
    await bench.run(shard="2/2")
    ledger = own(bench, 2) / "ledger.jsonl"
    shutil.rmtree(own(bench, 2) / STATE / "index.sqlite", ignore_errors=True)
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:-1]))
    for path in (own(bench, 2) / STATE).glob("index.sqlite*"):
        path.unlink()
    with pytest.raises(SettingsError, match=r"shard-002-of-002: its last run was killed"):
        merge([bench.out], None)
    assert (await bench.run(shard="2/2")).predictions == 0
    assert merge([bench.out], None).exit_code == 0


@pytest.mark.parametrize(
    ("number", "given", "said"),
    [(2, {"format": "webp"}, r"\(format\)"), (2, {"quality": 80, "format": "webp"}, r"\(format, quality\)")],
)
async def test_shards_that_were_made_otherwise_are_refused(
    bench: Bench, number: int, given: Mapping[str, Any], said: str
) -> None:
    bench.add(*NAMES)
    await bench.run(shard="1/2")
    await bench.run(shard="2/2", **given)
    with pytest.raises(SettingsError, match=f"shard-002-of-002 was made otherwise than .*shard-001-of-002 {said}"):
        merge([bench.out], None)
    await bench.run(shard="1/2", **given, concurrency=3, retry_failed=True)  # how fast doesn't matter
    assert merge([bench.out], None).exit_code == 0


async def test_shards_of_different_manifests_are_refused_and_of_the_same_row_too(bench: Bench) -> None:
    bench.add(*NAMES)
    await bench.run(shard="1/2")
    bench.add("late.jpg")
    await bench.run(shard="2/2")
    with pytest.raises(SettingsError, match="shard-002-of-002 has read another manifest than"):
        merge([bench.out], None)


async def test_a_row_that_two_shards_have_is_named_and_one_that_none_has_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(*NAMES)
    for answer, said in (
        (
            True,
            r"the shards' 16 items aren't the 8 of their manifest; '\d\.jpg', of .*shard-002-of-002, is in another one",
        ),
        (False, "the shards' 0 items aren't the 8"),
    ):
        monkeypatch.setattr(Shard, "has", lambda *_, answer=answer: answer)
        for number in (1, 2):
            await bench.run(shard=f"{number}/2")
        with pytest.raises(SettingsError, match=said):
            merge([bench.out], None)
        shutil.rmtree(bench.out)


async def test_an_item_that_no_line_names_is_pending_in_the_list(halves: Bench) -> None:
    halves.add("late.jpg")
    summaries = [await halves.run(shard=f"{n}/2", max_predictions=0) for n in (1, 2)]
    assert sorted(summary.pending for summary in summaries) == [0, 1]
    assert all("late" not in (own(halves, n) / "ledger.jsonl").read_text() for n in (1, 2))
    merged = merge([halves.out], None)
    assert (merged.counts["pending"], merged.exit_code) == (1, 3)
    assert items(merged.to)["late.jpg"]["status"] == "pending"


async def test_a_row_whose_picture_changes_moves_to_its_shard_and_is_in_the_list_once(bench: Bench) -> None:
    bench.add(*NAMES)
    manifest = bench.photos / "list.csv"
    for turn in (0, 4):
        manifest.write_text("id,image\n" + "".join(f"i{nth},{(nth + turn) % 8}.jpg\n" for nth in range(8)))
        for number in (1, 2):
            await bench.run(str(manifest), shard=f"{number}/2")
    assert merge([bench.out], None).counts["total"] == 8


@pytest.mark.parametrize("name", ["all.json", "all.csv"])
async def test_no_other_file_is_replaced(halves: Bench, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SettingsError, match=f"{name} is another file, and stays"):
        merge([halves.out], tmp_path / "all.json")
    with pytest.raises(SettingsError, match="outside of the shards' folders"):
        merge([halves.out], own(halves, 1) / "results.json")
    assert (tmp_path / name).read_text() == "mine"


async def test_the_command_prints_the_list_and_status_names_it(
    halves: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run_command(["merge", str(halves.out)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{halves.out / 'results.json'}\n"
    assert "2 shards, 8 items: 8 saved, 0 failed, 0 pending; predictions: 8" in err
    for command in ("status", "repair"):
        assert main.run_command([command, str(halves.out)]) == 2
        assert "holds 2 shards: run one by --shard I/2, or give its folder to other commands" in capsys.readouterr().err
