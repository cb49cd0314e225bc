"""What a run tells its listeners; the library itself never prints."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Kind(enum.Enum):
    """What happened."""

    TOTAL = "total"
    """The number of items is known: `count`."""
    FOUND = "found"
    """The reader came upon an item."""
    SKIPPED = "skipped"
    """Nothing to do: saved earlier and unchanged, or failed earlier and left alone."""
    STARTED = "started"
    """A worker took the item up."""
    SAVED = "saved"
    FAILED = "failed"
    PENDING = "pending"
    """The run ends before the item was done; the next run takes it up."""
    WAITING = "waiting"
    """The server asked to wait, or is in trouble."""
    WARNING = "warning"
    STOPPING = "stopping"
    """Nothing more is created; what is in flight is brought home."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, to one item or to the run."""

    kind: Kind
    item: str = ""
    text: str = ""
    """For people: the output's name, the error, the reason."""
    error_kind: str = ""
    count: int = 1
    """Items that this stands for: many where `item` is empty, and nothing is to be done about them."""
    started: bool = False
    """The item was in flight before this."""


Listener = Callable[[Event], None]
"""Is called from the event loop, warnings of the reader from its thread; must not block."""


def deaf(_: Event) -> None:
    """A listener that does not listen: the default."""
