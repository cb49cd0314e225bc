"""Everything that can go wrong, through the real pipeline and real sockets: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from batch_removebg.cli import report
from batch_removebg.events import Event, Kind
from batch_removebg.pipeline.context import Shape
from batch_removebg.run import batch, settings
from batch_removebg.run.settings import Settings
from batch_removebg.run.summary import Summary
from tests.support import wire
from tests.support.doubles import FakeClock, photo
from tests.support.fake_api import FakeApi
from tests.support.faults import FAULTS, ITEMS, VICTIM, Fault
from tests.support.odd_answers import STOPS

pytestmark = [pytest.mark.anyio, pytest.mark.crash]


@dataclass
class Bench:
    """One catalogue and one server; every run has an OUT in common."""

    folder: Path
    api: FakeApi
    monkeypatch: pytest.MonkeyPatch
    clock: FakeClock
    provider: str = "replicate"
    events: list[Event] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def add(self, number: int = ITEMS) -> None:
        (self.folder / "in").mkdir()
        for nth in range(number):
            (self.folder / "in" / f"{nth}.jpg").write_bytes(photo(VICTIM + nth, 30, (9, 90, 10 * nth)))

    async def run(self, patience: float = 60.0, **given: Any) -> Summary:
        endpoint, fetching = Settings.endpoint, Settings.fetching
        with self.monkeypatch.context() as patch:
            patch.setattr(settings, "Shape", partial(Shape, snapshot=math.inf, steer=math.inf))
            patch.setattr(Settings, "endpoint", lambda self: replace(endpoint(self), seconds=patience))
            patch.setattr(Settings, "fetching", lambda self: replace(fetching(self), seconds=10 * patience))
            given = {"provider": self.provider, "base_url": self.api.base, "grace": math.inf, **given}
            with anyio.fail_after(30):
                return await batch.run(
                    [str(self.folder / "in")],
                    Settings(out=self.out, **given),
                    listener=self.events.append,
                    clock=self.clock.clock,
                )

    def results(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out / "results.json").read_text())
        return loaded

    def check(self, summary: Summary, *, billed: int, duplicates: int = 0) -> None:
        """What holds after every run: one truth in summary, results, OUT and bill, and no temporary file."""
        predictions = len(self.api.bill)
        assert predictions == billed
        results = self.results()
        counts = {"total": summary.total, "saved": summary.saved, "failed": summary.failed, "pending": summary.pending}
        assert results["counts"] == counts
        assert results["possible_duplicates"] == duplicates
        saved = [item["output"] for item in results["items"] if item["status"] == "saved"]
        assert len(saved) == summary.saved
        assert sorted(path.name for path in self.out.glob("*.png")) == sorted(saved)
        assert [path for path in self.out.rglob("*") if path.name.endswith(".tmp")] == []
        assert self.api.foreign == [] or all(seen.key is None for seen in self.api.foreign)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    clock = FakeClock(idle=0.01)
    async with FakeApi(now=lambda: clock.now) as api:
        yield Bench(tmp_path, api, monkeypatch, clock)


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    clock = FakeClock(idle=0.01)
    async with FakeApi(now=lambda: clock.now, gateway=True) as api:
        yield Bench(tmp_path, api, monkeypatch, clock, provider="gateway")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_costs_what_it_must_and_nothing_is_lost(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(idle=0.01)
    async with FakeApi(gateway=fault.provider == "gateway", page=fault.page, now=lambda: clock.now) as api:
        bench = Bench(tmp_path, api, monkeypatch, clock, provider=fault.provider)
        bench.add()
        fault.strike(api)
        summary = await bench.run(fault.patience, **fault.settings)
        bench.check(summary, billed=ITEMS + fault.extra, duplicates=fault.duplicates)
        kinds = [group.kind for group in summary.failures]
        assert kinds == ([fault.failed] if fault.failed else [])
        assert (summary.stopped.kind if summary.stopped else "") == fault.stopped
        struck = 0 if not (fault.failed or fault.stopped) else ITEMS if fault.extra == -ITEMS else 1
        assert summary.saved == ITEMS - struck
        assert summary.exit_code == (4 if fault.stopped else 3 if fault.failed else 0)
        if fault.waits is not None:
            assert fault.waits[0] <= max(wait for wait in clock.slept if wait < math.inf) <= fault.waits[1]
        if struck:
            api.recover()
            resumed = await bench.run(retry_failed=True)
            assert (resumed.saved, resumed.exit_code) == (ITEMS, 0)
            bench.check(resumed, billed=ITEMS + fault.extra + fault.again, duplicates=fault.duplicates)


# Where no server answers


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_connection_refused_stops_the_run_and_the_next_one_saves_everything(bench: Bench) -> None:
    bench.add()
    summary = await bench.run(base_url=f"http://127.0.0.1:{closed_port()}/v1")
    assert (summary.pending, summary.exit_code, len(bench.api.bill)) == (ITEMS, 4, 0)
    assert "run the same command again when it is back" in str(summary.stopped)
    bench.check(await bench.run(), billed=ITEMS)


async def test_connection_refused_for_a_while_is_waited_for(bench: Bench) -> None:
    bench.add()
    await bench.api.stop()

    async def come_back() -> None:
        await bench.clock.sleep(300)
        await bench.api.start()

    async with anyio.create_task_group() as group:
        group.start_soon(come_back)
        summary = await bench.run()
    assert (summary.saved, summary.exit_code) == (ITEMS, 0)
    bench.check(summary, billed=ITEMS)


async def test_a_dns_failure_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.add()
    left, real = itertools.count(1), socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "api.internal":
            return real(host, *rest, **more)
        if next(left) <= 10:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    summary = await bench.run(base_url=bench.api.base.replace("127.0.0.1", "api.internal"))
    assert (summary.saved, summary.exit_code) == (ITEMS, 0)
    bench.check(summary, billed=ITEMS)
    assert any("Name or service not known" in event.text for event in bench.events)


async def test_a_tls_failure_stops_the_run_with_the_reason(bench: Bench) -> None:
    bench.add()
    summary = await bench.run(base_url=bench.api.base.replace("http:", "https:"))
    assert (summary.pending, summary.exit_code, len(bench.api.bill)) == (ITEMS, 4, 0)
    assert any("SSL" in event.text for event in bench.events)
    bench.check(await bench.run(), billed=ITEMS)


async def test_a_server_that_is_down_for_40_calls_costs_no_item_its_life(bench: Bench) -> None:
    bench.add(36)
    calls, all_in = itertools.count(1), anyio.Event()

    async def down(request: web.Request) -> web.StreamResponse:
        if next(calls) == 36:
            all_in.set()
        await all_in.wait()  # the outage strikes every item at once
        return await wire.page(503)(request)

    bench.api.respond("*", "*", down, times=40)
    summary = await bench.run(concurrency=36)
    assert (summary.saved, summary.exit_code) == (36, 0)
    bench.check(summary, billed=36)


# Money


@pytest.mark.parametrize("name", ["401", "402", "403", "403-quota", "422-version"])
async def test_after_a_refusal_nothing_more_is_created(bench: Bench, name: str) -> None:
    bench.add(6)
    handler, kind = STOPS[name]
    asked = itertools.count(1)

    async def third_is_refused(request: web.Request) -> web.StreamResponse:
        return await (bench.api.normal if next(asked) <= 2 else handler)(request)

    bench.api.respond("POST", "/predictions", third_is_refused)
    summary = await bench.run(concurrency=1)
    assert (summary.saved, summary.failed, summary.pending, summary.exit_code) == (2, 0, 4, 4)
    assert (summary.stopped and summary.stopped.kind, len(bench.api.asked("POST", "/predictions"))) == (kind, 3)
    bench.check(summary, billed=2)


@pytest.mark.parametrize(
    "limit", [{"max_predictions": 2}, {"max_cost": 0.001, "price": 0.00044}], ids=["max-predictions", "max-cost"]
)
async def test_a_limit_of_money_stops_before_it_is_passed(bench: Bench, limit: dict[str, Any]) -> None:
    bench.add(5)
    summary = await bench.run(**limit)
    assert (summary.saved, summary.pending, summary.exit_code) == (2, 3, 4)
    bench.check(summary, billed=2)
    bench.check(await bench.run(), billed=5)


async def test_a_limit_of_money_holds_for_second_tries_too(bench: Bench) -> None:
    bench.add(1)
    FAULTS["aborted-always"].strike(bench.api)
    summary = await bench.run(max_predictions=2)
    assert (summary.saved, summary.exit_code) == (0, 4)
    bench.check(summary, billed=2)


async def test_the_hosted_api_is_told_to_cancel_what_nobody_waits_for(bench: Bench) -> None:
    bench.add()
    await bench.run(deadline=90.0)
    sent = [seen.headers.get("Cancel-After") for seen in bench.api.asked("POST", "/predictions")]
    assert sent == ["90s"] * ITEMS


async def test_a_gateway_gets_no_header_that_it_does_not_document(gateway: Bench) -> None:
    gateway.add()
    await gateway.run()
    assert {seen.headers.get("Cancel-After") for seen in gateway.api.asked("POST", "/predictions")} == {None}


async def test_a_stuck_prediction_is_cancelled_at_the_server(bench: Bench) -> None:
    bench.add(1)
    FAULTS["stuck-processing"].strike(bench.api)
    bench.check(await bench.run(deadline=10.0), billed=2)
    assert [made.canceled for made in bench.api.bill] == [True, False]


async def test_that_an_output_was_gone_and_is_bought_again_is_said(bench: Bench) -> None:
    bench.add(1)
    FAULTS["404-at-output-for-good"].strike(bench.api)
    bench.check(await bench.run(), billed=2)
    said = [event.text for event in bench.events if event.kind is Kind.WARNING]
    assert len(said) == 1
    assert said[0].endswith("is not there (404); another prediction is bought")


# A crash between `submitting` and `submitted`


async def crash_before_the_answers(bench: Bench) -> None:
    """Leave OUT as a crash does that came after the creates were sent, before an answer was on record."""
    bench.add()
    await bench.run()
    ledger = bench.out / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["event"] in ("run_started", "submitting")]
    assert len(kept) == 1 + ITEMS
    shutil.rmtree(bench.out)
    bench.out.mkdir()
    ledger.write_bytes(b"".join(kept))


async def test_creates_of_a_crashed_run_are_found_on_the_list(bench: Bench) -> None:
    await crash_before_the_answers(bench)
    summary = await bench.run()
    assert (summary.saved, summary.exit_code) == (ITEMS, 0)
    bench.check(summary, billed=ITEMS)
    assert len(bench.api.asked("POST", "/predictions")) == ITEMS


async def test_creates_of_a_crashed_run_that_never_arrived_are_sent_once_more(bench: Bench) -> None:
    await crash_before_the_answers(bench)
    bench.api.bill.clear()
    summary = await bench.run()
    assert (summary.saved, summary.exit_code) == (ITEMS, 0)
    bench.check(summary, billed=ITEMS)


async def test_creates_of_a_crashed_run_at_a_gateway_are_sent_once_more_and_counted(gateway: Bench) -> None:
    await crash_before_the_answers(gateway)
    summary = await gateway.run()
    assert (summary.saved, summary.possible_duplicates) == (ITEMS, ITEMS)
    gateway.check(summary, billed=2 * ITEMS, duplicates=ITEMS)
    assert f"{ITEMS} sent again after an answer was lost" in report.closing(
        summary, Settings(out=gateway.out, provider="gateway", base_url=gateway.api.base)
    )
