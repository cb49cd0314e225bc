"""What the stages of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings needs Shape alone, and starts quickly
    from batch_removebg.clock import Clock
    from batch_removebg.events import Listener
    from batch_removebg.imaging.format import Limits
    from batch_removebg.ledger.journal import Ledger
    from batch_removebg.model import Provider
    from batch_removebg.resources import Cpu
    from batch_removebg.stop import Gate
    from batch_removebg.workers.base import Workers

    from .arrivals import Arrivals
    from .brake import Brake
    from .cache_key import Recipe
    from .sources import Sources


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the pipeline; times in seconds."""

    workers: int = 32  # most items in flight
    downloaders: int = 8
    queue: int = 64  # items read ahead
    copies: int = 8192  # waiting copies in memory at which the reader pauses
    chunk: int = 32  # rows read in one hop to a thread
    longest_chunk: int = 1024  # the same after many rows with nothing to do
    stream: bool = False  # the manifest is stdin: read one row at a time, and don't wait for more of it at the end
    limit: int | None = None  # most items to do in this run
    grace: float = 30.0  # time for paid results to be collected once the gate is closed
    snapshot: float = 60.0  # time between two writes of results.json
    steer: float = 0.25  # time between two adjustments of the number in flight, while it changes


@dataclass(frozen=True, slots=True)
class Context:
    """One run's provider, ledger, recipe, sources, threads, workers, bounds, time, gate, listener and brake."""

    provider: Provider  # with all its wrappers
    ledger: Ledger
    recipe: Recipe
    sources: Sources
    cpu: Cpu
    workers: Workers
    limits: Limits
    shape: Shape
    clock: Clock
    gate: Gate
    notify: Listener
    brake: Brake
    arrivals: Arrivals | None = None  # of files that may still be written, where the INPUTs are watched
