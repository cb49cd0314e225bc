"""How wide the pipeline is, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of the pipeline; times in seconds."""

    workers: int = 32
    """Items in flight at most."""
    downloaders: int = 8
    """There are as many copiers, so that each finds one."""
    queue: int = 64
    """Items read ahead."""
    copies: int = 8192
    """Copies of what is being bought that are kept in memory; beyond them nothing more is read."""
    chunk: int = 32
    """Items read in one hop to a thread."""
    longest_chunk: int = 1024
    """The same where nothing has been to do for a while."""
    stream: bool = False
    """The manifest comes in as it is made (stdin): one item at a time, and the rest isn't waited for at the end."""
    limit: int | None = None
    """Items to be done in this run at most."""
    grace: float = 30.0
    """Time for paid results to be collected once the gate is closed."""
    snapshot: float = 60.0
    """Time between two writes of results.json."""
    steer: float = 0.25
    """Time between two looks at how many items should be in flight, while that changes."""
