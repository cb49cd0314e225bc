"""Tasks beside the stages, which end with the run: signals, the grace period, snapshots."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus

from batch_removebg.errors import BatchError, Interrupted
from batch_removebg.events import Event, Kind

from .context import Context


async def watch_signals(context: Context, run: CancelScope, *, task_status: TaskStatus[None]) -> None:
    """Stop buying at the first signal, end the run at the second."""
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    with anyio.open_signal_receiver(*numbers) as received:
        task_status.started()
        async for number in received:
            if context.gate.reason is not None:
                run.cancel()
                # A create that waits for its answer is shielded: only its connection can be made to give up.
                with CancelScope(shield=True):
                    await context.provider.abandon()
                return
            context.gate.close(Interrupted(number))
            context.cpu.hurry()


async def watch_gate(context: Context, run: CancelScope) -> None:
    """End the run a grace period after the gate has closed."""
    await context.gate.closed.wait()
    reason = context.gate.reason
    context.notify(Event(Kind.STOPPING, text=str(reason), error_kind=reason.kind if reason else ""))
    await context.clock.sleep(context.shape.grace)
    run.cancel()


async def write_snapshots(context: Context, write: Callable[[], Awaitable[None]]) -> None:
    """Write results.json now and every so often; a large one more rarely, so that it takes 1/20 of the run at most."""
    while True:
        begun = context.clock.monotonic()
        try:
            await write()
        except BatchError as error:
            context.gate.close(error)
            return
        await context.clock.sleep(max(context.shape.snapshot, 20 * (context.clock.monotonic() - begun)))
