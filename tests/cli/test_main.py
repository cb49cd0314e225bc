"""The command line from words to exit code, with a scripted provider in the API's place."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import anyio
import pytest

from batch_removebg import __main__, __version__
from batch_removebg.cli import main
from batch_removebg.clock import Clock
from batch_removebg.engine import network, weights
from batch_removebg.errors import INSTALL, KeyRejected, LockedError, PredictionFailed
from batch_removebg.imaging.format import Limits
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.resources import Cpu
from batch_removebg.run import assemble, batch
from batch_removebg.run.settings import Settings
from batch_removebg.server import listen
from batch_removebg.storage.lock import locked
from tests.support.doubles import ScriptedProvider, photo
from tests.support.oracle import line

KEY = "r8_SecretOfTheShop1234567890"
Said = Callable[..., tuple[int, str, str]]
API = ["--provider", "replicate", "--base-url", "http://127.0.0.1:9/v1"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    """What `--provider replicate` buys from."""
    made = ScriptedProvider()

    @asynccontextmanager
    async def provided(
        settings: Settings, clock: Clock, cpu: Cpu, loaded: object
    ) -> AsyncIterator[tuple[ScriptedProvider, None]]:
        yield made, None

    monkeypatch.setattr(assemble, "provider", provided)
    monkeypatch.setenv("REPLICATE_API_TOKEN", KEY)
    return made


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three photos in `in`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        (tmp_path / "in" / f"{name}.jpg").write_bytes(photo(colour=(number * 80, 0, 0)))
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """A command's exit code, stdout and stderr."""

    def command(*argv: str) -> tuple[int, str, str]:
        code = main.run_command(argv)
        return (code, *capsys.readouterr())

    return command


