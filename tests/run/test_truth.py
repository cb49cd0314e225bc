"""One truth: results.json, `status`, the summary and the exit code say the same of a run, however it ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli.main import run_command
from batch_removebg.events import Event, Kind
from batch_removebg.run.summary import Summary
from tests.support.bench import Bench, bench
from tests.support.doubles import photo

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
COUNTS = ("total", "saved", "failed", "pending")


def status(out: Path) -> dict[str, Any]:
    """What the command says."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert run_command(["status", str(out), "--json"]) == 0
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


def stop_after(bench: Bench, saved: int) -> None:
    def on_event(event: Event) -> None:
        if sum(seen.kind is Kind.SAVED for seen in bench.events) == saved:
            bench.stop(signal.SIGINT)

    bench.on_event = on_event


def interrupt(bench: Bench) -> None:
    stop_after(bench, 2)


def break_one(bench: Bench) -> None:
    (bench.photos / "4.jpg").write_bytes(b"")


NOTHING: dict[str, Any] = {}
ENDS = [
    (lambda _: None, NOTHING, {"state": "finished", "reason": None, "exit_code": 0, "unread": False}, (6, 6, 0, 0)),
    (break_one, NOTHING, {"state": "finished", "reason": None, "exit_code": 3, "unread": False}, (6, 5, 1, 0)),
    (
        interrupt,
        {"concurrency": 1},
        {"state": "interrupted", "reason": "interrupted by SIGINT", "exit_code": 130, "unread": False},
        None,
    ),
    (
        lambda _: None,
        {"limit": 2},
        {"state": "limited", "reason": "--limit is reached", "exit_code": 3, "unread": True},
        (2, 2, 0, 0),
    ),
    (
        lambda _: None,
        {"limit": 6},
        {"state": "finished", "reason": None, "exit_code": 0, "unread": False},
        (6, 6, 0, 0),
    ),
    (
        lambda _: None,
        {"max_predictions": 1},
        {"state": "stopped", "exit_code": 4, "unread": False},
        (6, 1, 0, 5),
    ),
]


@pytest.mark.parametrize(("prepare", "settings", "end", "counts"), ENDS)
async def test_results_status_and_summary_say_the_same_however_a_run_ends(
    bench: Bench, prepare: Any, settings: dict[str, Any], end: dict[str, Any], counts: tuple[int, ...] | None
) -> None:
    bench.add(*(f"{number}.jpg" for number in range(6)))
    prepare(bench)
    summary = await bench.run(**settings)
    found, written = status(bench.out), bench.results()
    agreed(found, written, summary)
    if counts is not None:
        assert written["counts"] == dict(zip(COUNTS, counts, strict=True))
    run = found["run"]
    assert end.items() <= run.items()
    assert (run["pid"], run["eta"]) == (os.getpid(), None)
    assert run["started"] <= run["ended"]
    assert summary.exit_code == run["exit_code"]
    assert found["finished"] is (run["state"] == "finished")


def agreed(found: dict[str, Any], written: dict[str, Any], summary: Summary) -> None:
    for name in ("run", "counts", "gone", "predictions", "possible_duplicates"):
        assert found[name] == written[name], name
    told = summary.as_json()
    assert found["counts"] == {name: told[name] for name in COUNTS}
    assert (found["gone"], found["run"]["state"], found["run"]["unread"], found["run"]["exit_code"]) == (
        told["gone"], told["state"], told["unread"], told["exit_code"],
    )  # fmt: skip


