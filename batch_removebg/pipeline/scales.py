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
    alone: Recipe  # of items in no group
    column: str
    equal: Equal = "scale"
    least: dict[tuple[str, str], float] = field(default_factory=dict)  # by group and preset: of factors, or of areas
    smallest: dict[tuple[str, str], int] = field(default_factory=dict)  # by group and preset: area in the photo

    def add(self, states: Iterable[ItemState]) -> None:
        """Reckon with the items that are in the manifest, and have pictures."""
        for state in states:
            if state.gone or state.outcome != "saved" or not (group := self._group(state.meta or {})):
                continue
            for one in state.outputs:
                if most := one.factor if self.equal == "scale" else one.factor**2 * one.area:
                    key = group, one.preset
                    self.least[key] = min(most, self.least.get(key, most))
                    self.smallest[key] = min(one.area, self.smallest.get(key, one.area))

    def recipe_of(self, item: Item, state: ItemState) -> Recipe:
        """What the item's pictures are made with; as if its group had no other where too little is known yet."""
        if not (group := self._group(item.meta)):
            return self.alone
        areas = {one.preset: one.area for one in state.outputs}
        presets = [finish.preset for finish in self.recipe.finishes]
        factors = [self._factor((group, each), areas.get(each, 0)) for each in presets]
        return self.recipe.scaled(factors) if any(scale for scale, _ in factors) else self.recipe

    def _group(self, meta: Mapping[str, object]) -> str:
        return str(meta.get(self.column) or "").strip()

    def _factor(self, key: tuple[str, str], area: int) -> tuple[float | None, float]:
        """Of an item, and the largest of it without enlarging any of its group."""
        if (common := self.least.get(key)) is None or (self.equal == "area" and not area):
            return None, 1.0
        return (common, 1.0) if self.equal == "scale" else (sqrt(common / area), sqrt(self.smallest[key] / area))
