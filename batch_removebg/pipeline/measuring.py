"""The first pass where groups have one scale: alphas are bought, and subjects measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from batch_removebg.errors import OutputBroken
from batch_removebg.finish.options import Finished
from batch_removebg.ledger.events import Measured
from batch_removebg.ledger.state import Step
from batch_removebg.model import Item, Matte, UrlRow
from batch_removebg.resources import patience

from .download import Downloader, Notes
from .planner import Planner
from .work import Cutout, Predicted, Todo

if TYPE_CHECKING:
    from batch_removebg.finish.geometry import Extent


@dataclass(eq=False)
class MeasuringPlanner(Planner):
    """Plans what isn't measured yet."""

    def plan(self, item: Item) -> tuple[Step, Todo]:
        """See Planner."""
        step, todo = super().plan(item)
        known = todo.state.measured
        same = known is not None and (known.recipe, known.source, known.signature) == (
            self.recipe.measuring,
            item.source,
            todo.signature,
        )
        ended = step if step is Step.LEAVE else Step.DONE if same else Step.DO
        return ended, replace(todo, finished_if_same=False, known=None, kept=())

    def _keys(self, rows: Sequence[Item | UrlRow]) -> Sequence[int | None]:
        return [None] * len(rows)


@dataclass(eq=False)
class Measurer(Downloader):
    """Records how large subjects are, and keeps what was bought; it makes no picture."""

    async def save(self, predicted: Predicted) -> Notes:
        """Measure the item's subject; raises as Downloader."""
        from batch_removebg.finish.geometry import extent

        output, prepared = predicted.output, predicted.prepared
        if isinstance(output, Finished | Cutout):
            found = await self._of_picture(predicted, output.data)
        elif isinstance(output, tuple) and prepared.sha256 is None:
            found = await self._used(predicted, self._bought)
        else:
            if isinstance(output, tuple):
                output = await self._used(predicted, self._matte)
                await self._keep(predicted, output)
            seconds = patience(prepared.width * prepared.height)
            async with self.context.cpu.memory(prepared.cost):
                data = await self.context.sources.again(prepared)
                how = extent, data, output, self.context.recipe.finish, self.context.limits
                found = await self.context.cpu.isolated(seconds, *how)
        todo = prepared.todo
        measured = Measured(
            item=todo.item.id,
            source=todo.item.source,
            recipe=self.context.recipe.measuring,
            signature=todo.signature,
            meta=dict(todo.item.meta) or None,
            attempts=predicted.attempts,
            **found._asdict(),
        )
        await self.context.ledger.append(measured)
        return ()

    async def _bought(self, predicted: Predicted, cutout: bytes | Matte) -> Extent:
        if isinstance(cutout, Matte):
            raise OutputBroken("a URL goes to no provider in this process")
        found = await self._of_picture(predicted, cutout)
        await self._keep(predicted, cutout)
        return found

    async def _of_picture(self, predicted: Predicted, data: bytes) -> Extent:
        from batch_removebg.finish.geometry import extent_of_cutout

        seconds, finish = patience(self.context.limits.max_pixels), self.context.recipe.finish
        return await self._of_output(seconds, partial(extent_of_cutout, finish=finish), data)
