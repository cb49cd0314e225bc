"""What the simulated API has seen of a run: numbers for the table, series for the plots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Made:
    """A prediction that was accepted. Times are seconds since 1970."""

    id: str
    image: str
    created: float
    ready: float
    failed: bool
    size: tuple[int, int] | None
    """Of the uploaded input in pixels."""
    told: float = 0.0
    """When an answer first gave the result; 0: not yet."""
    polls: int = 0
    fetched: float = 0.0
    """When the output was first asked for."""
    canceled: bool = False


@dataclass(slots=True)
class Facts:
    """Of one run, from one reset to the next."""

    made: list[Made] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    """When creates were refused with 429."""
    throttled: int = 0
    """Other requests that were refused with 429."""
    lists: int = 0
    cancels: int = 0
    uploads: int = 0
    uploaded: int = 0
    """Bytes of files, not of requests."""
    distinct: dict[int, int] = field(default_factory=dict)
    """Bytes of each file, by the hash of what it holds."""
    longest_side: int = 0
    """Of all files, in pixels."""
    overlapped: int = 0
    """Uploads while a prediction ran."""
    expired: int = 0
    """Creates whose file had expired."""
    downloads: int = 0
    waits: int = 0
    """Creates with `Prefer: wait`."""
    unknown: int = 0
    """Requests that no endpoint answers."""
    opened: int = 0
    """Connections."""
    open: int = 0
    most_open: int = 0
    inputs: set[int] = field(default_factory=set)
    """Hashes of the inputs of creates."""

    def connection(self, change: int) -> None:
        self.open += change
        self.opened += change > 0
        self.most_open = max(self.most_open, self.open)

    def upload(self, data: bytes, size: tuple[int, int], *, overlapped: bool) -> None:
        self.uploads += 1
        self.uploaded += len(data)
        self.distinct[hash(data)] = len(data)
        self.longest_side = max(self.longest_side, *size)
        self.overlapped += overlapped

    def counts(self) -> dict[str, Any]:
        """The numbers, JSON-ready."""
        return {
            "accepted": len(self.made),
            "rejected": len(self.rejected),
            "distinct_inputs": len(self.inputs),
            "failed": sum(made.failed for made in self.made),
            "first_create": min((self.made[0].created,) if self.made else (), default=None),
            "polls": sum(made.polls for made in self.made),
            "throttled": self.throttled,
            "lists": self.lists,
            "cancels": self.cancels,
            "uploads": self.uploads,
            "uploaded": self.uploaded,
            "uploaded_once": sum(self.distinct.values()),
            "longest_side": self.longest_side,
            "overlapped": self.overlapped,
            "expired": self.expired,
            "downloads": self.downloads,
            "waits": self.waits,
            "unknown": self.unknown,
            "opened": self.opened,
            "most_open": self.most_open,
        }

    def series(self) -> dict[str, Any]:
        """Per prediction, in the order of their creates, and per refusal."""
        return {
            "predictions": [[m.created, m.ready, m.told, m.polls, m.fetched] for m in self.made],
            "rejected": self.rejected,
        }
