"""Listeners that show a run's progress: a bar for people, JSON lines for machines, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from batch_removebg.clock import Clock
from batch_removebg.errors import DiskError
from batch_removebg.events import Event, Kind

from .console import Console, Repeats, printable, result, unheard, write_line

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

_BEAT = 60.0  # seconds between two lines where there is no bar
_NAME_WIDTH = 28
_DETAILS = {Kind.FAILED: "failed {name}: {text}", Kind.SAVED: "saved {name} → {text}", Kind.WAITING: "{text}"}


@dataclass(slots=True)
class Tally:
    """How far a run is, counted from its events; for display only, the ledger's state is authoritative."""

    total: int | None = None
    found: int = 0
    done: int = 0  # saved, skipped or failed
    skipped: int = 0
    failed: int = 0
    in_flight: int = 0
    waiting: str = ""  # what for, until an item is done

    def take(self, event: Event) -> None:
        """Count one event."""
        if event.kind is Kind.TOTAL:
            self.total = event.count
        elif event.kind is Kind.FOUND:
            self.found += event.count
        elif event.kind is Kind.STARTED:
            self.in_flight += 1
        elif event.kind is Kind.WAITING:
            self.waiting = printable(event.text)
        elif event.kind in (Kind.SAVED, Kind.FAILED, Kind.SKIPPED, Kind.PENDING):
            self.done += 0 if event.kind is Kind.PENDING else event.count
            self.skipped += event.count if event.kind is Kind.SKIPPED else 0
            self.failed += event.kind is Kind.FAILED
            self.waiting = ""
            self.in_flight = max(0, self.in_flight - event.started)


