"""A downloader's part: a prediction that has ended becomes a picture on the disk, and a line in the ledger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from batch_removebg.errors import OutputBroken, SourceError
from batch_removebg.finish.options import Finished
from batch_removebg.finish.passthrough import as_it_is
from batch_removebg.ledger import events
from batch_removebg.ledger.journal import Ledger
from batch_removebg.model import Matte, Provider
from batch_removebg.storage.outputs import Draft, Pictures

from .predict import Predicted, Predictor, Tools
from .prepare import Todo

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality


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
        self._pictures: Pictures[Finished] = Pictures(out)
        self._recipe = tools.recipe
        self._alphas = tools.alphas
        self._cpu = tools.cpu
        self._limits = tools.limits
        self._clock = tools.clock

    async def save(self, predicted: Predicted) -> Saved:
        """Make the picture durable under its name, then say so in the ledger.

        Raises ResubmitError where the prediction gave nothing usable, DiskError where OUT can't be written.
        """
        if predicted.prepared.sha256 is not None:
            finished = await self._finish(predicted)
        elif (twin := predicted.twin) is not None:
            finished = Finished(twin.data, twin.width, twin.height)
        else:
            cutout = await self._fetch(predicted)
            assert isinstance(cutout, bytes)  # noqa: S101  # a URL goes to no provider of this process
            kept = await self._put(predicted, partial(as_it_is, cutout, self._recipe.finish, self._limits))
            if kept is not None:
                return kept
            finished = await self._remade(cutout)
        saved = await self._put(predicted, lambda: finished)
        assert saved is not None  # noqa: S101  # a finished picture is no draft that gives none
        return saved

    async def _put(self, predicted: Predicted, draft: Draft[Finished]) -> Saved | None:
        """The picture of a draft, on record; None where the draft gives none."""
        prepared, todo = predicted.prepared, predicted.prepared.todo
        with anyio.CancelScope(shield=True):
            if predicted.reused:
                # No `submitting` line names the output; on record, a file left by a crash is known to be ours.
                await self._ledger.append(events.Claimed(todo.item.id, todo.output))
            kept = await self._pictures.put(todo.output, draft)
            if kept is None:
                return None
            finished = kept.picture
            notes = tuple(dict.fromkeys((*prepared.notes, *finished.notes)))
            await self._ledger.append(
                events.Saved(
                    **described(todo, self._recipe.digest_of(todo.item)),
                    source_sha256=prepared.sha256 or None,
                    output=todo.output,
                    sha256=kept.sha256,
                    bytes=len(finished.data),
                    width=finished.width,
                    height=finished.height,
                    prediction_id=predicted.prediction_id,
                    attempts=predicted.attempts,
                    seconds=round(self._clock.monotonic() - prepared.started, 3),
                    reused=predicted.reused,
                    # Where no alpha is kept, another item with the same source is made from this one's file.
                    fingerprint=prepared.fingerprint if prepared.sha256 is None else None,
                    notes=notes,
                    engine=finished.engine,
                    **_judged(finished.quality),
                )
            )
        return Saved(todo.output, finished.width, finished.height, notes, predicted.reused)

    async def _remade(self, cutout: bytes) -> Finished:
        """A cutout that can't stay as it is: another format, a background, something written about the place."""
        from batch_removebg.finish import finish

        return await self._cpu.run(finish.finish_cutout, cutout, self._recipe.finish, self._limits)

    async def _finish(self, predicted: Predicted) -> Finished:
        from batch_removebg.finish import finish

        prepared, matte = predicted.prepared, predicted.matte
        if matte is None:
            matte = await self._bought(predicted)
        data = await self._predictor.source_data(prepared)
        async with self._cpu.memory(prepared.cost):
            return await self._cpu.run(finish.finish, data, matte, self._recipe.finish, self._limits)

    async def _bought(self, predicted: Predicted) -> Matte:
        """The matte that the prediction's output holds, kept for later use."""
        from batch_removebg.matting.matte import encode_matte, matte_of

        prepared, square = predicted.prepared, self._recipe.proxy.square
        width, height = (square, square) if square else (prepared.width, prepared.height)
        output = await self._fetch(predicted)
        if isinstance(output, Matte):
            matte = output
        else:
            matte = await self._cpu.run(matte_of, output, width=width, height=height, limits=self._limits)
        with anyio.CancelScope(shield=True):
            data = await self._cpu.run(encode_matte, matte)
            await self._cpu.run(self._alphas.keep, prepared.fingerprint, data)
        return matte

    async def _fetch(self, predicted: Predicted) -> bytes | Matte:
        assert predicted.output_url is not None  # noqa: S101  # without a matte in hand there is a URL
        try:
            return await self._provider.fetch(predicted.output_url)
        except SourceError as error:
            raise OutputBroken(f"the output can't be fetched: {error}") from error


def _judged(quality: Quality | None) -> dict[str, Any]:
    """The fields of Saved that say how far the cutout can be trusted, where its alpha was at hand."""
    if quality is None:
        return {}
    from batch_removebg.matting.quality import flags

    return {"quality": asdict(quality), "flags": tuple(flags(quality))}


def described(todo: Todo, recipe: str) -> dict[str, Any]:
    """The fields that Saved and Failed have in common."""
    return {
        "item": todo.item.id,
        "source": todo.item.source,
        "recipe": recipe,
        "signature": todo.signature or None,
        "meta": dict(todo.item.meta) or None,
    }
