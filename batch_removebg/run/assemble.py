"""Where the parts are put together: the chain of wrappers around the provider, and the pipeline around that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, BinaryIO

from batch_removebg import manifest
from batch_removebg.clock import Clock
from batch_removebg.events import Event, Kind, Listener
from batch_removebg.ledger.index import Reading
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.snapshot import write_snapshot
from batch_removebg.manifest.stdin import endable_stdin
from batch_removebg.model import Item, Provider, ProxySpec, UrlRow
from batch_removebg.net import fetch
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.concurrency import Concurrency, Slots
from batch_removebg.pipeline.context import Context
from batch_removebg.pipeline.dedup import Deduplicator
from batch_removebg.pipeline.download import Downloader
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.pipeline.planner import Planner
from batch_removebg.pipeline.poll import Poller
from batch_removebg.pipeline.purchase import Purchaser
from batch_removebg.pipeline.reader import Reader
from batch_removebg.pipeline.sources import Sources
from batch_removebg.pipeline.upload import Uploader
from batch_removebg.providers.adaptive_rate import RateLimit
from batch_removebg.providers.base import Operation
from batch_removebg.providers.budget import Budget, Budgeted
from batch_removebg.providers.circuit_breaker import Breaker, Breaking
from batch_removebg.providers.journaled import Journaled
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.prefer_wait import PreferWait, WaitPolicy
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from batch_removebg.providers.replicate import GATEWAY_CAN, HOSTED_CAN, Replicate
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.throttle import Throttled
from batch_removebg.resources import Cpu
from batch_removebg.stop import Gate
from batch_removebg.storage import layout
from batch_removebg.storage.naming import Claims

from .settings import Settings

if TYPE_CHECKING:
    import aiohttp


INDEX = "index.sqlite"
"""The ledger's index in that folder."""

ALPHAS = "alpha"
"""Folder in that for the alphas."""

_OTHERS_AT_ONCE = 16.0
"""Polls and uploads that may be under way at first: their limit is five times that of creates, and bursts pass."""


@asynccontextmanager
async def provider(
    settings: Settings, clock: Clock, loaded: Callable[[str], Awaitable[object]]
) -> AsyncIterator[tuple[Provider, Callable[[], aiohttp.ClientSession]]]:
    """The provider that the settings name, bare, and what gives the session that sources are fetched with.

    `loaded` is told what the local engine runs on, once it is loaded.
    """
    async with (
        fetch.session_at_need(public_only=False) as api,
        fetch.session_at_need(public_only=settings.public_only) as foreign,
    ):
        local = settings.provider == "local"
        chosen = _local(settings, loaded) if local else _remote(settings, api(), foreign(), clock)
        try:
            yield chosen, foreign
        finally:
            await chosen.aclose()


def _local(settings: Settings, loaded: Callable[[str], Awaitable[object]]) -> Provider:
    from batch_removebg.engine import network, weights
    from batch_removebg.providers.local import LocalProvider

    load = partial(
        network.load,
        settings.model,
        progress=lambda done, total: None,
        device=settings.device,
        precision=settings.precision,
    )
    return LocalProvider(weights.known(settings.model), load, loaded=loaded)


def _remote(settings: Settings, api: aiohttp.ClientSession, foreign: aiohttp.ClientSession, clock: Clock) -> Provider:
    hosted = settings.provider == "replicate"
    return Replicate(
        api,
        settings.endpoint(),
        name=settings.provider,
        capabilities=HOSTED_CAN if hosted else GATEWAY_CAN,
        proxy=ProxySpec(longest=settings.proxy_size),
        foreign=foreign,
        caps=settings.caps(),
        clock=clock,
    )


def recipe_of(settings: Settings) -> Recipe:
    """What the pictures of a run are made with."""
    finish = settings.finish()
    limits = (settings.max_size, settings.max_pixels, settings.public_only)
    if settings.provider == "local":
        from batch_removebg.engine import weights
        from batch_removebg.engine.cutout import PROXY

        # Device and precision are no part of what an alpha is known by: their masks differ a little, but a run that is
        # resumed on another machine, or after an installation, must not do everything again.
        version = weights.known(settings.model).version
        return Recipe("local", version, {}, PROXY, finish, passes_urls=False, limits=limits)
    inputs = {settings.input_field: None, **settings.model_inputs}
    proxy = ProxySpec(longest=settings.proxy_size)
    passes_urls = not settings.fetch_sources
    return Recipe(settings.provider, settings.model_version, inputs, proxy, finish, passes_urls, limits)


def planner(settings: Settings, reading: Reading, recipe: Recipe) -> Planner:
    """What decides on each item, with the names that earlier runs have given."""
    claims = Claims(recipe.finish.extension, settings.name, owners=reading.names)
    return Planner(
        reading.fold, claims, out=settings.out, recipe=recipe, retry_failed=settings.retry_failed, reading=reading
    )


