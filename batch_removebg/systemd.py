"""What a service tells systemd that started it, by the protocol of sd_notify(3); elsewhere nobody is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

_PATIENCE = 1.0  # seconds for which a full queue is waited for
_MARGIN = 15.0  # seconds beyond what a service says that it needs


def tell(**states: object) -> None:
    """Send states, such as `READY=1`, in one datagram; where it can't be sent, all goes on as without."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):  # unset, or a kind that Python's sockets on Unix don't reach
        return
    lines = (f"{name}={' '.join(str(value).split())}" for name, value in states.items())  # a line is one state
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(_PATIENCE)
        out.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def stopping(seconds: float) -> None:
    """Say that the service ends, and takes up to so many seconds to finish: it isn't killed before, whatever is set."""
    tell(STOPPING=1, STATUS="finishing", EXTEND_TIMEOUT_USEC=round((seconds + _MARGIN) * 1e6))


async def alive(sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
    """Until cancelled, say that the event loop turns, twice in the time after which systemd takes it for hung."""
    wait, asked = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wait.isdecimal() or asked not in ("", str(os.getpid())):
        await anyio.sleep_forever()
    while True:
        tell(WATCHDOG=1)
        await sleep(int(wait) / 2e6)
