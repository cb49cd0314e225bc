"""Listeners that show how a run goes: a bar for people, JSON lines for machines, nothing where nobody looks."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from batch_removebg.clock import Clock
from batch_removebg.errors import DiskError
from batch_removebg.events import Event, Kind

from .console import Console, printable, result, unheard, write_line

if TYPE_CHECKING:
    from tqdm import tqdm

_NAME_WIDTH = 28
_SAID = frozenset({Kind.WARNING, Kind.STOPPING, Kind.FAILED, Kind.SAVED, Kind.WAITING})


@dataclass(slots=True)
class Tally:
    """How far a run is, counted from its events; for show, the ledger's fold is what counts."""

    total: int | None = None
    found: int = 0
    done: int = 0
    """Ended: saved, skipped or failed."""
    failed: int = 0
    in_flight: int = 0

    def take(self, event: Event) -> None:
        """Count one event."""
        if event.kind is Kind.TOTAL:
            self.total = event.count
        elif event.kind is Kind.FOUND:
            self.found += event.count
        elif event.kind is Kind.STARTED:
            self.in_flight += 1
        elif event.kind in (Kind.SAVED, Kind.FAILED, Kind.SKIPPED, Kind.PENDING):
            self.done += 0 if event.kind is Kind.PENDING else event.count
            self.failed += event.kind is Kind.FAILED
            self.in_flight = max(0, self.in_flight - event.started)


class Silent:
    """Shows no progress, but says what a user must know."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.tally = Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        self.tally.take(event)
        if event.kind in _SAID:
            self._say(event.kind, printable(event.item), printable(event.text))

    def _say(self, kind: Kind, name: str, text: str) -> None:
        if kind is Kind.WARNING:
            self._console.warning(f"{name}: {text}" if name else text)
        elif kind is Kind.STOPPING:
            self._console.warning(
                f"stopping: {text.rstrip('.')}. Nothing more is created; what is in flight is brought home"
            )
        elif kind is Kind.FAILED:
            self._console.detail(f"failed {name}: {text}")
        elif kind is Kind.SAVED:
            self._console.detail(f"saved {name} → {text}")
        elif kind is Kind.WAITING:
            self._console.detail(text)

    def weights(self, done: int, total: int | None) -> None:
        """Take in how much of the weights has come."""


class Bar(Silent):
    """A tqdm bar on stderr: done, failed, in flight, images a second, time left, the current name."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar: tqdm[Any] | None = None
        self._plain = console.write
        self._weights: tqdm[Any] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event in, and show it."""
        super().__call__(event)
        if event.kind in (Kind.WARNING, Kind.STOPPING, Kind.WAITING):
            return
        with unheard(sys.stderr):
            self._draw(event)

    def _draw(self, event: Event) -> None:
        bar, tally = self._shown(), self.tally
        bar.total = tally.total if tally.total is not None else tally.found
        bar.n = tally.done
        shown = printable(event.item)
        name = shown if len(shown) <= _NAME_WIDTH else f"…{shown[1 - _NAME_WIDTH :]}"
        bar.set_postfix_str(f"{tally.failed} failed, {tally.in_flight} in flight, {name}", refresh=False)
        bar.update(0)

    def weights(self, done: int, total: int | None) -> None:
        """Show a bar of its own for the download."""
        from tqdm import tqdm

        if self._weights is None:
            self._weights = tqdm(desc="weights", unit="B", unit_scale=True, file=sys.stderr, leave=True)
        self._weights.total = total
        self._weights.n = done
        self._weights.refresh()
        if total is not None and done >= total:
            self._weights.close()
            self._weights = None

    def close(self) -> None:
        """Take the bars away from the console's lines; the last state stays to be read."""
        self._console.write = self._plain
        for bar in (self._weights, self._bar):
            if bar is not None:
                with unheard(sys.stderr):
                    bar.refresh()
                    bar.close()
        self._bar = self._weights = None

    def _shown(self) -> tqdm[Any]:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=0, unit="img", file=sys.stderr, dynamic_ncols=True, smoothing=0.1)
            self._console.write = self._above
        return self._bar

    def _above(self, text: str) -> None:
        with self._shown().external_write_mode(file=sys.stderr):
            write_line(text, sys.stderr)


class JsonLines(Silent):
    """Every event as one JSON object a line on stdout."""

    def __init__(self, console: Console, stream: TextIO | None = None) -> None:
        super().__init__(console)
        self._stream = stream or sys.stdout
        self._clock = Clock()
        self._unwritten: DiskError | None = None

    def __call__(self, event: Event) -> None:
        """Take one event in, and write it."""
        super().__call__(event)
        with suppress(DiskError):  # the run goes on; `put` says so at its end
            self.put({"t": self._clock.stamp(), **self._described(event)})

    def put(self, record: dict[str, Any]) -> None:
        """Write one object; raises DiskError where stdout has not taken all of them so far."""
        if self._unwritten is None:
            try:
                result(json.dumps(record), self._stream)
            except DiskError as error:
                self._unwritten = error
        if self._unwritten is not None:
            raise self._unwritten

    def _described(self, event: Event) -> dict[str, Any]:
        words: dict[str, Any] = {"item": event.item, "text": event.text, "error_kind": event.error_kind}
        if not event.item and event.kind in (Kind.FOUND, Kind.SKIPPED):
            words["count"] = event.count
        tally = self.tally
        return {
            "event": event.kind.value,
            **{name: value for name, value in words.items() if value},
            "total": tally.total,
            "done": tally.done,
            "failed": tally.failed,
            "in_flight": tally.in_flight,
        }


def listener(choice: str, console: Console) -> Silent:
    """The listener for `--progress` auto, bar, json or none; auto is a bar where stderr is a terminal."""
    if choice == "json":
        return JsonLines(console)
    if choice == "bar" or (choice == "auto" and sys.stderr.isatty()):
        return Bar(console)
    return Silent(console)
