"""A downloader's part: the output of a prediction becomes a picture on disk, and a line in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from batch_removebg.errors import (
    BatchError,
    NoAlpha,
    OutputBroken,
    ResubmitError,
    ServerError,
    SourceError,
    SpentPicture,
    WorkFailed,
)
from batch_removebg.finish.options import Finish, Finished
from batch_removebg.finish.passthrough import as_it_is
from batch_removebg.imaging.format import identify
from batch_removebg.ledger.events import Claimed, Rendition, Saved
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import Reference
from batch_removebg.net import fetch
from batch_removebg.providers import wire
from batch_removebg.resources import patience
from batch_removebg.storage.atomic import disk_errors
from batch_removebg.storage.layout import place
from batch_removebg.storage.spool import Held, Spooled
from batch_removebg.workers.base import Alpha

from .cache_key import Recipe
from .context import Context
from .on_hand import OnHand
from .sources import EXPECTED
from .work import Cutout, Predicted, Prepared, Todo

if TYPE_CHECKING:
    from batch_removebg.matting.quality import Quality

SAME = "made anew, and is the same, bit for bit: the verdict about it stays"
ANEW = "made anew, from another prediction"
T = TypeVar("T")
Notes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefetchPolicy:
    """How often an output that can't be used is fetched again before the prediction counts as useless."""

    alike: int = 6  # fetches in a row of each URL with equal bytes, or the same refusal: the output itself is useless
    sure: int = 2  # the same where no fetch can change it: it is in the answer itself, or a whole picture without alpha
    tries: int = 8  # fetches in all of each URL, each with another result: the connection damages them
    first: float = 1.0  # seconds before the second; doubled with each
    longest: float = 30.0

    def delay(self, tries: int, alike: int, error: BatchError, chance: float, *, sure: bool = False) -> float:
        """Seconds until the next fetch after `tries` failed ones, the last `alike` of them equal; half of it is jitter.

        Raises the error where the prediction is useless, ServerError where that can't be known.
        """
        if alike >= (self.sure if sure else self.alike):
            raise error
        if tries >= self.tries:
            raise ServerError(f"{error}; fetched {tries} times, and each time something else came")
        return min(self.longest, self.first * 2.0 ** (tries - 1)) * (0.5 + 0.5 * chance)


