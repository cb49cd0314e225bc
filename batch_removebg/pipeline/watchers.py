"""Tasks beside the stages, which end with the run: signals, the grace period, snapshots."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus

from batch_removebg.errors import BatchError, Interrupted, WindowClosed
from batch_removebg.events import Event, Kind
from batch_removebg.providers.polling import RunTimes

from .context import Context

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
Handled = bool | Callable[[], AbstractContextManager[AsyncIterator[int]]]
"""Whether a run handles the signals of its process; or what gives those that somebody else receives."""
Closing = Callable[[Context, CancelScope, RunTimes], Coroutine[Any, Any, None]]
"""Ends a run in time; it is given the times from creates to pictures."""


async def watch_signals(
    context: Context, run: CancelScope, handled: Handled = True, *, task_status: TaskStatus[None]
) -> None:
    """Stop buying at the first signal, end the run at the second."""
    own = handled if callable(handled) else partial(anyio.open_signal_receiver, *SIGNALS)
    with own() as received:
        task_status.started()
        async for number in received:
            if context.gate.reason is not None:
                run.cancel()
                # A create that waits for its answer is shielded: only its connection can be made to give up.
                with CancelScope(shield=True):
                    await context.provider.abandon()
                return
            context.gate.close(Interrupted(number))
            context.workers.hurry()


async def watch_gate(context: Context, run: CancelScope) -> None:
    """End the run a grace period after the gate has closed, unless its window says when that is."""
    await context.gate.closed.wait()
    reason = context.gate.reason
    context.notify(Event(Kind.STOPPING, text=str(reason), error_kind=reason.kind if reason else ""))
    if not isinstance(reason, WindowClosed):
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