def read(
    inputs: Sequence[str], settings: Settings, listener: Listener, stdin: BinaryIO | None = None
) -> Iterator[Item | UrlRow]:
    """The items of a run, lazily."""
    return manifest.read_rows(
        inputs,
        out=settings.out,
        stdin=stdin,
        on_warning=lambda text: listener(Event(Kind.WARNING, text=text)),
    )


def pipeline(
    inputs: Sequence[str],
    settings: Settings,
    bare: Provider,
    session: Callable[[], aiohttp.ClientSession],
    ledger: Ledger,
    reading: Reading,
    *,
    clock: Clock,
    listener: Listener,
    handle_signals: bool,
) -> Pipeline:
    """Everything between the manifest and the ledger."""
    pace, out, gate = pace_of(settings), settings.out, Gate(clock)
    chain = wrapped(bare, settings, ledger, gate, pace, clock=clock, listener=listener)
    context = context_of(
        settings, chain, ledger, session, gate=gate, clock=clock, listener=listener, stream="-" in inputs
    )
    on_hand = OnHand(out, ledger.fold.made, context.recipe.passed)
    lost = LostCreates(
        chain, LostPolicy(resend=1 if settings.on_lost == "retry" else 0), clock=clock, known=ledger.fold.has_prediction
    )
    poller = Poller(chain, pace.times, deadline=settings.deadline, clock=clock)
    stdin, ending = endable_stdin() if "-" in inputs else (None, None)
    return Pipeline(
        context,
        Reader(
            context,
            planner(settings, reading, context.recipe),
            lambda: read(inputs, settings, listener, stdin),
            stop=ending.end if ending is not None else lambda: None,
        ),
        Deduplicator(
            on_hand, context.sources, context.cpu, billed=chain.capabilities.billed, unsettled=ledger.fold.unsettled()
        ),
        Purchaser(context, Uploader(context), poller, lost, pace.budget),
        Downloader(context, on_hand.alphas, out=out),
        lost,
        Slots(pace.width, lambda: pace.creates.rate, clock),
        snapshot=partial(write_snapshot, out / layout.RESULTS, ledger, reading),
        handle_signals=handle_signals,
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """What a run learns of the server, and goes by."""

    creates: RateLimit
    others: RateLimit
    times: RunTimes
    width: Concurrency
    budget: Budget


def pace_of(settings: Settings) -> Pace:
    """What is known before the first answer."""
    # There is nobody to say no in this process.
    window = inf if settings.provider == "local" else 1.0
    creates = RateLimit(settings.rate / 60 if settings.rate else None, window=window)
    others = RateLimit(window=max(window, _OTHERS_AT_ONCE))
    return Pace(creates, others, RunTimes(), settings.width(), Budget(*settings.budget()))


def context_of(
    settings: Settings,
    chain: Provider,
    ledger: Ledger,
    session: Callable[[], aiohttp.ClientSession],
    *,
    gate: Gate,
    clock: Clock,
    listener: Listener,
    stream: bool = False,
) -> Context:
    """What the stages share."""
    cpu = Cpu(budget=settings.pixels())
    sources = Sources(
        session,
        caps=settings.caps(),
        cpu=cpu,
        retry_delay=lambda tries, error: RetryPolicy().delay(tries, error, clock.random()),
        sleep=gate.sleep,
    )
    shape = settings.shape(stream=stream)
    return Context(chain, ledger, recipe_of(settings), sources, cpu, settings.limits(), shape, clock, gate, listener)


def wrapped(
    bare: Provider, settings: Settings, ledger: Ledger, gate: Gate, pace: Pace, *, clock: Clock, listener: Listener
) -> Provider:
    """The provider, safe to pay: each wrapper of the list is around those before it."""

    async def pause(operation: Operation, seconds: float) -> None:
        await (gate.sleep if operation.buying else clock.sleep)(seconds)

    def said(kind: Kind) -> Callable[[str], None]:
        return lambda text: listener(Event(kind, text=text))

    width, known = pace.width, ledger.fold.predictions > 0
    wrappers: list[Callable[[Provider], Provider]] = [
        lambda inner: PreferWait(inner, WaitPolicy(), pace.times),
        lambda inner: Journaled(inner, ledger, gate, clock),
        lambda inner: Budgeted(inner, pace.budget),
        lambda inner: Throttled(
            inner,
            pace.creates,
            pace.others,
            clock=clock,
            pause=pause,
            waited=width.waited,
            answered=width.answered,
            trouble=width.trouble,
        ),
        lambda inner: Breaking(inner, Breaker(known=known), clock=clock, pause=pause, waiting=said(Kind.WARNING)),
        lambda inner: Retrying(inner, RetryPolicy(), clock=clock, pause=pause, waiting=said(Kind.WAITING)),
    ]
    for wrap in wrappers:
        bare = wrap(bare)
    return bare
