"""A worker's part: one item, once it is prepared, is submitted and waited for; or made from what is on hand."""

from __future__ import annotations

import base64
import contextlib
import enum
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch_removebg.clock import Clock
from batch_removebg.errors import (
    BatchError,
    InputRejected,
    ItemError,
    OutputBroken,
    PredictionLost,
    PredictionStuck,
    ResubmitError,
    RetryError,
)
from batch_removebg.ledger.state import ItemState
from batch_removebg.model import CreateRequest, Matte, Prediction, Provider, ProxySpec, Status, Upload
from batch_removebg.providers import wire
from batch_removebg.providers.polling import RunTimes, Watches
from batch_removebg.providers.recovery import Recovery
from batch_removebg.resources import Cpu
from batch_removebg.stop import Gate
from batch_removebg.storage.alpha_cache import AlphaCache

from .cache_key import Recipe
from .prepare import Prepared, Preparer, Todo
from .reuse import Twin, Twins
from .singleflight import Released, Singleflight
from .sources import Sources

if TYPE_CHECKING:
    from batch_removebg.imaging.format import Limits
    from batch_removebg.imaging.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Predicted:
    """An item whose alpha is in reach: at `output_url`, or in hand."""

    prepared: Prepared
    output_url: str | None
    matte: Matte | None
    prediction_id: str | None
    attempts: int
    reused: bool
    twin: Twin | None = None
    """The finished picture itself, made for another item from the same URL."""


@dataclass(frozen=True, slots=True)
class PredictPolicy:
    """How long a prediction is waited for, and how many are bought for one content in a run."""

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
    alphas: AlphaCache
    twins: Twins
    cpu: Cpu
    limits: Limits
    clock: Clock