class Silent:
    """Shows no progress, or a line a minute, and reports what a user must know."""

    def __init__(self, console: Console, *, beats: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._warnings = Repeats(console.warning, Clock().monotonic)
        self.tally = Tally()
        self._beats, self._now, self._begun, self._beat = beats, now, now(), _BEAT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the terminal as it was."""
        self._warnings.settle(ended=True)

    def __call__(self, event: Event) -> None:
        """Count one event, and report it if a user must know."""
        self.tally.take(event)
        self._warnings.settle()
        name, text = printable(event.item), printable(event.text)
        about = {"event": event.kind.value, "item": name}
        if event.kind is Kind.BEGUN:
            self._console.run = text
        elif event.kind is Kind.WARNING:
            self._warnings.warn(text, name)
        elif event.kind is Kind.NOTE:
            self._console.info(text, **about)
        elif event.kind is Kind.STOPPING:
            ending = "Nothing more is created; predictions in flight are still collected"
            self._console.warning(f"stopping: {text.rstrip('.')}. {ending}", **about)
        elif event.kind in _DETAILS:
            self._console.detail(_DETAILS[event.kind].format(name=name, text=text), **about)

    def tick(self) -> None:
        """Show that time passes; called each second."""
        seconds, tally = self._now() - self._begun, self.tally
        if not self._beats or seconds < self._beat:
            return
        self._beat = seconds + _BEAT
        speed = (tally.done - tally.skipped) / seconds
        total = "" if tally.total is None else f" of {tally.total:,}"
        parts = [f"{tally.done - tally.failed:,}{total} saved, {tally.failed:,} failed, {speed:.1f}/s"]
        if speed and tally.total is not None:
            parts.append(f"about {max(1.0, (tally.total - tally.done) / speed / 60):,.0f} min left")
        parts += [tally.waiting] if tally.waiting else []
        self._console.info(f"{int(seconds) // 60:02}:{int(seconds) % 60:02} {', '.join(parts)}")

    def weights(self, done: int, total: int | None) -> None:
        """Show how many bytes of the weights are downloaded; `total` is None where the server doesn't say."""


class Bar(Silent):
    """A tqdm bar on stderr: done, failed, in flight, images a second, time left, the current name."""

    def __init__(self, console: Console) -> None:
        from tqdm import tqdm

        super().__init__(console)
        self._tqdm = tqdm
        self._bar: tqdm[Any] | None = None
        self._name = ""
        self._plain = console.write
        self._weights: tqdm[Any] | None = None

    def __call__(self, event: Event) -> None:
        """Count one event, and show the new state."""
        super().__call__(event)
        if event.kind in (Kind.BEGUN, Kind.WARNING, Kind.NOTE, Kind.STOPPING, Kind.WAITING):
            return
        name = printable(event.item)
        self._name = f"…{name[1 - _NAME_WIDTH :]}" if len(name) > _NAME_WIDTH else name
        self._show()

    def tick(self) -> None:
        """Draw the bar again, with the time that has passed."""
        if self._weights is None:
            self._show(refresh=True)

    def _show(self, *, refresh: bool = False) -> None:
        tally, last = self.tally, self.tally.waiting or self._name
        with unheard(sys.stderr):
            bar = self._drawn()
            bar.total = tally.total if tally.total is not None else tally.found
            bar.n = tally.done
            bar.set_postfix_str(f"{tally.failed} failed, {tally.in_flight} in flight, {last}", refresh=refresh)
            bar.update(0)

    def weights(self, done: int, total: int | None) -> None:
        """Show the download in a bar of its own."""
        if self._weights is None:
            self._weights = self._tqdm(desc="weights", unit="B", unit_scale=True, file=sys.stderr, leave=True)
        self._weights.total = total
        self._weights.n = done
        self._weights.refresh()
        if total is not None and done >= total:
            self._weights.close()
            self._weights = None

    def __exit__(self, *raised: object) -> None:
        """Give the terminal back to the console's lines; the bars' last state stays on the screen."""
        super().__exit__(*raised)
        self._console.write = self._plain
        for bar in (self._weights, self._bar):
            if bar is not None:
                with unheard(sys.stderr):
                    bar.refresh()
                    bar.close()
        self._bar = self._weights = None

    def _drawn(self) -> tqdm[Any]:
        if self._bar is None:
            self._bar = self._tqdm(total=0, unit="img", file=sys.stderr, dynamic_ncols=True, smoothing=0.1)
            self._console.write = self._above
        return self._bar

    def _above(self, text: str) -> None:
        with self._drawn().external_write_mode(file=sys.stderr):
            write_line(text, sys.stderr)


class JsonLines(Silent):
    """Writes every event to stdout, as one JSON object a line."""

    def __init__(self, console: Console, stream: TextIO | None = None) -> None:
        super().__init__(console)
        self._stream = stream or sys.stdout
        self._unwritten: DiskError | None = None

    def __call__(self, event: Event) -> None:
        """Count one event, and write it."""
        super().__call__(event)
        fields: dict[str, Any] = {"item": event.item, "text": event.text, "error_kind": event.error_kind}
        if not event.item and event.kind in (Kind.FOUND, Kind.SKIPPED):
            fields["count"] = event.count
        said = {name: value for name, value in fields.items() if value}
        reached = {name: getattr(self.tally, name) for name in ("total", "done", "failed", "in_flight")}
        with suppress(DiskError):  # the run continues; the last `put` raises it again
            self.put({"t": Clock().stamp(), "event": event.kind.value, **said, **reached})

    def put(self, record: dict[str, Any]) -> None:
        """Write one object; raises DiskError if this one or one before it couldn't be written."""
        if self._unwritten is None:
            try:
                result(json.dumps(record), self._stream)
            except DiskError as error:
                self._unwritten = error
        if self._unwritten is not None:
            raise self._unwritten


def listener(choice: str, console: Console) -> Silent:
    """The listener for `--progress` auto, bar, json or none; auto: a bar in a terminal, else a line a minute."""
    if choice == "json":
        return JsonLines(console)
    if choice == "bar" or (choice == "auto" and sys.stderr.isatty()):
        return Bar(console)
    return Silent(console, beats=choice == "auto")


async def ticking(shown: Silent, work: Callable[[], Awaitable[T]]) -> T:
    """The result of some work, during which the listener hears of every second."""
    import asyncio  # `--help` has no use for it

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            shown.tick()

    ticker = asyncio.create_task(tick())
    try:
        return await work()
    finally:
        ticker.cancel()
