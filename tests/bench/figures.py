"""A measured figure, its target, and whether it is met: on the median of its runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of the issue's."""

    sense: Literal["≤", "≥"]
    bound: float

    def met(self, value: float) -> bool:
        return value <= self.bound if self.sense == "≤" else value >= self.bound


def at_most(bound: float) -> Target:
    return Target("≤", bound)


def at_least(bound: float) -> Target:
    return Target("≥", bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    values: Sequence[float]
    """One a run; inf: it never came to that."""
    unit: str = ""
    target: Target | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        return None if self.target is None else self.target.met(self.median)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "values": finite(self.values),
            "target": [self.target.sense, self.target.bound] if self.target else None,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Figure:
        values = [math.inf if v is None else v for v in given["values"]]
        return cls(given["name"], values, given["unit"], Target(*given["target"]) if given["target"] else None)


@dataclass(slots=True)
class Measured:
    """What a case came to."""

    figures: list[Figure] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)
    """For the plots."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a case needs to know."""

    scratch: Path
    quick: bool = False
    """Short runs that show that the cases work; their figures are no results."""
    million: bool = False
    say: Callable[[str], None] = print

    @property
    def runs(self) -> int:
        return 1 if self.quick else 3


@dataclass(frozen=True, slots=True)
class Case:
    """A point of the issue's, and how it is measured."""

    number: str
    title: str
    method: str
    run: Callable[[Bench], Measured]


def number(value: float) -> str:
    """With three digits that count; whole numbers whole."""
    if not math.isfinite(value):
        return "never"
    if abs(value - round(value)) < 1e-9:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 0.001 else f"{value:.2g}"


def finite(values: Sequence[float]) -> list[float | None]:
    """For JSON, which has no infinity."""
    return [round(value, 6) if math.isfinite(value) else None for value in values]
