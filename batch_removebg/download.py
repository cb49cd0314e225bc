"""A downloader's part: a prediction that has ended becomes a picture on the disk, and a line in the ledger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.files import inside, write_atomic
from batch_removebg.ledger import Ledger
from batch_removebg.model import Provider
from batch_removebg.predict import Predicted, Predictor, Todo, Tools
from batch_removebg.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from batch_removebg.pixels.finish import Finished


@dataclass(frozen=True, slots=True)
class Saved:
    """A finished picture."""

    output: str
    width: int
    height: int
    notes: tuple[str, ...]
    reused: bool


class Downloader:
    """Fetches outputs, makes the final pictures and puts them on record."""

    def __init__(self, provider: Provider, predictor: Predictor, ledger: Ledger, tools: Tools, *, out: Path) -> None:
        self._provider = provider
        self._predictor = predictor
        self._ledger = ledger
        self._out = out
        self._recipe = tools.recipe
        self._alphas = tools.alphas
        self._cpu = tools.cpu
        self._limits = tools.limits
        self._clock = tools.clock

    async def save(self, predicted: Predicted) -> Saved:
        """Make the picture durable under its name, then say so in the ledger.

        Raises ResubmitError where the prediction gave nothing usable, DiskError where OUT can't be written.
        """
        finished = await self._finish(predicted)
        prepared, todo = predicted.prepared, predicted.prepared.todo
        with anyio.CancelScope(shield=True):
            path = await self._cpu.run(inside, self._out, todo.output)
            if predicted.reused:
                # No `submitting` line names the output; on record, a file left by a crash is known to be ours.
                await self._ledger.append("claimed", item=todo.item.id, output=todo.output)
            await self._cpu.run(write_atomic, path, finished.data)
            notes = tuple(dict.fromkeys((*prepared.notes, *finished.notes)))
            await self._ledger.append(
                "saved",
                **described(todo, self._recipe, prepared.sha256),
                output=todo.output,
                sha256=await self._cpu.run(_sha256, finished.data),
                bytes=len(finished.data),
                width=finished.width,
                height=finished.height,
                prediction_id=predicted.prediction_id,
                attempts=predicted.attempts,
                seconds=round(self._clock.monotonic() - prepared.started, 3),
                reused=predicted.reused,
                # Where no alpha is kept, another item with the same source is made from this one's file.
                **({"fingerprint": prepared.fingerprint} if prepared.sha256 is None else {}),
                **({"notes": list(notes)} if notes else {}),
            )
        return Saved(todo.output, finished.width, finished.height, notes, predicted.reused)

    async def _finish(self, predicted: Predicted) -> Finished:
        from batch_removebg.pixels import finish

        prepared = predicted.prepared
        if predicted.twin is not None:
            return finish.Finished(predicted.twin.data, predicted.twin.width, predicted.twin.height)
        if prepared.sha256 is None:
            cutout = await self._fetch(predicted)
            return await self._cpu.run(finish.finish_cutout, cutout, self._recipe.finish, self._limits)
        alpha = predicted.alpha
        if alpha is None:
            alpha = await self._bought_alpha(predicted)
        data = await self._predictor.source_data(prepared)
        async with self._cpu.memory(prepared.cost):
            return await self._cpu.run(finish.finish, data, alpha, self._recipe.finish, self._limits)

    async def _bought_alpha(self, predicted: Predicted) -> NDArray[np.uint8]:
        """The alpha that the prediction's output holds, kept for later use."""
        from batch_removebg.pixels import decode

        prepared, square = predicted.prepared, self._recipe.proxy.square
        width, height = (square, square) if square else (prepared.width, prepared.height)
        cutout = await self._fetch(predicted)
        alpha = await self._cpu.run(decode.alpha_of, cutout, width=width, height=height, limits=self._limits)
        with anyio.CancelScope(shield=True):
            await self._cpu.run(self._alphas.keep, prepared.fingerprint, alpha)
        return alpha

    async def _fetch(self, predicted: Predicted) -> bytes:
        assert predicted.output_url is not None  # noqa: S101  # without an alpha in hand there is a URL
        try:
            return await self._provider.fetch(predicted.output_url)
        except SourceError as error:
            raise OutputBroken(f"the output can't be fetched: {error}") from error


def described(todo: Todo, recipe: Recipe, sha256: str | None = None) -> dict[str, Any]:
    """The fields that `saved` and `failed` lines have in common; `sha256` is the source's, where it was read."""
    optional = {"source_sha256": sha256, "signature": todo.signature, "meta": dict(todo.item.meta)}
    return {
        "item": todo.item.id,
        "source": todo.item.source,
        "recipe": recipe.digest,
        **{name: value for name, value in optional.items() if value},
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
