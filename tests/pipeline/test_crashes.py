"""A picture that crashes its decoder or encoder costs itself alone, and isn't met again."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from batch_removebg.clock import Clock
from batch_removebg.finish import finish as finishing
from batch_removebg.imaging import decode as proxies
from batch_removebg.imaging import probe
from batch_removebg.imaging.format import Limits
from batch_removebg.matting import matte as mattes
from batch_removebg.pipeline.watchers import watch_signals
from batch_removebg.stop import Gate
from tests.support.bench import Bench, bench

__all__ = ["bench"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix"),
]


def crash_at(data: bytes) -> None:
    """Crash this process over the picture of 41 pixels across."""
    if probe.measure(data, Limits()).width == 41:
        os.kill(os.getpid(), signal.SIGSEGV)


def measure(data: bytes, *given: Any) -> Any:
    crash_at(data)
    return probe.measure(data, *given)


def proxy(data: bytes, *given: Any) -> Any:
    crash_at(data)
    return proxies.proxy(data, *given)


def finish(data: bytes, *given: Any) -> Any:
    crash_at(data)
    return finishing.finish(data, *given)


STAGES = {"probing": (probe, measure, 2), "making small": (proxies, proxy, 2), "finishing": (finishing, finish, 3)}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_crash_fails_one_item_in_the_ledger_and_a_resume_leaves_it_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    module, crashing, bill = STAGES[stage]
    bench.add("a.jpg", "b.jpg", "c.jpg")
    with monkeypatch.context() as patched:
        patched.setattr(module, crashing.__name__, crashing)
        summary = await bench.run()
        assert (summary.saved, summary.failed, summary.exit_code, bench.provider.bill) == (2, 1, 3, bill)
        assert bench.saved() == ["a.png", "c.png"]
        (failed,) = [line for line in bench.ledger() if line["event"] == "failed"]
        assert (failed["item"], failed["kind"], failed["retryable"]) == ("b.jpg", "crash", False)
        assert "SIGSEGV" in failed["message"]
    again = await bench.run()  # nothing would crash any more: it is left alone all the same
    assert (again.saved, again.failed, bench.provider.bill) == (2, 1, bill)
    mended = await bench.run(retry_failed=True)
    assert (mended.saved, mended.failed, bench.provider.bill) == (3, 0, 3)


def matte_of(data: bytes, **given: Any) -> Any:
    if (given["width"], probe.measure(data, Limits()).width) == (41, 41):
        os.kill(os.getpid(), signal.SIGSEGV)
    return mattes.matte_of(data, **given)


async def test_an_output_that_crashes_its_decoder_costs_its_item_one_prediction(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg", "b.jpg", "c.jpg")
    monkeypatch.setattr(mattes, "matte_of", matte_of)
    summary = await bench.run()
    assert (summary.saved, summary.failed, summary.exit_code, bench.provider.bill) == (2, 1, 3, 3)
    (failed,) = [line for line in bench.ledger() if line["event"] == "failed"]
    assert (failed["item"], failed["kind"]) == ("b.jpg", "crash")
    assert failed["message"].startswith("the output made the process that worked on it end (SIGSEGV); ")


async def test_a_content_that_crashes_is_not_met_again_by_its_copies(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add("a.jpg", "b.jpg")
    for number in range(5):
        (bench.photos / f"copy-{number}.jpg").write_bytes((bench.photos / "b.jpg").read_bytes())
    monkeypatch.setattr(proxies, "proxy", proxy)
    summary = await bench.run()
    assert (summary.saved, summary.failed, bench.provider.bill) == (1, 6, 1)
    assert [line["event"] for line in bench.ledger()].count("submitting") == 1


async def test_the_first_signal_hurries_what_is_worked_on_and_closes_the_gate() -> None:
    hurried: list[str] = []
    gate = Gate(Clock())
    context = SimpleNamespace(gate=gate, workers=SimpleNamespace(hurry=lambda: hurried.append("yes")))
    async with anyio.create_task_group() as tasks:
        await tasks.start(watch_signals, context, tasks.cancel_scope)
        os.kill(os.getpid(), signal.SIGTERM)
        with anyio.fail_after(20):
            await gate.closed.wait()
        tasks.cancel_scope.cancel()
    assert hurried == ["yes"]
