"""The commands beside a run: --dry-run, status, serve, models; and the command as a process."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_removebg import __main__, __version__
from batch_removebg.cli import main
from batch_removebg.engine import network, weights
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import INSTALL
from batch_removebg.imaging.format import Limits
from batch_removebg.run import assemble
from batch_removebg.server import listen
from tests.support.doubles import ScriptedProvider
from tests.support.oracle import line
from tests.support.shop import API, KEY, Said, provider, said, shop, tree

__all__ = ["provider", "said", "shop"]


# run --dry-run


def test_dry_run_writes_nothing_buys_nothing_and_asks_nobody(
    shop: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        pytest.fail("a dry run only looks")

    monkeypatch.setattr(assemble, "provider", never)
    monkeypatch.setattr(opening, "ensure_weights", never)
    monkeypatch.setattr(network, "load", never)
    monkeypatch.setattr(anyio, "run", never)
    monkeypatch.setattr(os, "mkdir", never)
    before = tree(shop)
    code, out, err = said("run", "in", "--out", "out", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "3 items, and nothing is done about them (--dry-run)",
        "        3 would need a new prediction",
        "predictions: 3 would be made by the local engine, nothing billed",
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


@pytest.mark.parametrize("asked", [("--dry-run",), ()])
def test_dry_run_refuses_a_cluster_that_does_not_answer_as_the_run_does(
    shop: Path, said: Said, asked: tuple[str, ...]
) -> None:
    code, out, err = said("run", "in", "--out", "out", "--workers", "127.0.0.1:1", "--device", "cuda", *asked)
    assert (code, out) == (2, "")
    assert "error: --workers 127.0.0.1:1: nothing answers there (" in err


def test_dry_run_without_ray_tells_how_to_install_it(shop: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = said("run", "in", "--out", "out", "--workers", "ray", "--dry-run")
    assert (code, out, err) == (2, "", f"error: --workers ray needs Ray: {INSTALL.format('ray')}\n")


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
        "held": 0,
        "finished": True,
    }
    assert tree(shop) == before


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        *((each, "takes the --state of a run, a folder of this machine") for each in ("status", "diff", "merge")),
        *((each, "works on folders only") for each in ("review", "report", "repair", "export")),
    ],
)
def test_a_command_that_is_given_a_bucket_says_what_it_takes(said: Said, command: str, needed: str) -> None:
    more = ("--to", "x", "--decision", "accepted") if command == "export" else ()
    why = f"error: {command} {needed}, and s3://shop/cutouts is in a bucket\n"
    assert said(command, "s3://me:pass@shop/cutouts", *more) == (2, "", why)


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
