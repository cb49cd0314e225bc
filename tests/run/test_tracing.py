"""Spans of a run: whose they are, what they say, and that there are none unless somebody wants them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import PredictionFailed
from batch_removebg.events import Event, Kind
from batch_removebg.model import CreateRequest, Prediction
from batch_removebg.run import tracing
from batch_removebg.run.tracing import traced
from tests.support.bench import Bench, bench, processing
from tests.support.doubles import ScriptedProvider

__all__ = ["bench"]


class Spans:
    """Those that have ended."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def named(self, name: str) -> list[Any]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def below(self, parent: Any) -> list[str]:
        spans = self._exporter.get_finished_spans()
        of = [span for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id]
        return [span.name for span in sorted(of, key=lambda span: span.start_time)]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    monkeypatch.setattr(tracing, "_tracer", lambda: provider.get_tracer("tests"))
    yield Spans(memory)
    provider.shutdown()


@pytest.mark.anyio
async def test_an_item_is_a_span_of_its_run_and_its_stages_are_spans_of_it(
    bench: Bench, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: dict[str, Prediction] = {}

    def slow(request: CreateRequest) -> Prediction:
        done = bench.provider.succeed(request)
        assert done.id is not None
        ended[done.id] = done
        return processing(done.id)

    async def get(prediction_id: str) -> Prediction:
        return ended[prediction_id]

    monkeypatch.setattr(bench.provider, "get", get)
    bench.add("a.jpg", "b.jpg")
    bench.provider.script += [slow, slow]
    summary = await bench.run()
    [run] = spans.named("run")
    assert dict(run.attributes) == {"run": summary.run_id, "provider": "scripted"}
    assert sorted(spans.below(run)) == ["item", "item"]
    items = {span.attributes["item"]: span for span in spans.named("item")}
    for name in ("a.jpg", "b.jpg"):
        assert spans.below(items[name]) == ["create", "poll", "download", "finish"]
        assert items[name].attributes["status"] == "saved"
        assert items[name].attributes["run"] == summary.run_id
        assert items[name].end_time <= run.end_time


@pytest.mark.anyio
async def test_what_failed_says_so_by_its_kind_and_nothing_is_left_open(bench: Bench, spans: Spans) -> None:
    bench.add("a.jpg")
    bench.provider.script.append(PredictionFailed("no product in https://key@host"))
    await bench.run()
    [item], [create] = spans.named("item"), spans.named("create")
    assert [(span.status.status_code.name, span.status.description) for span in (item, create)] == [
        ("ERROR", "prediction")
    ] * 2
    assert create.events == ()
    assert spans.below(item) == ["create"]


@pytest.mark.anyio
async def test_where_a_ratio_is_sampled_each_item_is_a_trace_of_its_own(
    bench: Bench, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    bench.add("a.jpg", "b.jpg")
    await bench.run()
    [run], items = spans.named("run"), spans.named("item")
    assert len({span.context.trace_id for span in (run, *items)}) == 3
    assert {link.context.span_id for span in items for link in span.links} == {run.context.span_id}


@pytest.mark.anyio
async def test_nothing_is_kept_of_items_that_have_ended(bench: Bench, spans: Spans) -> None:
    bench.add("a.jpg", "b.jpg")
    kept: list[Any] = []
    bench.on_event = lambda event: kept.append(bench.pipeline) if bench.pipeline else None
    await bench.run()
    provider = kept[-1].context.provider
    while not isinstance(provider, tracing.Traced):
        provider = provider.inner
    assert (provider._items, provider._owners) == ({}, {})


def test_a_provider_keeps_what_only_it_can(spans: Spans) -> None:
    inner = ScriptedProvider()
    inner.open = "ready"  # type: ignore[attr-defined]
    with traced(inner, lambda event: None, "c0ffee") as (provider, _):
        assert provider.open == "ready"  # type: ignore[attr-defined]
        assert getattr(provider, "close", None) is None


def test_without_a_place_to_send_them_nothing_is_imported_or_wrapped(tmp_path: Path) -> None:
    code = (
        "import sys; from batch_removebg.run.tracing import traced; inner, hear = object(), print\n"
        "with traced(inner, hear, 'x') as found: assert found == (inner, hear)\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    root = str(Path(__file__).parent.parent.parent)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": root})


def test_a_missing_package_is_said_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError(name="opentelemetry")

    heard: list[Event] = []
    inner = ScriptedProvider()
    monkeypatch.setattr(tracing, "_tracer", missing)
    with traced(inner, heard.append, "c0ffee") as (provider, _):
        assert provider is inner
    [event] = heard
    assert event.kind is Kind.NOTE
    assert event.text.startswith("no spans are made: opentelemetry is missing; bring it by: pip install '.[otel]'")


@pytest.mark.parametrize("disabled", ["", "true"])
def test_the_environment_names_the_exporter(disabled: str) -> None:
    pytest.importorskip("opentelemetry.sdk.trace")
    code = (
        "from batch_removebg.run.tracing import traced; from tests.support.doubles import ScriptedProvider\n"
        "with traced(ScriptedProvider(), print, 'c0ffee'): pass"
    )
    root = Path(__file__).parent.parent.parent
    env = {"PYTHONPATH": ":".join(filter(None, sys.path)), "OTEL_TRACES_EXPORTER": "console"}
    env |= {"OTEL_SDK_DISABLED": disabled} if disabled else {}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=env, cwd=root, capture_output=True, text=True)
    assert ('"name": "run"' in done.stdout) is not bool(disabled)
    assert ('"service.name": "batch-removebg"' in done.stdout) is not bool(disabled)