def deserted() -> TextIO:
    """The writing end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    def state(path: Path) -> tuple[int, int, bytes]:
        status = path.stat()
        return status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b""

    return {str(path): state(path) for path in (root, *root.rglob("*"))}


# run


def test_every_item_saved_is_0_with_the_result_on_stdout_and_words_on_stderr(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    code, out, err = said("run", "in", "--out", "out", *API)
    assert (code, out) == (0, "out/results.json\n")
    assert re.fullmatch(
        r"3 saved, 0 failed in \d+\.\d s\n"
        r"predictions: 3 bought from http://127\.0\.0\.1:9/v1\n"
        r"worth a look: 3 cut-off \([abc.jpg, ]+\), 3 faint \([abc.jpg, ]+\), 3 suspect \([abc.jpg, ]+\)\n"
        r"pictures  out/\nledger    out/ledger\.jsonl\nresults   out/results\.json\n",
        err,
    )
    assert provider.bill == 3
    assert {path.name for path in (shop / "out").iterdir()} == {
        ".batch-removebg", "ledger.jsonl", "results.json", "results.csv", "a.png", "b.png", "c.png",
    }  # fmt: skip
    code, _, err = said("run", "in", "--out", "out", *API)
    assert (code, provider.bill) == (0, 3)
    assert err.startswith("3 saved (3 of them by an earlier run), 0 failed in ")


def test_some_items_failed_is_3_and_the_next_command_tries_them_again(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    (shop / "in" / "b.jpg").write_bytes(b"")
    code, _, err = said("run", "in", "--out", "out", *API)
    assert code == 3
    assert "failed, source: 1\n    b.jpg: " in err
    assert err.splitlines()[-1] == "to try the failed ones again, run the same command with --retry-failed"
    again = ("run", "in", "--out", "out", *API, "--retry-failed")
    code, _, err = said(*again)
    assert (code, provider.bill) == (3, 2)
    (shop / "in" / "b.jpg").write_bytes(photo())
    assert said(*again)[0] == 0


def test_an_aborted_run_is_4_and_says_how_to_go_on(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    provider.script.append(KeyRejected("the server does not accept the key in REPLICATE_API_TOKEN"))
    code, out, err = said("run", "in", "--out", "out", "--concurrency", "1", *API)
    assert (code, out) == (4, "out/results.json\n")
    assert "stopped: the server does not accept the key in REPLICATE_API_TOKEN\n" in err
    assert err.splitlines()[-1] == "to go on where this stopped, run the same command again"
    code, _, err = said("run", "in", "--out", "spent", "--max-predictions", "2", *API)
    assert (code, provider.bill) == (4, 2)
    assert "--max-predictions 2 is reached" in err


def test_a_locked_out_is_11_and_nothing_is_touched(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    (shop / "out" / ".batch-removebg").mkdir(parents=True)
    with locked(shop / "out" / ".batch-removebg", clock=Clock()):
        before = tree(shop)
        code, out, err = said("run", "in", "--out", "out", *API)
        assert (code, out, LockedError.exit_code) == (11, "", 11)
        assert f"error: out is in use by another run (process {os.getpid()} on " in err
        assert tree(shop) == before
    assert provider.calls == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["gone.csv", "--out", "out"], "gone.csv"),
        (["empty", "--out", "out"], "nothing to do"),
        (["in", "--out", "in"], "in is the output folder itself"),
        (["bad.csv", "--out", "out"], "bad.csv:1"),
        (["up.csv", "--out", "out", "--strict"], "up.csv:2"),
        (["twice.csv", "--out", "out", "--strict"], "twice.csv:3"),
        (["in", "--out", "out", "--quality", "0"], "--quality 0"),
        (["in", "--out", "out", "--background", "puce-ish"], "puce-ish"),
        (["in", "--out", "out", "--name", "{nosuch}"], "{nosuch}"),
        (["in", "--out", "out", "--provider", "gateway"], "--base-url"),
        (["in", "--out", "out", "--provider", "replicate"], "REPLICATE_API_TOKEN"),
        (["in", "--out", "out", "--provider", "replicate", "--token-env", "UNSET"], "UNSET"),
        (["in", "--out", "out", "--model", "u3net"], "u3net"),
    ],
)
def test_usage_settings_and_manifest_are_2_before_anything_is_made(
    shop: Path, said: Said, argv: list[str], words: str
) -> None:
    (shop / "empty").mkdir()
    (shop / "bad.csv").write_text("name,price\nshoe,3\n")
    (shop / "up.csv").write_text("image,output\nin/a.jpg,../a\n")
    (shop / "twice.csv").write_text("image,id\nin/a.jpg,1\nin/b.jpg,1\n")
    before = tree(shop)
    code, out, err = said("run", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert tree(shop) == before


@pytest.mark.parametrize("argv", [["run"], ["run", "in", "--out", "out", "--tokn", "x"], ["frobnicate"]])
def test_an_unknown_flag_or_command_is_2(said: Said, argv: list[str]) -> None:
    code, out, err = said(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_bug_is_1_with_its_traceback_on_stderr(shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    async def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("something nobody thought of")

    monkeypatch.setattr(batch, "run", broken)
    code, out, err = said("run", "in", "--out", "out", *API)
    assert (code, out) == (1, "")
    assert err.startswith("error: a bug in batch-removebg; what is finished is on record\nTraceback ")
    assert err.rstrip().endswith("ZeroDivisionError: something nobody thought of")


def test_a_signal_is_130_and_what_was_bought_is_brought_home(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    def interrupted(request: CreateRequest) -> Prediction:
        os.kill(os.getpid(), signal.SIGINT)
        return provider.succeed(request)

    provider.script.append(interrupted)
    code, _, err = said("run", "in", "--out", "out", "--concurrency", "1", *API)
    assert (code, provider.bill) == (130, 1)
    assert "1 saved, 0 failed, 2 pending" in err
    assert "warning: stopping: interrupted by SIGINT" in err


def test_ctrl_c_before_the_run_has_begun_is_130(shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_settings", interrupted)
    assert said("run", "in", "--out", "out") == (130, "", "error: interrupted\n")


def test_flags_become_settings(shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    seen: list[Any] = []

    async def run(inputs: list[str], settings: Settings, **others: Any) -> None:
        seen.extend([inputs, settings, others["handle_signals"]])
        raise KeyRejected("enough")

    monkeypatch.setattr(batch, "run", run)
    flags = (
        "--format jpeg --mask-only --background #102030 --input a=1 --input b=x --rate 6 --retry-failed --quality 80"
    )
    assert said("run", "in", "more", "--out", "out", *flags.split())[0] == 4
    expected = Settings(
        out=Path("out"),
        format="jpeg",
        mask_only=True,
        background="#102030",
        model_inputs={"a": 1, "b": "x"},
        rate=6.0,
        retry_failed=True,
        quality=80,
    )
    assert seen == [["in", "more"], expected, True]


def test_progress_json_is_one_object_a_line_and_the_summary_at_the_end(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    provider.script.append(PredictionFailed("no product in the picture"))
    code, out, _ = said("run", "in", "--out", "out", "--progress", "json", "--concurrency", "1", *API)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    events = [(line["event"], line.get("item")) for line in lines]
    assert events[0] == ("total", None)
    assert ("failed", "a.jpg") in events
    assert {item for event, item in events if event == "saved"} == {"b.jpg", "c.jpg"}
    last = lines[-1]
    assert (last["event"], last["saved"], last["failed"], last["exit_code"]) == ("summary", 2, 1, 3)
    assert last["failures"] == [
        {"kind": "prediction", "count": 1, "examples": [{"item": "a.jpg", "message": "no product in the picture"}]}
    ]


def test_quiet_says_nothing_but_errors(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    assert said("run", "in", "--out", "out", "-q", *API) == (0, "out/results.json\n", "")
    code, _, err = said("run", "gone.csv", "--out", "out", "-q", *API)
    assert code == 2
    assert err.startswith("error: ")


def test_verbose_says_every_step(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, _, err = said("run", "in", "--out", "out", "-v", *API)
    assert {"saved a.jpg → a.png", "saved b.jpg → b.png", "saved c.jpg → c.png"} <= set(err.splitlines())


def test_the_log_as_json_is_json_on_every_line(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, _, err = said("run", "in", "--out", "out", "-v", "--log-format", "json", *API)
    levels = [json.loads(line)["level"] for line in err.splitlines()]
    assert levels == ["detail"] * 3 + ["info"]
    code, _, err = said("run", "gone.csv", "--out", "out", "--log-format", "json", *API)
    assert (code, json.loads(err)["level"]) == (2, "error")


def test_the_key_is_nowhere_in_what_a_run_says_or_writes(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    _, out, err = said("run", "in", "--out", "out", "-v", "--progress", "json", *API)
    written = b"".join(state[2] for state in tree(shop / "out").values())
    assert KEY not in out + err
    assert KEY.encode() not in written


def test_odd_file_names_survive(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    names = ["with space.jpg", "two\nlines.jpg", "椅子.jpg", "🪑.jpg", "quo'te\".jpg", "-dash.jpg", "[x].jpg"]
    (shop / "odd").mkdir()
    for number, name in enumerate(names):
        (shop / "odd" / name).write_bytes(photo(30 + number, 20))
    code, _, err = said("run", "odd", "--out", "out", *API)
    assert code == 0, err
    found = json.loads((shop / "out" / "results.json").read_text(encoding="utf-8"))["items"]
    assert sorted(item["id"] for item in found) == sorted(names)
    assert all((shop / "out" / item["output"]).is_file() for item in found)
    assert "two\nlines" not in err


def test_control_characters_in_a_name_never_reach_the_terminal(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    (shop / "in" / "evil\x1b[2J\n\x9b31m.jpg").write_bytes(b"")
    code, out, err = said("run", "in", "--out", "out", "-v", "--progress", "bar", *API)
    assert code == 3
    assert (out + err).replace("\n", "").replace("\r", "").isprintable()
    assert r"evil\x1b[2J\n\x9b31m.jpg" in err


@pytest.mark.parametrize("progress", ["none", "json", "bar"])
def test_a_reader_who_goes_away_changes_neither_the_work_nor_the_exit_code(
    shop: Path, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, progress: str
) -> None:
    (shop / "in" / "b.jpg").write_bytes(b"")
    with deserted() as out, deserted() as err, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert main.run_command(["run", "in", "--out", "out", "--progress", progress, "-v", *API]) == 3
    assert json.loads((shop / "out" / "results.json").read_text())["counts"]["saved"] == 2


def test_what_is_left_out_of_folders_is_in_the_closing_words_the_summary_and_the_dry_run(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    for name in ("in/d.psb", "in/#recycle/e.jpg"):
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_bytes(photo())
    text = "left out: 1 .psb (not readable here: export them as PNG or TIFF first), 1 #recycle such as in/#recycle"
    assert said("run", "in", "--out", "out", "--dry-run", *API)[2] == f"warning: {text}\n"
    _, out, err = said("run", "in", "--out", "out", "--progress", "json", *API)
    assert text in err.splitlines()
    assert json.loads(out.splitlines()[-1])["left_out"] == {"#recycle": 1, ".psb": 1}
    assert provider.bill == 3
    assert said("run", "in", "--out", "other", "--exclude", "b.*", "--exclude", "#recycle", *API)[0] == 0
    assert sorted(path.name for path in (shop / "other").glob("*.png")) == ["a.png", "c.png"]


def test_longer_names_are_said_once_with_their_number_and_noted_with_each(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    for name in ("a.png", "b.png"):
        (shop / "in" / name).write_bytes(photo(colour=(1, 2, 3)))
    code, _, err = said("run", "in", "--out", "out", *API)
    assert code == 0
    items = json.loads((shop / "out" / "results.json").read_text())["items"]
    notes = {item["id"]: note for item in items for note in item.get("notes", []) if "taken" in note}
    named = {item["id"]: item["output"] for item in items}
    assert notes == {
        "a.png": f"is named {named['a.png']}, since a.png is taken",
        "b.png": f"is named {named['b.png']}, since b.png is taken",
    }
    first = f"(first: in/a.png {notes['a.png']})"
    assert [line for line in err.splitlines() if "longer name" in line] == [
        f"warning: 2 × a longer name, since the plain one is taken {first}; each is noted in results.json"
    ]
    assert "longer name" not in said("run", "in", "--out", "out", *API)[2]


def test_a_name_that_cannot_be_written_fails_alone(
    shop: Path, provider: ScriptedProvider, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.lstat

    def ascii_only(path: str, **more: Any) -> os.stat_result:
        os.fspath(path).encode("ascii")
        return look(path, **more)

    (shop / "in" / "ö.jpg").write_bytes(photo())
    monkeypatch.setattr(os, "lstat", ascii_only)
    code, _, err = said("run", "in", "--out", "out", *API)
    assert (code, provider.bill) == (3, 3)
    assert "ö.jpg: 'ascii' codec can't encode" in err


def test_a_file_that_was_taken_for_a_flag_is_told_how_to_be_written(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    names = ["-photo.jpg", "-q.jpg", "--photo.jpg", "-h.jpg"]
    for number, name in enumerate(names):
        (shop / name).write_bytes(photo(30 + number))
        advice = f"error: {name} is a file, and was taken for a flag: write ./{name}, or -- before the INPUTs"
        assert advice in said("run", name, "--out", "out", *API)[2].splitlines()
    assert said("run", *(f"./{name}" for name in names), "--out", "out", *API)[0] == 0
    assert said("run", "--out", "more", *API, "--", *names)[0] == 0
    assert provider.bill == 2 * len(names)


def test_file_names_are_utf8_whatever_the_locale(shop: Path) -> None:
    (shop / "in" / "Größe.jpg").write_bytes(photo())
    (shop / "list.csv").write_text("image\nin/Größe.jpg\n")
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "batch_removebg", "run", "list.csv", "--out", "out", "--dry-run"]
    root = Path(main.__file__).parents[2]
    done = subprocess.run(
        command, env={**os.environ, **locale, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        0,
        "list.csv: commas divide it; pictures from 'image', no column has ids\n",
    )
    assert done.stdout.splitlines()[:2] == [
        "1 items, and nothing is done about them (--dry-run)",
        "        1 would need a new prediction",
    ]


# run --dry-run


def test_dry_run_writes_nothing_buys_nothing_and_asks_nobody(
    shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        pytest.fail("a dry run only looks")

    monkeypatch.setattr(assemble, "provider", never)
    monkeypatch.setattr(network, "ensure_weights", never)
    monkeypatch.setattr(network, "load", never)
    monkeypatch.setattr(anyio, "run", never)
    monkeypatch.setattr(os, "mkdir", never)
    before = tree(shop)
    code, out, err = said("run", "in", "--out", "out", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "3 items, and nothing is done about them (--dry-run)",
        "        3 would need a new prediction",
        "predictions: 3 would be made on this machine, nothing billed",
    ]
    code, out, _ = said("run", "in", "--out", "out", "--dry-run", "--provider", "replicate", "--progress", "json")
    assert code == 0
    assert json.loads(out) == {
        "total": 3, "done": 0, "left": 0, "kept": 0, "copies": 0, "taken_up": 0, "bought": 3, "beyond": 0, "bad": 0,
        "spent": 0,
        "billed": True,
    }  # fmt: skip
    assert tree(shop) == before


def test_dry_run_refuses_a_device_that_is_not_here_as_the_run_does(shop: Path, said: Said) -> None:
    code, out, err = said("run", "in", "--out", "out", "--dry-run", "--device", "directml")
    assert (code, out) == (2, "")
    assert "--device directml" in err


def test_dry_run_over_an_out_of_earlier_runs_leaves_it_as_it_is(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    said("run", "in", "--out", "out", "--limit", "2", *API)
    before = tree(shop)
    code, out, _ = said("run", "in", "--out", "out", "--dry-run", *API)
    assert code == 0
    assert "        2 are saved and unchanged\n        1 would need a new prediction\n" in out
    assert tree(shop) == before


# Without the [local] extra


@pytest.mark.parametrize("argv", [["run", "in", "--out", "out"], ["serve", "--port", "0"]])
def test_without_the_local_extra_the_line_to_install_it_is_told(
    shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said, argv: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # import fails, as where it is not installed
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(weights, "ensure", lambda name, progress: pytest.fail("weights without an engine"))
    before = tree(shop)
    assert said(*argv) == (
        2,
        "",
        f"error: the local engine is not installed; install it with: {INSTALL.format('local')}\n",
    )
    assert tree(shop) == before


# status


def test_status_reads_the_ledger_alone(shop: Path, provider: ScriptedProvider, said: Said) -> None:
    (shop / "in" / "b.jpg").write_bytes(b"")
    said("run", "in", "--out", "out", *API)
    (shop / "out" / "results.json").unlink()
    (shop / "out" / "a.png").unlink()
    before = tree(shop)
    code, out, err = said("status", "out")
    assert (code, err) == (0, "")
    assert out.splitlines()[:4] == [
        "3 items: 2 saved, 1 failed, 0 pending",
        "predictions in flight: 0",
        "predictions: 2 by scripted (v1)",
        "failed, source: 1",
    ]
    code, out, err = said("status", "out", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "provider": "scripted",
        "version": "v1",
        "engine": None,
        "run": json.loads(out)["run"],
        "counts": {"total": 3, "saved": 2, "failed": 1, "pending": 0},
        "gone": 0,
        "in_flight": 0,
        "predictions": 2,
        "possible_duplicates": 0,
        "failures": [{"kind": "source", "count": 1}],
        "flags": [{"flag": flag, "count": 2} for flag in ("cut-off", "faint", "suspect")],
        "finished": True,
    }
    assert tree(shop) == before


@pytest.mark.parametrize("folder", ["in", "gone"])
def test_status_of_a_folder_without_a_ledger_is_2(shop: Path, said: Said, folder: str) -> None:
    assert said("status", folder) == (2, "", f"error: {folder} holds no ledger.jsonl; give the --out of a run\n")


def test_status_of_a_ledger_that_cannot_be_read_is_4(shop: Path, said: Said) -> None:
    saved = line("saved", item="a")
    (shop / "ledger.jsonl").write_bytes(saved + b"damaged\n" + saved)
    code, out, err = said("status", ".")
    assert (code, out) == (4, "")
    assert "line 2 is damaged" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_result_that_cannot_be_kept_is_4_and_no_bug(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "ledger.jsonl").write_bytes(line("saved", item="a"))
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert main.run_command(["status", "."]) == 4
    assert capsys.readouterr().err == "error: stdout can't be written: No space left on device\n"


# serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server was started with."""
    seen: list[Any] = []

    async def serve(
        settings: object,
        *,
        ready: Callable[[str], None],
        progress: Callable[..., None],
        loaded: Callable[[str], None],
        asked: Callable[[str], None],
    ) -> None:
        seen.append(settings)
        progress(1, 2)
        ready("http://127.0.0.1:5055/v1")
        loaded("a double")
        asked("a request")

    monkeypatch.setattr(listen, "serve", serve)
    return seen


