"""One scale for the items of a group: the largest that each of them allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import cast

from batch_removebg.finish.options import Equal, Geometry
from batch_removebg.ledger.events import Measured
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item

from .cache_key import Recipe


@dataclass(frozen=True)
class Scales:
    """The recipe of each item, by what is on record of its group."""

    recipe: Recipe
    column: str
    equal: Equal = "scale"
    least: dict[tuple[str, int], float] = field(default_factory=dict)  # by group and picture

    def add(self, states: Iterable[ItemState]) -> None:
        """Reckon with the items that are in the manifest, and measured with this recipe."""
        for state in states:
            group, measured = self._group(state.meta or {}), state.measured
            if state.gone or not group or measured is None or not self._counts(measured):
                continue
            for nth, finish in enumerate(self.recipe.finishes):
                most = self._most(measured, finish.geometry)
                self.least[group, nth] = min(most, self.least.get((group, nth), most))

    def recipe_of(self, item: Item, state: ItemState) -> Recipe:
        """What the item's pictures are made with."""
        group, measured = self._group(item.meta), state.measured
        if not group or measured is None or not self._counts(measured):
            return self.recipe
        common = (self.least.get((group, nth)) for nth in range(len(self.recipe.finishes)))
        return self.recipe.scaled([one and self._factor(one, measured.area) for one in common])

    def _group(self, meta: Mapping[str, object]) -> str:
        return str(meta.get(self.column) or "").strip()

    def _counts(self, measured: Measured) -> bool:
        return measured.recipe == self.recipe.measuring and len(measured.box) == 4 and measured.area > 0

    def _most(self, measured: Measured, geometry: Geometry) -> float:
        """The factor, or the area in the picture, that the item allows at most."""
        from batch_removebg.finish.layout import Subject, layout

        box, size = cast("tuple[int, int, int, int]", measured.box), cast("tuple[int, int]", measured.size)
        factor = layout(Subject(box, touches=measured.touches), size, geometry).factor
        return factor if self.equal == "scale" else factor * factor * measured.area

    def _factor(self, common: float, area: float) -> float:
        """Of an item, with so many digits that a picture isn't made anew for the rest."""
        return float(f"{common if self.equal == 'scale' else sqrt(common / area):.6g}")
