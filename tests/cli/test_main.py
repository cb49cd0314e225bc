"""The command line from words to exit code, with a scripted provider in the API's place."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.cli import main
from batch_removebg.clock import Clock
from batch_removebg.errors import KeyRejected, LockedError
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.run import batch
from batch_removebg.run.settings import Settings
from batch_removebg.storage.lock import locked
from tests.support.doubles import FakeClock, ScriptedProvider, photo
from tests.support.shop import API, Said, provider, said, shop, tree

__all__ = ["provider", "said", "shop"]


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


def test_a_run_without_time_to_buy_is_5_and_says_how_to_go_on(
    shop: Path, provider: ScriptedProvider, said: Said
) -> None:
    code, out, err = said("run", "in", "--out", "out", "--max-runtime", "9s", *API)
    assert (code, out, provider.bill) == (5, "out/results.json\n", 0)
    why = r"--max-runtime 9s: what begins now would not be done by then \(30 s are set aside\)"
    assert re.match(rf"until \d\d:\d\d, in 9 s\nwarning: stopping: {why}\. Nothing more is created", err)
    assert re.search(rf"\n0 saved, 0 failed, 3 pending in (.*\n)+stopped: {why}\nto go on where this stopped, run", err)
    assert said("run", "in", "--out", "out", "--max-runtime", "9s", "--dry-run", *API)[0] == 0


def test_runs_that_follow_each_other_end_with_a_signal_and_the_code_of_the_last(
    shop: Path, provider: ScriptedProvider, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(request: CreateRequest) -> Prediction:
        os.kill(os.getpid(), signal.SIGTERM)
        return provider.succeed(request)

    monkeypatch.setattr(main, "Clock", lambda: FakeClock().clock)
    provider.script.extend([KeyRejected("no"), interrupted])
    code, out, err = said("run", "in", "--out", "out", "--concurrency", "1", "--every", "1h", *API)
    assert (code, out, provider.bill) == (143, "out/results.json\n" * 2, 1)
    assert re.search(r"stopped: no\n(.*\n)*the next run begins in 1 h 0 min\nwarning: stopping: interrupted by", err)
    assert "1 saved, 0 failed, 2 pending" in err
    code, _, err = said("run", "-", "--out", "out", "--every", "1h", *API)
    assert (code, err.partition(":")[0]) == (2, "error")


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