def test_serve_hands_its_flags_on_and_says_where_it_listens(
    served: list[Any], monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    assert said("serve") == (
        0,
        "",
        "listening on http://127.0.0.1:5055/v1; Ctrl-C ends it\nisnet runs on a double\na request\n",
    )
    monkeypatch.setenv("SERVER_KEY", f"{KEY}\n")
    flags = "--host 0.0.0.0 --port 8080 --model u2net --device openvino --precision float32"
    flags += " --token-env SERVER_KEY --max-pixels 1000 --data-dir kept --keep forever"
    assert said("serve", "-q", *flags.split()) == (0, "", "")
    assert [
        (one.host, one.port, one.model.name, one.device, one.precision, one.token, one.limits) for one in served
    ] == [
        ("127.0.0.1", 5055, "isnet", "auto", "auto", None, Limits()),
        ("0.0.0.0", 8080, "u2net", "openvino", "float32", KEY, Limits(max_pixels=1000)),
    ]  # fmt: skip
    assert [(one.data_dir, one.keep) for one in served] == [(None, 3600.0), (Path("kept"), math.inf)]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--token-env", "UNSET"], "--token-env UNSET: that environment variable is not set"),
        (["--max-pixels", "0"], "--max-pixels 0: give 1 or more"),
        (["--host", "0.0.0.0"], "a key is needed"),
        (["--keep", "0"], "--keep 0: give seconds above 0, or forever"),
    ],
)
def test_serve_refuses_what_makes_no_sense(served: list[Any], said: Said, argv: list[str], words: str) -> None:
    code, out, err = said("serve", *argv)
    assert (code, out, served) == (2, "", [])
    assert words in err