@dataclass(eq=False)
class Downloader:
    """Fetches outputs, makes the final pictures and records them."""

    context: Context
    on_hand: OnHand
    out: Path
    policy: RefetchPolicy = RefetchPolicy()
    hold: bool = False  # pictures with flags wait in a place of their own until somebody accepts them

    def __post_init__(self) -> None:
        self._largest = 0  # bytes of the largest output so far

    async def save(self, predicted: Predicted) -> Notes:
        """Make the picture durable under its name, then record it in the ledger; returns notes about it for people.

        Raises ResubmitError where the prediction gave nothing usable, DiskError where OUT can't be written.
        """
        output = predicted.output
        if isinstance(output, Cutout):
            return await self._remake(predicted, output)
        if isinstance(output, tuple) and predicted.prepared.sha256 is None:
            return await self._used(predicted, self._pass_on)
        if isinstance(output, tuple):
            output = await self._used(predicted, self._matte)
            await self._keep(predicted, output)
        if isinstance(output, Finished):
            return await self._put(predicted, [await self._with_quality(output)])
        return await self._put(predicted, await self._finish(predicted, output))

    async def _finish(self, predicted: Predicted, alpha: Alpha) -> list[Finished]:
        prepared, wanted = predicted.prepared, self._wanted(predicted)
        seconds = sum(patience(prepared.pixels * one.encodings, one.encoding.effort) for one in wanted)
        async with self.context.cpu.memory(prepared.cost):
            data = await self.context.sources.again(prepared)
            try:
                return await self.context.workers.finished(seconds, data, alpha, wanted)
            finally:
                if data is not prepared.data:
                    self.context.sources.drop(data)

    def _wanted(self, predicted: Predicted) -> list[Finish]:
        """How the pictures are made that aren't there."""
        todo = predicted.prepared.todo
        return [replace(self._recipe(todo).finishes[nth], output=todo.names[nth]) for nth in todo.missing]

    def _recipe(self, todo: Todo) -> Recipe:
        return todo.recipe or self.context.recipe

    async def _used(self, predicted: Predicted, use: Callable[[Predicted, Held | Alpha], Awaitable[T]]) -> T:
        """What `use` makes of the output, which is fetched again while that may help: it is paid for.

        Before each fetch but the first the prediction is asked for again, which may name a new URL. Raises
        ResubmitError where it was gone, or useless in the same way, as often in a row as the policy allows.
        """
        assert isinstance(predicted.output, tuple)  # noqa: S101  # what has no URL isn't fetched
        urls, signs, tries, sure = predicted.output, list[bytes](), 0, list[bool]()
        while True:
            output: Held | Alpha = b""
            try:
                if tries and not tries % len(urls) and predicted.prediction_id is not None:
                    again = await self.context.provider.get(predicted.prediction_id)
                    urls = (wire.result(again), *again.others)
                async with self.context.cpu.memory(2 * (self._largest or EXPECTED)):
                    output = await self._fetch(urls[tries % len(urls)])
                    made = await use(predicted, output)
                    self.context.brake.saved(predicted.prepared.fingerprint)
                    return made
            except ResubmitError as error:
                if not self.context.provider.capabilities.billed:
                    raise
                url, tries = urls[tries % len(urls)], tries + 1
                sure.append(isinstance(error, NoAlpha) or url.startswith("data:"))
                error.answer = error.answer or self._answer(predicted, url, output)
                self.context.brake.suspect(predicted.prepared.fingerprint)
                signs.append(_sign(output, error))
                if tries % len(urls):
                    continue  # the next URL at once
                alike, chance = _alike(signs, len(urls)), self.context.clock.random()
                wait = self.policy.delay(tries // len(urls), alike, error, chance, sure=all(sure[-len(urls) :]))
            await self.context.clock.sleep(wait)

    def _answer(self, predicted: Predicted, url: str, output: Held | Alpha) -> str:
        kind = (identify(output) or "no picture") if isinstance(output, bytes) else "as it came"
        what = f"{kind}, {len(output)} bytes" if isinstance(output, Held) else "a matte"
        model = self.context.recipe.version[:12]
        return f"prediction {predicted.prediction_id} of {model} succeeded with {fetch.redacted(url)} ({what})"

    async def _fetch(self, url: str) -> Held | Alpha:
        try:
            output = await self.context.provider.fetch(url)
        except SourceError as error:
            raise OutputBroken(f"the output can't be fetched: {error}") from error
        if isinstance(output, Held):
            self._largest = max(self._largest, len(output))
        return output

    async def _matte(self, predicted: Predicted, output: Held | Alpha) -> Alpha:
        """The alpha in an output; raises OutputBroken where it doesn't fit the source."""
        if not isinstance(output, Held):
            return output
        prepared, square = predicted.prepared, self.context.recipe.proxy.square
        width, height = (square, square) if square else (prepared.width, prepared.height)
        seconds = patience(self.context.limits.max_pixels)
        return await self._of_output(self.context.workers.bought(seconds, output, prepared.fingerprint, width, height))

    async def _of_output(self, made: Awaitable[T]) -> T:
        """What is made of an output; raises WorkFailed where that crashes: it would with another, too."""
        try:
            return await made
        except WorkFailed as error:
            what = str(error).partition(":")[0]
            raise WorkFailed(f"the output {what}; another would fare the same, so none is bought") from error

    async def _keep(self, predicted: Predicted, output: Alpha | bytes) -> None:
        if isinstance(output, Reference):  # who made it has kept it
            return
        with anyio.CancelScope(shield=True):
            await self.context.cpu.run(self.on_hand.keep, predicted.prepared.fingerprint, output)

    async def _remake(self, predicted: Predicted, found: Cutout) -> Notes:
        """Another picture from a cutout on hand; raises SpentPicture where that has lost what it takes."""
        with suppress(OutputBroken):
            if not found.lossy:
                return await self._pass_on(predicted, found.data)
        formats = " and ".join(dict.fromkeys(finish.format for finish in self._wanted(predicted)))
        what = f"was bought, and the picture that is left of it can't give this {formats}"
        raise SpentPicture(f"{what}: it has lost transparency or detail; --buy-again buys another")

    async def _pass_on(self, predicted: Predicted, cutout: Held | Alpha) -> Notes:
        """The provider's cutout as the picture: unchanged, or made anew for another format or a background."""
        assert isinstance(cutout, bytes)  # noqa: S101  # a URL goes to no provider in this process
        limits, wanted, edited = self.context.limits, self._wanted(predicted), self.on_hand.edited(predicted.prepared)
        edit = None if edited is None else await self.context.cpu.run(self.on_hand.edits.matte, edited)
        alone = len(self.context.recipe.finishes) == 1 and wanted[0].as_cut and not wanted[0].srgb and edit is None
        if self.on_hand.alphas.has(predicted.prepared.fingerprint) or not alone:
            await self._keep(predicted, cutout)  # before the file that it is in may be replaced
        if alone and (passed := await self.context.cpu.run(as_it_is, cutout, wanted[0], limits)):
            return await self._put(predicted, [await self._with_quality(passed)])
        from batch_removebg.finish import finish

        seconds = sum(patience(limits.max_pixels * one.encodings, one.encoding.effort) for one in wanted)
        finishing = partial(finish.finish_cutout, finishes=wanted, limits=limits, edit=edit)
        made = await self._of_output(self.context.cpu.isolated(seconds, finishing, cutout))
        return await self._put(predicted, made)

    async def _with_quality(self, cutout: Finished) -> Finished:
        """A provider's cutout that is passed on; it is kept also where it can't be judged."""
        from batch_removebg.finish.finish import judged

        with suppress(WorkFailed):
            seconds = patience(cutout.width * cutout.height)
            found = self.context.cpu.isolated(seconds, partial(judged, limits=self.context.limits), cutout.data)
            return replace(cutout, quality=await self._of_output(found))
        return cutout

    async def _put(self, predicted: Predicted, made: list[Finished]) -> Notes:
        """Write and record the pictures."""
        prepared, todo, ledger = predicted.prepared, predicted.prepared.todo, self.context.ledger
        recipe, judged = self._recipe(todo), _judged(made[0].quality, _flags(todo, made))
        held = bool(judged["flags"]) and (self.hold or todo.state.held)
        with anyio.CancelScope(shield=True):
            if predicted.reused or todo.others:
                # No `submitting` line names them all; on record, files left by a crash are known to be ours.
                await ledger.append(Claimed(todo.item.id, todo.output, todo.others))
            if todo.over is not None and todo.over.is_made and todo.over.fingerprint != prepared.fingerprint:
                await self.context.cpu.run(self.on_hand.spare, todo.over)
            outputs = await self._written(todo, made, held=held)
            first, notes = outputs[0], [*prepared.notes, *self._unused(prepared), *chain(*(one.notes for one in made))]
            same, begun = first.sha256 == todo.state.sha256, todo.state.in_flight or todo.state.lost is not None
            if same and (todo.redone or begun):  # perhaps by a redo that was cut short
                notes.append(SAME)
            elif todo.anew:
                notes.append(ANEW)
            saved = Saved(
                **described(todo, recipe.digest_of(todo.item)),
                **{name: getattr(first, name) for name in ("output", "sha256", "bytes", "width", "height")},
                source_sha256=prepared.sha256 or None,
                prediction_id=predicted.prediction_id,
                attempts=predicted.attempts,
                seconds=round(self.context.clock.monotonic() - prepared.started, 3),
                reused=predicted.reused,
                outputs=outputs if len(outputs) > 1 or first.preset or recipe.finish.laid_out else (),
                # Where no alpha is kept, another item with the same source is made from this one's file.
                fingerprint=prepared.fingerprint if prepared.sha256 is None else None,
                notes=tuple(dict.fromkeys((*todo.notes, *notes))),
                engine=made[0].engine,
                edited=self.on_hand.edited(prepared),
                **asdict(prepared.validators),
                redo=recipe.redo,
                held=held,
                **judged,
            )
            await ledger.append(saved)
            if todo.state.held and not held:
                await self.context.cpu.run(self._drop_held, todo.state)
        return saved.notes[len(todo.notes) :]

    def _unused(self, prepared: Prepared) -> Notes:
        """That the item was touched up, where that was for another content than it has now."""
        was, edits = prepared.todo.state.content, self.on_hand.edits.alphas
        if was == prepared.content or not edits.get(was or "") or edits.get(prepared.content):
            return ()
        return ("was touched up, which isn't in the picture: its source, or the API's model, is another one now",)

    async def _written(self, todo: Todo, made: list[Finished], *, held: bool) -> tuple[Rendition, ...]:
        """All pictures of an item, durable at one place: those that were made, then those that stay."""
        recipe, there = self._recipe(todo), {one.output: one for one in todo.kept}
        for name in there if held != todo.state.held else ():
            with disk_errors(path := self.out / todo.state.place(name)):
                await self.on_hand.outputs.put(place(name, held=held), await self.context.cpu.run(path.read_bytes))
        for nth, one in zip(todo.missing, made, strict=True):
            digest = recipe.digests_of(todo.item)[nth]
            there[todo.names[nth]] = Rendition(
                preset=recipe.finishes[nth].preset,
                output=todo.names[nth],
                recipe=digest,
                sha256=await self.on_hand.outputs.put(place(todo.names[nth], held=held), one.data, digest),
                bytes=len(one.data),
                **{name: getattr(one, name) for name in ("width", "height", "checks", "factor", "area")},
            )
        return *(there.pop(name) for name in todo.names), *there.values()

    def _drop_held(self, state: ItemState) -> None:
        """Remove what was held of an item whose pictures have been made again, and aren't."""
        for one in state.renditions:
            with suppress(OSError):
                (self.out / state.place(one.output)).unlink()


def _sign(output: Held | Alpha, error: BatchError) -> bytes:
    """What tells whether another fetch gave the same."""
    if isinstance(output, Spooled):
        return output.sha256.encode()
    return sha256(output if isinstance(output, bytes) and output else str(error).encode()).digest()


def _alike(signs: list[bytes], urls: int) -> int:
    """Fetches in a row of each of so many URLs, asked in turn, that gave the same."""
    same = takewhile(lambda back: signs[-back] == signs[-back - urls], range(1, len(signs) - urls + 1))
    return 1 + sum(1 for _ in same) // urls


def _judged(quality: Quality | None, flags: tuple[str, ...]) -> dict[str, Any]:
    """The fields of Saved that say how far the pictures can be trusted, where the alpha was at hand."""
    if quality is None:
        return {"flags": flags}
    from batch_removebg.matting import quality as judge

    return {"quality": asdict(quality), "flags": tuple(dict.fromkeys((*judge.flags(quality), *flags)))}


def _flags(todo: Todo, made: list[Finished]) -> tuple[str, ...]:
    """What is worth a look in the pictures themselves, with their preset before a colon: of those that stay, too."""
    kept = {one.preset for one in todo.kept} - {""}
    stay = [flag for flag in todo.state.flags if flag.rpartition(":")[0] in kept]
    return tuple(dict.fromkeys((*stay, *chain(*(one.flags for one in made)))))


def described(todo: Todo, recipe: str) -> dict[str, Any]:
    """The fields that Saved and Failed have in common."""
    return {
        "item": todo.item.id,
        "source": todo.item.source,
        "recipe": recipe,
        "signature": todo.signature or None,
        "meta": dict(todo.item.meta) or None,
    }
