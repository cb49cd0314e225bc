"""One scale for the items of a group: the largest that each of them allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import sqrt

from batch_removebg.finish.options import Equal
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Item

from .cache_key import Recipe


@dataclass(frozen=True)
class Scales:
    """The recipe of each item, by what is on record of the pictures of its group."""

    recipe: Recipe
    column: str
    equal: Equal = "scale"
    least: dict[tuple[str, str], float] = field(default_factory=dict)  # by group and preset: of factors, or of areas

    def add(self, states: Iterable[ItemState]) -> None:
        """Reckon with the items that are in the manifest, and have pictures."""
        for state in states:
            if state.gone or state.outcome != "saved" or not (group := self._group(state.meta or {})):
                continue
            for one in state.outputs:
                if most := one.factor if self.equal == "scale" else one.factor**2 * one.area:
                    self.least[group, one.preset] = min(most, self.least.get((group, one.preset), most))

    def recipe_of(self, item: Item, state: ItemState) -> Recipe:
        """What the item's pictures are made with; as if it were alone where too little is known yet."""
        group, areas = self._group(item.meta), {one.preset: one.area for one in state.outputs}
        presets = [finish.preset for finish in self.recipe.finishes]
        factors = [self._factor(self.least.get((group, each)), areas.get(each, 0)) for each in presets]
        return self.recipe.scaled(factors) if any(factors) else self.recipe

    def _group(self, meta: Mapping[str, object]) -> str:
        return str(meta.get(self.column) or "").strip()

    def _factor(self, common: float | None, area: int) -> float | None:
        """Of an item, with so many digits that a picture isn't made anew for the rest."""
        if common is None or (self.equal == "area" and not area):
            return None
        return float(f"{common if self.equal == 'scale' else sqrt(common / area):.6g}")