# As a process


def test_the_module_is_the_command_and_a_closed_stdout_is_no_trouble(shop: Path) -> None:
    command = [sys.executable, "-m", "batch_removebg"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stdout) == (0, f"batch-removebg {__version__}\n")
    (shop / "ledger.jsonl").write_bytes(line("saved", item="a"))
    reader, writer = os.pipe()
    os.close(reader)
    for argv in (["status", "."], ["run", "--help"]):
        done = subprocess.run([*command, *argv], stdout=writer, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (0, b""), argv
    os.close(writer)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that can close a stream")
@pytest.mark.parametrize(
    ("argv", "closed", "code"),
    [("status .", ">&-", 0), ("status nowhere", "2>&-", 2), ("status .", "<&- >&- 2>&-", 0)],
)
def test_a_stream_that_was_closed_before_the_start_is_no_trouble(shop: Path, argv: str, closed: str, code: int) -> None:
    (shop / "ledger.jsonl").write_bytes(line("saved", item="a"))
    command = f"exec {shlex.quote(sys.executable)} -m batch_removebg {argv} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_numpys_threads_rest_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "unset after the test")
    if given is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    else:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    monkeypatch.setattr(sys, "argv", ["batch-removebg", "--version"])
    with pytest.raises(SystemExit):
        __main__.main()
    assert os.environ["OPENBLAS_NUM_THREADS"] == used
