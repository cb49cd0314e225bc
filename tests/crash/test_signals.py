"""Signals to a real process: what is paid for comes home or stays on record, and nothing hangs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tests.crash.bench import Crashes
from tests.support.fake_api import FakeApi

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.crash,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs a system with these signals"),
]
ITEMS = 6
AT_ONCE = 15
"""Seconds; half the grace period that a first signal gives."""


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110  # what the server has seen has no event to wait for
        await anyio.sleep(0.005)


async def said(stream: anyio.abc.ByteReceiveStream, words: bytes) -> None:
    """Read until the command has said these words."""
    text = b""
    while words not in text:
        text += await stream.receive()


async def interrupted_twice(bench: Crashes, seen: Callable[[], object]) -> None:
    """A run that gets two interrupts once the server has `seen` enough: it ends at once, with some of it bought."""
    async with bench.begun() as process:
        await until(seen)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        await said(process.stderr, b"stopping")
        with anyio.fail_after(AT_ONCE):
            process.send_signal(signal.SIGINT)
            code, _ = await bench.ended(process)
    assert code == 130
    assert 1 <= len(bench.api.bill) < ITEMS


async def test_a_hangup_brings_home_what_is_paid_for_and_a_resume_does_the_rest(tmp_path: Path) -> None:
    async with FakeApi() as api:
        bench = Crashes(tmp_path, api)
        bench.prepare(ITEMS)
        async with bench.begun() as process:
            await until(lambda: api.bill)
            process.send_signal(signal.SIGHUP)
            code, _ = await bench.ended(process)
        assert code == 128 + signal.SIGHUP
        assert len(api.bill) < ITEMS
        assert len(list(bench.out.glob("*.png"))) == len(api.bill)
        bench.check_ledger()
        await bench.finish(ITEMS)


async def test_two_interrupts_break_off_creates_whose_answers_are_kept_back_and_none_is_bought_twice(
    tmp_path: Path,
) -> None:
    async with FakeApi() as api:
        kept_back = True

        async def created(request: web.Request) -> web.StreamResponse:
            answer = await api.normal(request)
            if kept_back:
                await anyio.sleep_forever()
            return answer

        api.respond("POST", "/predictions", created)
        bench = Crashes(tmp_path, api)
        bench.prepare(ITEMS)
        await interrupted_twice(bench, lambda: api.bill)
        kept_back = False
        await bench.finish(ITEMS)
        assert len(api.bill) == ITEMS


async def test_two_interrupts_end_a_run_at_once_and_what_is_in_flight_is_taken_up_later(tmp_path: Path) -> None:
    async with FakeApi() as api:
        never = True

        async def polled(request: web.Request) -> web.StreamResponse:
            made = api.made(request.path.rpartition("/")[2])
            if never and made is not None:
                made.polls = 2
            return await api.normal(request)

        api.respond("GET", "/predictions/*", polled)
        bench = Crashes(tmp_path, api)
        bench.prepare(ITEMS)
        await interrupted_twice(bench, lambda: len(api.asked("GET", "/predictions/*")) > 1)
        never = False
        await bench.finish(ITEMS)
