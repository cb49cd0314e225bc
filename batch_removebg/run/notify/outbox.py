"""A signed webhook, by Standard Webhooks 1.0.0, and the events that it hasn't taken yet."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError
from batch_removebg.net.post import Answer
from batch_removebg.storage.atomic import make_folder, write_atomic

_MOST = 100  # events that wait
_OLDEST = 5 * 86400.0  # seconds that they wait
Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[Answer]]
Event = tuple[str, bytes]
"""Its id, which begins with its time, and its body."""


def signed(key: bytes, ident: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of an attempt to deliver an event."""
    digest = hmac.digest(key, f"{ident}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "webhook-id": ident,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


@dataclass(frozen=True, slots=True)
class Outbox:
    """Events for one webhook, each a file: the webhook's name in the first line, and the body."""

    folder: Path
    webhook: str  # `env:NAME` or `file:PATH`, never the URL

    def put(self, body: bytes, now: float) -> Event:
        """The new event, which waits from now on if OUT is there and can be written. Blocks."""
        ident = f"msg_{int(now * 1000):013}_{uuid4().hex}"
        with suppress(BatchError):
            if self.folder.parent.is_dir():
                make_folder(self.folder)
                write_atomic(self.folder / ident, f"{self.webhook}\n".encode() + body)
        return ident, body

    def waiting(self, now: float) -> list[Event]:
        """Those that wait, the oldest first, within the limits; others are removed. Blocks."""
        kept, found = list[Event](), sorted(self.folder.glob("msg_*_*"), reverse=True)
        for nth, path in enumerate(found):
            stamp = path.name.split("_")[1]
            if nth >= _MOST or not stamp.isdigit() or now - int(stamp) / 1000 > _OLDEST:
                self.remove(path.name)
                continue
            with suppress(OSError):
                name, _, body = path.read_bytes().partition(b"\n")
                if name.decode(errors="replace") == self.webhook:
                    kept.append((path.name, body))
        return kept[::-1]

    def clear(self) -> None:
        """Remove all for this webhook. Blocks."""
        for ident, _ in self.waiting(0.0):
            self.remove(ident)

    def remove(self, ident: str) -> None:
        """Let an event wait no longer."""
        with suppress(OSError):
            (self.folder / ident).unlink()


async def tried(send: Callable[[], Awaitable[Answer]], waits: Sequence[float], clock: Clock) -> Answer:
    """The answer to the first try that succeeds, or that makes another useless, or to the last; `waits` in seconds."""
    answer = await send()
    for wait in waits:
        if not answer.again or answer.wait > sum(waits):
            break
        await clock.sleep(max(wait, answer.wait))
        answer = await send()
    return answer