class Way(enum.Enum):
    """How an item gets its alpha."""

    BUY = "buy"
    """It has the turn of its content: a prediction is to be bought."""
    COPY = "copy"
    """What was bought for the same content is on hand."""
    PARK = "park"
    """The same content is being worked on: it was parked, and comes back once that has ended."""


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
        self._preparer = Preparer(tools.recipe, tools.sources, tools.cpu, tools.limits, tools.clock)
        self._flights: Singleflight[Prepared] = Singleflight()
        self._unsettled = {state.fingerprint: copy(state) for state in unsettled if state.fingerprint}
        self._times = times if times is not None else RunTimes()
        self._watches = Watches(self._times)

    async def prepare(self, todo: Todo) -> tuple[Prepared, bytes | None]:
        """See Preparer."""
        return await self._preparer.prepare(todo)

    async def source_data(self, prepared: Prepared) -> bytes:
        """See `Preparer.data`."""
        return await self._preparer.data(prepared)

    def place(self, prepared: Prepared, data: bytes | None = None, *, in_vain: bool = False) -> Way:
        """The item's way to its alpha; `data`: its source's bytes, where they are at hand.

        `in_vain`: a copy was tried, and what was on hand is damaged or gone. What comes of an item must be told to
        `settled`, unless it is parked.
        """
        key = prepared.fingerprint
        if self.leads(prepared):
            return Way.BUY if in_vain else Way.COPY
        if self._flights.busy(key):
            self._flights.park(key, replace(prepared, data=None))  # read again later: those that wait cost no memory
            return Way.PARK
        if data is not None:
            self._sources.hold(key, data)
        if not in_vain and self._on_hand(prepared):
            return Way.COPY
        self._flights.begin(key, prepared)
        return Way.BUY

    def leads(self, prepared: Prepared) -> bool:
        """Whether the item has the turn of its content, and its copies wait for it."""
        return self._flights.leads(prepared.fingerprint, prepared)

    @property
    def parked(self) -> int:
        """Items that wait for another one with the same content."""
        return self._flights.parked

    def settled(self, prepared: Prepared, error: BaseException | None = None) -> list[Released[Prepared]]:
        """Take in that an item is saved, or came to `error`; gives back the copies that may go on now."""
        self._sources.let_go(prepared.fingerprint)
        return self._flights.end(prepared.fingerprint, error) if self.leads(prepared) else []

    def _on_hand(self, prepared: Prepared) -> bool:
        """Whether an earlier prediction for the same content seems to have left what `copy` needs."""
        if prepared.sha256 is None:
            return self._twins.find(prepared.fingerprint) is not None
        return self._alphas.has(prepared.fingerprint)

    async def copy(self, prepared: Prepared) -> Predicted | None:
        """What an earlier prediction for the same content has left: its alpha, or a finished picture."""
        if prepared.sha256 is None:
            made = self._twins.find(prepared.fingerprint)
            twin = await self._cpu.run(self._twins.load, made) if made is not None else None
            if twin is None:
                return None
            return Predicted(prepared, None, None, twin.prediction_id, twin.attempts, reused=True, twin=twin)
        matte = await self._cpu.run(_kept, self._alphas, prepared.fingerprint)
        if matte is None:
            return None
        state = prepared.todo.state
        return Predicted(prepared, None, matte, state.prediction_id, state.attempts, reused=True)

    async def buy(self, prepared: Prepared, *, data: bytes | None = None, again: bool = False) -> Predicted:
        """A prediction that gives a picture: one that is in flight or was bought for a copy, or a new one.

        `again`: what the last one gave was of no use. Raises the last ResubmitError once the policy's number is spent,
        Stopping if the run ends before one could be bought, and what the content came to earlier in this run.
        """
        turn = self._flights.turn(prepared.fingerprint)
        if turn.refusal is not None:
            raise type(turn.refusal)(str(turn.refusal))
        known = None if again else self._known(prepared)
        others = None if again else turn.open
        in_flight = others or (known.prediction_id if known is not None and known.in_flight else None)
        attempts = turn.bought
        while True:
            try:
                if in_flight is not None:
                    seen = await self._provider.get(in_flight)
                else:
                    self._check_budget(attempts)
                    attempts += 1
                    seen = await self._create(prepared, data, attempts, known)
                    turn.bought = attempts
                if seen.id is not None:
                    turn.spent.append(seen.id)
                turn.open = seen.id
                ended = await self._await_end(seen, polls=self._policy.polls(prepared, seen))
                url = wire.result(ended)
            except ResubmitError as error:
                error.attempts, turn.open = attempts, None
                if not self.may_buy(attempts):
                    raise
            except BatchError as error:
                error.attempts = attempts
                raise
            else:
                turn.bought = max(1, attempts)
                return Predicted(prepared, url, None, ended.id, turn.bought, reused=others is not None)
            in_flight = known = others = None
            await self._gate.sleep(self._policy.pause)

    def _check_budget(self, attempts: int) -> None:
        if not self.may_buy(attempts):
            raise PredictionLost(f"{attempts} predictions were bought for the same content, and their output is gone")

    def may_buy(self, attempts: int) -> bool:
        """Whether the policy allows another prediction after so many."""
        return attempts < self._policy.predictions

    def _known(self, prepared: Prepared) -> ItemState | None:
        """What an earlier run has begun to buy for this content, be it under another item's name."""
        own, other = prepared.todo.state, self._unsettled.pop(prepared.fingerprint, None)
        begun = (own.in_flight or own.lost is not None) and own.fingerprint == prepared.fingerprint
        return own if begun else other

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
            spent=(*filter(None, earlier), *self._flights.turn(prepared.fingerprint).spent),
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
        state, upload = prepared.todo.state, self._flights.turn(prepared.fingerprint).upload
        if upload is None and state.upload is not None and state.fingerprint == prepared.fingerprint:
            upload = Upload(state.upload.url, wire.when(state.upload.until))
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
        self._flights.turn(prepared.fingerprint).upload = upload
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

        from batch_removebg.imaging.proxy import proxy as make_proxy

        data = data if data is not None else await self.source_data(prepared)
        async with self._cpu.memory(prepared.cost):
            return await self._cpu.run(make_proxy, data, spec, self._limits)

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


def _kept(alphas: AlphaCache, fingerprint: str) -> Matte | None:
    """The matte that is kept, or None where there is none or it is damaged."""
    from batch_removebg.matting.matte import decode_matte

    data = alphas.load(fingerprint)
    if data is None:
        return None
    try:
        return decode_matte(data)
    except OutputBroken:
        return None
