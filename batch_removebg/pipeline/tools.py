"""What the stages of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch_removebg.clock import Clock
from batch_removebg.resources import Cpu
from batch_removebg.stop import Gate

from .cache_key import Recipe
from .sources import Sources

if TYPE_CHECKING:
    from batch_removebg.imaging.format import Limits


@dataclass(frozen=True, slots=True)
class Tools:
    """Recipe, sources, threads for pixels, bounds and time."""

    recipe: Recipe
    sources: Sources
    cpu: Cpu
    limits: Limits
    clock: Clock
    gate: Gate
