"""A worker's part: one item becomes prepared, submitted, and waited for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batch_removebg.alphas import Alphas
from batch_removebg.clock import Clock
from batch_removebg.cpu import Cpu
from batch_removebg.errors import (
    BatchError,
    InputRejected,
    ItemError,
    PredictionLost,
    PredictionStuck,
    ResubmitError,
    RetryError,
    SourceError,
)
from batch_removebg.fold import ItemState
from batch_removebg.model import CreateRequest, Item, Prediction, Provider, ProxySpec, Status, Upload
from batch_removebg.provider import parse
from batch_removebg.provider.gate import Gate
from batch_removebg.provider.recovery import Recovery
from batch_removebg.provider.runtimes import RunTimes, Watches
from batch_removebg.recipe import Recipe
from batch_removebg.singleflight import Singleflight
from batch_removebg.sources import Sources
from batch_removebg.twins import Twin, Twins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from batch_removebg.pixels.decode import Proxy
    from batch_removebg.pixels.spec import Limits


@dataclass(frozen=True, slots=True)
class Todo:
    """An item that is to be done, with what is known of it."""

    item: Item
    output: str
    """Name claimed for it, relative to OUT."""
    state: ItemState
    """As the ledger had it when the item was read."""
    signature: str | None = None
    """Size and times of the file, taken before it is read; None for a URL."""
    finished_if_same: bool = False
    """Nothing is to be done if the content is what it was: only times of the file have changed."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source, looked at."""

    todo: Todo
    fingerprint: str
    sha256: str | None
    """Of the source; None where a URL is passed through."""
    width: int
    height: int
    """Of the upright source in pixels; 0 where a URL is passed through."""
    cost: int
    """Bytes that finishing it will take."""
    data: bytes | None
    """Kept only where reading it again would be a second download."""
    notes: tuple[str, ...]
    started: float


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item whose alpha is in reach: at `output_url`, or in hand."""

    prepared: Prepared
    output_url: str | None
    alpha: NDArray[np.uint8] | None
    prediction_id: str | None
    attempts: int
    reused: bool
    twin: Twin | None = None
    """The finished picture itself, made for another item from the same URL."""


@dataclass(frozen=True, slots=True)
class PredictPolicy:
    """How long a prediction is waited for, and how many are bought for one item."""

    predictions: int = 3
    deadline: float = 900.0
    """Seconds from our first sight of a prediction to its end; then it is cancelled and another is tried."""
    pause: float = 1.0
    """Seconds before a spent prediction is replaced."""
    upload_left: float = 600.0
    """Seconds that an upload must still be held for to be used again: a prediction may wait before it reads it."""
    requests: float = 4.0
    """API requests for one item that are aimed at: uploads, the create, and polls."""
    late_polls: float = 8.0
    """Polls for one whose create was kept back in vain: such items are few."""

    def polls(self, prepared: Prepared, created: Prediction) -> float:
        """Polls that one prediction may cost, as far as it takes no longer than is usual."""
        if created.wait_honoured and not created.status.terminal:
            return self.late_polls
        return self.requests - 1 - (prepared.sha256 is not None)


@dataclass(frozen=True, slots=True)
class Tools:
    """What workers and downloaders share."""

    recipe: Recipe
    sources: Sources
    alphas: Alphas
    twins: Twins
    cpu: Cpu
    limits: Limits
    clock: Clock


@dataclass(slots=True)
class _Bought:
    """What this run has uploaded and bought for a source that is being worked on."""

    upload: Upload | None = None
    spent: list[str] = field(default_factory=list)


class Predictor:
    """Turns items to be done into predictions that have ended well."""

    def __init__(
        self,
        provider: Provider,
        recovery: Recovery,
        tools: Tools,
        *,
        policy: PredictPolicy,
        gate: Gate,
        times: RunTimes | None = None,
        unsettled: Iterable[ItemState] = (),
    ) -> None:
        """`times`: how long the model takes, learned here and used by others too.

        `unsettled`: what earlier runs have begun to buy; whichever item has the same source takes it up.
        """
        self._provider = provider
        self._recovery = recovery
        self._recipe = tools.recipe
        self._sources = tools.sources
        self._alphas = tools.alphas
        self._twins = tools.twins
        self._cpu = tools.cpu
        self._limits = tools.limits
        self._clock = tools.clock
        self._policy = policy
        self._gate = gate
        self._flights = Singleflight()
        self._bought: dict[str, _Bought] = {}
        self._unsettled = {state.fingerprint: replace(state) for state in unsettled if state.fingerprint}
        self._times = times if times is not None else RunTimes()
        self._watches = Watches(self._times)

    async def predict(self, todo: Todo) -> Predicted | Prepared:
        """The item with its alpha in reach, or merely prepared where it turns out to be finished already.

        Of items with the same content one is worked on at a time: what comes of it must be told to `settled`.
        """
        started = self._clock.monotonic()
        prepared, data = await self._prepare(todo, started)
        if todo.finished_if_same and prepared.sha256 and prepared.sha256 == todo.state.source_sha256:
            return prepared
        if self._flights.busy(prepared.fingerprint):
            data = None  # read again when it is its turn: those that wait shall cost no memory
        await self._flights.enter(prepared.fingerprint)
        self._bought[prepared.fingerprint] = _Bought()
        if data is not None:
            self._sources.hold(prepared.fingerprint, data)
        try:
            return await self._kept(prepared) or await self.buy(prepared, data=data)
        except BaseException as error:
            self.settled(prepared, error)
            raise

    def settled(self, prepared: Prepared, error: BaseException | None = None) -> None:
        """Take in that an item is saved, or came to `error`: the next one with the same content may go on."""
        del self._bought[prepared.fingerprint]
        self._sources.let_go(prepared.fingerprint)
        self._flights.leave(prepared.fingerprint, error)

    async def _kept(self, prepared: Prepared) -> Predicted | None:
        """What an earlier prediction for the same content has left: its alpha, or a finished picture."""
        if prepared.sha256 is None:
            made = self._twins.find(prepared.fingerprint)
            twin = await self._cpu.run(self._twins.load, made) if made is not None else None
            if twin is None:
                return None
            return Predicted(prepared, None, None, twin.prediction_id, twin.attempts, reused=True, twin=twin)
        alpha = await self._cpu.run(self._alphas.load, prepared.fingerprint)
        if alpha is None:
            return None
        state = prepared.todo.state
        return Predicted(prepared, None, alpha, state.prediction_id, state.attempts, reused=True)

    async def buy(self, prepared: Prepared, *, data: bytes | None = None, attempts: int = 0) -> Predicted:
        """A prediction that gives a picture: the one in flight since an earlier run, or a new one.

        `attempts` have been bought before and gave nothing. Raises the last ResubmitError once the policy's number is
        spent, Stopping if the run ends before one could be bought.
        """
        known = None if attempts else self._known(prepared)
        in_flight = known.prediction_id if known is not None and known.in_flight else None
        while True:
            try:
                if in_flight is not None:
                    seen = await self._provider.get(in_flight)
                else:
                    attempts += 1
                    seen = await self._create(prepared, data, attempts, known)
                if seen.id is not None:
                    self._bought[prepared.fingerprint].spent.append(seen.id)
                ended = await self._await_end(seen, polls=self._policy.polls(prepared, seen))
                url = parse.result(ended)
            except ResubmitError as error:
                error.attempts = attempts
                if not self.may_buy(attempts):
                    raise
            except BatchError as error:
                error.attempts = attempts
                raise
            else:
                return Predicted(prepared, url, None, ended.id, max(1, attempts), reused=False)
            in_flight = known = None
            await self._gate.sleep(self._policy.pause)

    def may_buy(self, attempts: int) -> bool:
        """Whether the policy allows another prediction after so many."""
        return attempts < self._policy.predictions

    async def source_data(self, prepared: Prepared) -> bytes:
        """The bytes of a prepared source again; raises SourceError if it has to be read and has changed since."""
        held = prepared.data or self._sources.held(prepared.fingerprint)
        if held is not None:
            return held
        data = await self._sources.read(prepared.todo.item)
        if await self._cpu.run(_sha256, data) != prepared.sha256:
            raise SourceError("changed while it was being done; run again to do it anew")
        return data

    def _known(self, prepared: Prepared) -> ItemState | None:
        """What an earlier run has begun to buy for this content, be it under another item's name."""
        own, other = prepared.todo.state, self._unsettled.pop(prepared.fingerprint, None)
        begun = (own.in_flight or own.lost is not None) and own.fingerprint == prepared.fingerprint
        return own if begun else other

    async def _prepare(self, todo: Todo, started: float) -> tuple[Prepared, bytes | None]:
        item, recipe = todo.item, self._recipe
        if item.problem is not None:
            raise SourceError(item.problem)
        if item.path is None and recipe.passes_urls:
            fingerprint = recipe.fingerprint(item.source)
            return Prepared(todo, fingerprint, None, 0, 0, 0, None, (), started), None
        from batch_removebg.pixels import decode

        data = await self._sources.read(item)
        sha256 = await self._cpu.run(_sha256, data)
        header = await self._cpu.run(decode.probe, data, self._limits)
        prepared = Prepared(
            todo=todo,
            fingerprint=recipe.fingerprint(sha256),
            sha256=sha256,
            width=header.width,
            height=header.height,
            cost=decode.cost(header, recipe.finish),
            data=data if item.path is None else None,
            notes=header.notes,
            started=started,
        )
        return prepared, data

    async def _create(
        self, prepared: Prepared, data: bytes | None, attempt: int, known: ItemState | None
    ) -> Prediction:
        """Buy a prediction; `known`: what an earlier run has begun to buy, of which a create may have been lost."""
        todo = prepared.todo
        image = await self._image(prepared, data)
        earlier = (todo.state.prediction_id, *todo.state.spent, *(known.spent if known is not None else ()))
        request = CreateRequest(
            item=todo.item.id,
            image=image.url,
            output=todo.output,
            fingerprint=prepared.fingerprint,
            attempt=attempt,
            until=image.expires_at,
            spent=(*filter(None, earlier), *self._bought[prepared.fingerprint].spent),
        )
        lost = known.lost if known is not None and self._provider.capabilities.billed else None
        return await self._recovery.create(request, lost)

    async def _image(self, prepared: Prepared, data: bytes | None) -> Upload:
        """The model's input: the URL itself, an uploaded proxy, or a proxy as data URI."""
        if prepared.sha256 is None:
            return Upload(prepared.todo.item.source)
        if self._provider.capabilities.files:
            return self._held(prepared) or await self._upload(prepared, data)
        return Upload(await self._data_uri(prepared, data))

    def _held(self, prepared: Prepared) -> Upload | None:
        """The upload of an earlier attempt, in this run or another, if the server says it is held for long enough."""
        state, upload = prepared.todo.state, self._bought[prepared.fingerprint].upload
        if upload is None and state.upload is not None and state.fingerprint == prepared.fingerprint:
            upload = Upload(state.upload.url, parse.when(state.upload.until))
        if upload is None or upload.expires_at is None:
            return None
        left = upload.expires_at.timestamp() - self._clock.wall()
        return upload if left >= self._policy.upload_left else None

    async def _upload(self, prepared: Prepared, data: bytes | None) -> Upload:
        spec = self._provider.proxy
        proxy = await self._proxy(prepared, data, spec)
        name = f"{prepared.fingerprint}.{'jpg' if spec.encoding == 'jpeg' else spec.encoding}"
        upload = await self._provider.upload(proxy.data, filename=name, content_type=proxy.content_type)
        if upload.expires_at is not None and upload.expires_at.timestamp() <= self._clock.wall():
            upload = replace(upload, expires_at=None)  # by a clock that is not ours
        self._bought[prepared.fingerprint].upload = upload
        return upload

    async def _data_uri(self, prepared: Prepared, data: bytes | None) -> str:
        can, spec = self._provider.capabilities, self._provider.proxy
        while True:
            proxy = await self._proxy(prepared, data, spec)
            if len(proxy.data) * 4 // 3 + 64 <= can.data_uri_limit:
                return f"data:{proxy.content_type};base64,{base64.b64encode(proxy.data).decode()}"
            if spec.longest <= 256:
                raise InputRejected("can't be made small enough for a data URI")
            spec = replace(spec, longest=min(spec.longest, max(proxy.width, proxy.height)) * 4 // 5)

    async def _proxy(self, prepared: Prepared, data: bytes | None, spec: ProxySpec) -> Proxy:
        from batch_removebg.pixels import decode

        data = data if data is not None else await self.source_data(prepared)
        async with self._cpu.memory(prepared.cost):
            return await self._cpu.run(decode.proxy, data, spec, self._limits)

    async def _await_end(self, seen: Prediction, *, polls: float) -> Prediction:
        """Poll until the prediction has ended; raises PredictionStuck after the deadline, having cancelled it.

        `polls`: how many a prediction of the usual length may cost.
        """
        begun, with_output, before = self._clock.monotonic() - seen.held, 0, 0.0
        timed = seen.held > 0  # begun here and now, and not in an earlier run
        watch = self._watches.begin()
        while not seen.status.terminal:
            if seen.id is None:
                raise PredictionLost("the server gave a prediction without an id, and without a result")
            # Some servers fill the output in while they still say `processing`; seen twice, it is whole.
            with_output += seen.output is not None
            if with_output > 1:
                break
            before = self._clock.monotonic() - begun
            if before >= self._policy.deadline:
                await self._give_up_on(seen.id)
                raise PredictionStuck(f"prediction {seen.id} did not end within {self._policy.deadline:.0f} s")
            waited = 0.0
            # Looked at anew now and then: what others have shown meanwhile holds for this one as well.
            while (wait := watch.delay(self._times.schedule(polls), before) - waited) > 0.001:
                await self._clock.sleep(min(wait, max(1.0, (before + waited) / 8)))
                waited = self._clock.monotonic() - begun - before
            seen = await self._provider.get(seen.id)
            if not seen.status.terminal:
                watch.goes_on(self._clock.monotonic() - begun)
        watch.ended()
        if seen.status is Status.SUCCEEDED and seen.ran is not None:
            self._times.add(seen.ran)
        elif seen.status is Status.SUCCEEDED and timed:
            self._times.between(before, self._clock.monotonic() - begun)
        return seen

    async def _give_up_on(self, prediction_id: str) -> None:
        # A cancel that fails changes nothing: the prediction is given up either way.
        with contextlib.suppress(RetryError, ItemError):
            await self._provider.cancel(prediction_id)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
