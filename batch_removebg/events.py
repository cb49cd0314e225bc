"""Events that a run sends to its listener; the library itself never prints."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Kind(enum.Enum):
    """What happened."""

    BEGUN = "begun"  # a run, whose id is `text`
    TOTAL = "total"  # the number of items is known: `count`
    FOUND = "found"
    SKIPPED = "skipped"  # nothing to do: saved earlier and unchanged, or failed earlier and not to be retried
    STARTED = "started"
    SAVED = "saved"
    FAILED = "failed"
    PENDING = "pending"  # the run ends before the item is done; the next run continues with it
    WAITING = "waiting"  # the server asked for a delay or has failed
    WARNING = "warning"
    NOTE = "note"  # how something is understood, such as a manifest's columns
    STOPPING = "stopping"  # nothing more is created; paid results are still collected


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an item or to the run."""

    kind: Kind
    item: str = ""
    text: str = ""  # for people: the output's name, the error or the reason
    error_kind: str = ""
    count: int = 1  # number of items that the event stands for; `item` is empty where they are counted together
    started: bool = False  # the item was in flight before this
    source: str = ""  # of an item that has ended
    flags: tuple[str, ...] = ()  # of a saved one: why it is worth a look


Listener = Callable[[Event], None]
"""Called from the event loop, or from the reader's thread for its warnings; must not block."""


def ignore(_: object) -> None:
    """Do nothing: the default listener, also of warnings."""
