"""OpenTelemetry spans of a run, of its items, and of the stages of each.

`OTEL_*` variables say whether there are any, where they go, and which are sampled; the SDK reads most of them. Without
one that names a place, or the SDK, nothing is imported, and provider and listener stay as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from batch_removebg.errors import INSTALL, BatchError
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.model import CreateRequest, Matte, Prediction, Provider, Reference
from batch_removebg.providers.base import Wrapper

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_ENDS = (Kind.SAVED, Kind.FAILED, Kind.PENDING)


@contextmanager
def traced(provider: Provider, listener: Listener, run: str) -> Iterator[tuple[Provider, Listener]]:
    """A provider and a listener in the place of these: what passes them in the block becomes spans."""
    try:
        tracer = _tracer()
    except ModuleNotFoundError as missing:
        tracer, text = None, f"no spans are made: {missing.name} is missing; bring it by: {INSTALL.format('otel')}"
        listener(Event(Kind.NOTE, text=text))
    if tracer is None:
        yield provider, listener
        return
    spans = Traced(provider, tracer, tracer.start_span("run", attributes={"run": run, "provider": provider.name}), run)

    def hear(event: Event) -> None:
        spans.hear(event)
        listener(event)

    try:
        yield spans, hear
    finally:
        spans.whole.end()


@cache
def _tracer() -> Any:
    """What makes spans: as the process that runs us has it, else by the environment; None where nobody wants any."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http").partition("/")[0]
    where = os.environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(os.environ.get, _ENDPOINTS)) else "none")
    if where == "none" and "opentelemetry.sdk.trace" not in sys.modules:
        return None
    trace, sdk = import_module("opentelemetry.trace"), import_module("opentelemetry.sdk.trace")
    if where != "none" and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # nobody has set one
        name = f"otlp_proto_{protocol}" if where == "otlp" else where
        found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
        if not found:
            raise ModuleNotFoundError(name=f"the exporter {name}")
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "batch-removebg"}
        provider = sdk.TracerProvider(resource=import_module("opentelemetry.sdk.resources").Resource.create(named))
        export = import_module("opentelemetry.sdk.trace.export")
        provider.add_span_processor(export.BatchSpanProcessor(found[0].load()()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("batch_removebg", import_module("batch_removebg").__version__)


@dataclass(slots=True)
class _Item:
    """The spans of an item that is under way."""

    whole: Any
    stage: Any = None
    at: str = ""  # the stage's name


@dataclass(eq=False)
class Traced(Wrapper):
    """A provider whose exchanges are stages of items, with what comes between them: the poll, and the finish."""

    tracer: Any
    whole: Any  # the run's span
    run: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._trace = import_module("opentelemetry.trace")
        # Sampled by a ratio, a trace of the run would be kept or left out with all its items: each has one of its own.
        self._alone = "ratio" in os.environ.get("OTEL_TRACES_SAMPLER", "")
        self._items, self._owners = dict[str, _Item](), dict[str, _Item]()

    def __getattr__(self, name: str) -> Any:
        """What only some providers have."""
        return getattr(self.inner, name)

    def hear(self, event: Event) -> None:
        """Begin an item's span, or end it."""
        if event.kind is Kind.STARTED:
            parent = self._trace.INVALID_SPAN if self._alone else self.whole
            told = {"item": event.item, "run": self.run}
            links = [self._trace.Link(self.whole.get_span_context())] if self._alone else []
            self._items[event.item] = _Item(self._span("item", parent, attributes=told, links=links))
        elif event.kind in _ENDS and (item := self._items.pop(event.item, None)) is not None:
            self._go(item, "")
            self._owners = {name: one for name, one in self._owners.items() if one is not item}
            item.whole.set_attributes({"status": event.kind.value, "flags": event.flags})
            self._failed(item.whole, event.error_kind)
            item.whole.end()
        elif event.kind is Kind.STOPPING:
            self._failed(self.whole, event.error_kind)

    async def create(self, request: CreateRequest) -> Prediction:
        """Create, in a span."""
        item = self._items.get(request.item)
        with self._stage(item, "create"):
            made = await self.inner.create(request)
        return self._seen(item, made)

    async def get(self, prediction_id: str) -> Prediction:
        """Ask for it: the span lasts from its create to its end."""
        return self._seen(self._owners.get(prediction_id), await self.inner.get(prediction_id))

    async def fetch(self, url: str) -> bytes | Matte | Reference:
        """Fetch an output, in a span; another lasts from there to the item's end."""
        item = self._owners.get(url)
        with self._stage(item, "download"):
            output = await self.inner.fetch(url)
        self._go(item, "finish")
        return output

    def _seen(self, item: _Item | None, seen: Prediction) -> Prediction:
        if item is not None:
            self._owners.update(dict.fromkeys(filter(None, (seen.id, seen.output, *seen.others)), item))
            if not seen.status.terminal and not item.at:
                self._go(item, "poll")
            elif seen.status.terminal and item.at == "poll":
                self._go(item, "")
        return seen

    @contextmanager
    def _stage(self, item: _Item | None, name: str) -> Iterator[None]:
        self._go(item, name)
        try:
            yield
        except BatchError as error:
            if item is not None:
                self._failed(item.stage, error.kind)
            raise
        finally:
            self._go(item, "")

    def _go(self, item: _Item | None, stage: str) -> None:
        """End the item's stage, and begin another."""
        if item is not None:
            if item.stage is not None:
                item.stage.end()
            item.at, item.stage = stage, self._span(stage, item.whole) if stage else None

    def _span(self, name: str, parent: Any, **more: Any) -> Any:
        return self.tracer.start_span(name, self._trace.set_span_in_context(parent), **more)

    def _failed(self, span: Any, kind: str) -> None:
        if kind:
            span.set_status(self._trace.StatusCode.ERROR, kind)