@pytest.fixture
def going(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has saved one picture, and waits for more rows."""
    (tmp_path / "a.jpg").write_bytes(photo())
    command = [sys.executable, "-m", "batch_removebg", "run", "-", "--out", "out", "--progress", "json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("a.jpg\n")
        process.stdin.flush()
        while '"event": "saved"' not in process.stdout.readline():
            pass
        yield process
        process.kill()


def test_a_run_is_running_while_it_holds_the_lock_and_killed_where_nobody_does(
    going: subprocess.Popen[str], tmp_path: Path
) -> None:
    block = {"ended": None, "reason": None, "exit_code": None, "pid": going.pid, "eta": None, "unread": True}
    found = status(tmp_path / "out")
    assert found["run"] == {
        "state": "running",
        "started": found["run"]["started"],
        "rate": found["run"]["rate"],
        **block,
    }
    assert (found["counts"]["saved"], found["finished"]) == (1, False)
    going.kill()
    going.wait()
    assert status(tmp_path / "out") == {**found, "run": {**found["run"], "state": "killed"}}


# What has gone from the manifest


def rows(bench: Bench, *names: str) -> str:
    path = bench.photos / "list.csv"
    path.write_text("image,title\n" + "".join(f"{name},s-{name}\n" for name in names))
    return str(path)


async def test_rows_that_left_the_manifest_are_in_no_count_and_done_when_they_return(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    (bench.photos / "c.jpg").write_bytes(b"")
    assert (await bench.run(rows(bench, "a.jpg", "b.jpg", "c.jpg"))).exit_code == 3
    summary = await bench.run(rows(bench, "a.jpg"))
    assert (summary.total, summary.failures, summary.gone, summary.exit_code) == (1, (), 2, 0)
    agreed(status(bench.out), bench.results(), summary)
    assert [item["status"] for item in sorted(bench.results()["items"], key=lambda one: one["id"])] == [
        "saved", "gone", "gone",
    ]  # fmt: skip
    lines = len(bench.ledger())
    await bench.run(rows(bench, "a.jpg"))
    assert [entry["event"] for entry in bench.ledger()[lines:]] == ["run_started", "run_finished"]
    summary = await bench.run(rows(bench, "a.jpg", "b.jpg"))
    assert (summary.saved, summary.skipped, summary.gone, bench.provider.bill) == (2, 2, 1, 2)
    agreed(status(bench.out), bench.results(), summary)


@pytest.mark.parametrize("settings", [{"limit": 1}, {}])
async def test_nothing_is_taken_for_gone_where_the_manifest_was_not_read_whole(
    bench: Bench, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    await bench.run(rows(bench, "a.jpg"))
    given = [rows(bench, "b.jpg", "c.jpg", "d.jpg")]
    if not settings:
        given.append(str(bench.photos / "sub"))
        bench.add("sub/f.jpg", "sub/deep/g.jpg")
        scandir = os.scandir

        def refused(path: Any) -> Any:
            if str(path).rstrip("/").endswith("deep"):
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refused)
    assert (await bench.run(*given, **settings)).gone == 0


async def test_prune_moves_our_own_files_aside_once_and_nothing_else(bench: Bench) -> None:
    names = ("a.jpg", "sub/b.jpg", "sub/c.jpg", "d.jpg")
    bench.add(*names)
    await bench.run(rows(bench, *names))
    pictures = {name: (bench.out / name).read_bytes() for name in ("sub/b.png", "d.png")}
    summary = await bench.run(rows(bench, "a.jpg", "sub/c.jpg"))
    assert (summary.gone, summary.pruned) == (2, 0)
    assert (bench.out / "d.png").exists()
    (bench.out / "sub" / "c.png").write_bytes(b"the shop's own")
    summary = await bench.run(rows(bench, "a.jpg"), prune=True)
    assert (summary.gone, summary.pruned) == (3, 2)
    [aside] = (bench.out / ".batch-removebg" / "pruned").iterdir()
    assert {path.relative_to(aside).as_posix(): path.read_bytes() for path in aside.rglob("*.png")} == pictures
    assert bench.saved() == ["a.png", "sub/c.png"]
    (bench.out / "sub" / "c.png").unlink()
    assert (await bench.run(rows(bench, "a.jpg"), prune=True)).pruned == 0
    assert bench.results()["counts"] == {"total": 1, "saved": 1, "failed": 0, "pending": 0}


async def test_a_row_that_can_not_be_read_makes_no_item_gone(bench: Bench) -> None:
    bench.add("a.jpg", "b.jpg")
    manifest = bench.out.parent / "feed.jsonl"
    lines = [json.dumps({"id": name, "image": str(bench.photos / f"{name}.jpg")}) for name in "ab"]
    manifest.write_text("\n".join(lines))
    await bench.run(str(manifest))
    manifest.write_text(f"{lines[0]}\n{lines[1].replace(',', ',,')}\n")
    summary = await bench.run(str(manifest), prune=True)
    assert (summary.failed, summary.gone, summary.pruned) == (1, 0, 0)
    assert bench.saved() == ["a.png", "b.png"]


async def test_prune_keeps_other_formats_of_what_is_there_and_moves_earlier_names(bench: Bench) -> None:
    bench.add("a.jpg", "sub/b.jpg")
    await bench.run(format="webp")
    await bench.run()
    assert (await bench.run(name="{stem}", prune=True)).pruned == 1
    assert bench.saved() == ["a.png", "b.png"]
    assert sorted(path.name for path in bench.out.rglob("*.webp")) == ["a.webp", "b.webp"]
