"""A downloader's part: a prediction that has ended becomes a picture on the disk, and a line in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from batch_removebg.errors import OutputBroken, ServerError, SourceError
from batch_removebg.finish.options import Finished
from batch_removebg.finish.passthrough import as_it_is
from batch_removebg.ledger import events
from batch_removebg.ledger.journal import Ledger
from batch_removebg.model import Matte, Provider
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.outputs import Draft, Outputs

from .tools import Tools
from .work import Predicted, Todo

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Saved:
    """A finished picture."""

    output: str
    width: int
    height: int
    notes: tuple[str, ...]
    reused: bool


@dataclass(frozen=True, slots=True)
class RefetchPolicy:
    """How often an output that can't be used is fetched again before it counts as useless."""

    alike: int = 3
    """Tries in a row with equal bytes, or the same refusal: the output itself is useless."""
    tries: int = 8
    """Tries in all, where each gives something else: the way to the output is broken."""
    first: float = 1.0
    """Seconds before the second try; doubled with each."""
    longest: float = 30.0

    def delay(self, tries: int, alike: int, error: OutputBroken, chance: float) -> float:
        """Seconds until the next try after `tries` failed ones, the last `alike` of them equal; half of it is jitter.

        Raises the error where the prediction is of no use, ServerError where that can't be known.
        """
        if alike >= self.alike:
            raise error
        if tries >= self.tries:
            raise ServerError(f"{error}; fetched {tries} times, and each time something else came")
        return min(self.longest, self.first * 2.0 ** (tries - 1)) * (0.5 + 0.5 * chance)


class Downloader:
    """Fetches outputs, makes the final pictures and records them."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        tools: Tools,
        alphas: AlphaCache,
        *,
        out: Path,
        policy: RefetchPolicy | None = None,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._outputs: Outputs[Finished] = Outputs(out)
        self._tools = tools
        self._alphas = alphas
        self._recipe = tools.recipe
        self._policy = policy or RefetchPolicy()

    async def save(self, predicted: Predicted) -> Saved:
        """Make the picture durable under its name, then record it in the ledger.

        Raises ResubmitError where the prediction gave nothing usable, DiskError where OUT can't be written.
        """
        if predicted.prepared.sha256 is not None:
            finished = await self._finish(predicted)
        elif (twin := predicted.twin) is not None:
            finished = Finished(twin.data, twin.width, twin.height)
        else:
            return await self._used(predicted, partial(self._pass_on, predicted))
        return await self._put(predicted, lambda: finished)

    async def _finish(self, predicted: Predicted) -> Finished:
        from batch_removebg.finish import finish

        prepared, matte, cpu = predicted.prepared, predicted.matte, self._tools.cpu
        if matte is None:
            matte = await self._used(predicted, partial(self._matte, predicted))
            await self._keep(prepared.fingerprint, matte)
        data = await self._tools.sources.again(prepared)
        async with cpu.memory(prepared.cost):
            return await cpu.run(finish.finish, data, matte, self._recipe.finish, self._tools.limits)

    async def _used(self, predicted: Predicted, use: Callable[[bytes | Matte], Awaitable[T]]) -> T:
        """What `use` makes of the output, which is fetched again while that may help: it is paid for.

        Raises OutputBroken where the output is useless, PredictionLost where it is gone.
        """
        url, tries, alike, last = predicted.output_url, 0, 0, b""
        assert url is not None  # noqa: S101  # without a matte in hand there is a URL
        while True:
            output: bytes | Matte = b""
            try:
                output = await self._fetch(url)
                return await use(output)
            except OutputBroken as error:
                if not url.startswith("http"):  # the output itself, in a data URI or this process
                    raise
                seen = hashlib.sha256(output if isinstance(output, bytes) and output else str(error).encode()).digest()
                tries, alike, last = tries + 1, alike + 1 if seen == last else 1, seen
                wait = self._policy.delay(tries, alike, error, self._tools.clock.random())
            await self._tools.clock.sleep(wait)

    async def _fetch(self, url: str) -> bytes | Matte:
        try:
            return await self._provider.fetch(url)
        except SourceError as error:
            raise OutputBroken(f"the output can't be fetched: {error}") from error

    async def _matte(self, predicted: Predicted, output: bytes | Matte) -> Matte:
        """The matte in an output, which has to fit the source."""
        from batch_removebg.matting.matte import matte_of

        if isinstance(output, Matte):
            return output
        prepared, square = predicted.prepared, self._recipe.proxy.square
        width, height = (square, square) if square else (prepared.width, prepared.height)
        return await self._tools.cpu.run(matte_of, output, width=width, height=height, limits=self._tools.limits)

    async def _keep(self, fingerprint: str, matte: Matte) -> None:
        from batch_removebg.matting.matte import encode_matte

        with anyio.CancelScope(shield=True):
            data = await self._tools.cpu.run(encode_matte, matte)
            await self._tools.cpu.run(self._alphas.keep, fingerprint, data)

    async def _pass_on(self, predicted: Predicted, cutout: bytes | Matte) -> Saved:
        """The provider's cutout as the picture: as it is, or remade for another format or a background."""
        assert isinstance(cutout, bytes)  # noqa: S101  # a URL goes to no provider of this process
        kept = await self._drafted(predicted, partial(as_it_is, cutout, self._recipe.finish, self._tools.limits))
        if kept is not None:
            return kept
        from batch_removebg.finish import finish

        remade = await self._tools.cpu.run(finish.finish_cutout, cutout, self._recipe.finish, self._tools.limits)
        return await self._put(predicted, lambda: remade)

    async def _put(self, predicted: Predicted, draft: Draft[Finished]) -> Saved:
        saved = await self._drafted(predicted, draft)
        assert saved is not None  # noqa: S101  # a finished picture is no draft that gives none
        return saved

    async def _drafted(self, predicted: Predicted, draft: Draft[Finished]) -> Saved | None:
        """The picture of a draft, recorded; None where the draft gives none."""
        prepared, todo = predicted.prepared, predicted.prepared.todo
        with anyio.CancelScope(shield=True):
            if predicted.reused:
                # No `submitting` line names the output; on record, a file left by a crash is known to be ours.
                await self._ledger.append(events.Claimed(todo.item.id, todo.output))
            kept = await self._outputs.put(todo.output, draft)
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
                    seconds=round(self._tools.clock.monotonic() - prepared.started, 3),
                    reused=predicted.reused,
                    # Where no alpha is kept, another item with the same source is made from this one's file.
                    fingerprint=prepared.fingerprint if prepared.sha256 is None else None,
                    notes=notes,
                    engine=finished.engine,
                    **_judged(finished.quality),
                )
            )
        return Saved(todo.output, finished.width, finished.height, notes, predicted.reused)


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
