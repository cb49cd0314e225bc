"""What goes on beside the stages: signals, the end of a run before its manifest's, snapshots."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, Interrupted
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.stop import Gate

from .shape import Shape


class Watchers:
    """Tasks that end with the run; `run` is the scope that ends it at once."""

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        listener: Listener,
        *,
        snapshot: Callable[[], Awaitable[None]],
        abandon: Callable[[], Awaitable[None]],
        signals: bool,
    ) -> None:
        """`snapshot` writes results.json, `abandon` breaks off what the API is being asked.

        `signals`: handle them, which only a process that is nothing but this run may do.
        """
        self.signals = signals
        self._gate = gate
        self._clock = clock
        self._tell = listener
        self._snapshot = snapshot
        self._abandon = abandon

    async def watch_signals(self, run: CancelScope, *, task_status: TaskStatus[None]) -> None:
        """The first signal stops buying, the second ends the run at once."""
        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        with anyio.open_signal_receiver(*numbers) as received:
            task_status.started()
            async for number in received:
                if self._gate.reason is not None:
                    run.cancel()
                    # A create that the server keeps back is shielded: only its connection can be made to give up.
                    with CancelScope(shield=True):
                        await self._abandon()
                    return
                self._gate.close(Interrupted(number))

    async def watch_gate(self, run: CancelScope, shape: Shape, stop_reading: Callable[[], None]) -> None:
        """Once the gate is closed, what is in flight has the grace period."""
        await self._gate.closed.wait()
        self._tell(Event(Kind.STOPPING, text=str(self._gate.reason)))
        stop_reading()
        await self._clock.sleep(shape.grace)
        run.cancel()

    async def write_snapshots(self, shape: Shape) -> None:
        """Write results.json every so often, for a twentieth of the run at most, however large the catalogue is."""
        took = 0.0
        while True:
            await self._clock.sleep(max(shape.snapshot, 20 * took))
            begun = self._clock.monotonic()
            try:
                await self._snapshot()
            except BatchError as error:
                self._gate.close(error)
                return
            took = self._clock.monotonic() - begun
