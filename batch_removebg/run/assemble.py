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
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.journal import Ledger
from batch_removebg.ledger.results import write_snapshot
from batch_removebg.manifest.stdin import endable_stdin
from batch_removebg.model import Item, Provider, ProxySpec, UrlRow
from batch_removebg.net import fetch
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.concurrency import Width
from batch_removebg.pipeline.download import Downloader
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.pipeline.planner import Planner
from batch_removebg.pipeline.predict import Predictor, PredictPolicy, Tools
from batch_removebg.pipeline.reuse import Twins
from batch_removebg.pipeline.sources import Sources
from batch_removebg.providers.adaptive_rate import Limit
from batch_removebg.providers.budget import Budgeted
from batch_removebg.providers.circuit_breaker import Breaker, Breaking
from batch_removebg.providers.journaled import Journaled
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.prefer_wait import Waiting, WaitPolicy
from batch_removebg.providers.recovery import LostPolicy, Recovery
from batch_removebg.providers.replicate import GATEWAY_CAN, HOSTED_CAN, Replicate
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.throttle import Throttled
from batch_removebg.resources import Cpu
from batch_removebg.stop import Gate
from batch_removebg.storage import layout
from batch_removebg.storage.alpha_cache import AlphaCache
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
        chosen = _local(settings, clock, loaded) if local else _remote(settings, api(), foreign(), clock)
        try:
            yield chosen, foreign
        finally:
            await chosen.aclose()


def _local(settings: Settings, clock: Clock, loaded: Callable[[str], Awaitable[object]]) -> Provider:
    from batch_removebg.engine import network, weights
    from batch_removebg.providers.local import LocalProvider

    load = partial(
        network.load,
        settings.model,
        progress=lambda done, total: None,
        device=settings.device,
        precision=settings.precision,
    )
    return LocalProvider(weights.known(settings.model), load, loaded=loaded, clock=clock)


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


def planner(settings: Settings, reading: RunItems, recipe: Recipe) -> Planner:
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
    reading: RunItems,
    *,
    clock: Clock,
    listener: Listener,
    handle_signals: bool,
) -> Pipeline:
    """Everything between the manifest and the ledger."""
    gate = Gate(clock)
    pace = pace_of(settings)
    chain = wrapped(bare, settings, ledger, gate, pace, clock=clock, listener=listener)
    lost = LostPolicy(resend=1 if settings.on_lost == "retry" else 0)
    recovery = Recovery(chain, ledger, lost, clock=clock, known=ledger.fold.has_prediction)
    tools = toolbox(settings, session, gate, clock, ledger.fold)
    policy = PredictPolicy(deadline=settings.deadline)
    unsettled = ledger.fold.unsettled()
    predictor = Predictor(chain, recovery, tools, policy=policy, gate=gate, times=pace.times, unsettled=unsettled)
    stdin, ending = endable_stdin() if "-" in inputs else (None, None)
    return Pipeline(
        lambda: read(inputs, settings, listener, stdin),
        planner(settings, reading, tools.recipe),
        predictor,
        Downloader(chain, predictor, ledger, tools, out=settings.out),
        ledger,
        recipe=tools.recipe,
        gate=gate,
        shape=settings.shape(stream="-" in inputs),
        clock=clock,
        listener=listener,
        snapshot=partial(write_snapshot, settings.out / layout.RESULTS, ledger, reading),
        width=pace.width,
        rate=lambda: pace.creates.rate,
        stop_reading=ending.end if ending is not None else lambda: None,
        abandon=bare.abandon,
        handle_signals=handle_signals,
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """What a run learns of the server, and goes by."""

    creates: Limit
    others: Limit
    times: RunTimes
    width: Width


def pace_of(settings: Settings) -> Pace:
    """What is known before the first answer."""
    # There is nobody to say no in this process.
    window = inf if settings.provider == "local" else 1.0
    creates = Limit(settings.rate / 60 if settings.rate else None, window=window)
    others = Limit(window=max(window, _OTHERS_AT_ONCE))
    return Pace(creates, others, RunTimes(), settings.width())


def toolbox(
    settings: Settings, session: Callable[[], aiohttp.ClientSession], gate: Gate, clock: Clock, fold: IndexedFold
) -> Tools:
    """What workers and downloaders share."""
    sources = Sources(
        session,
        caps=settings.caps(),
        retry_delay=lambda tries, error: RetryPolicy().delay(tries, error, clock.random()),
        sleep=gate.sleep,
    )
    recipe, alphas = recipe_of(settings), AlphaCache(settings.out / layout.ALPHAS)
    twins = Twins(fold.made, settings.out, recipe.passed)
    return Tools(recipe, sources, alphas, twins, Cpu(budget=settings.pixels()), settings.limits(), clock)


def wrapped(
    bare: Provider, settings: Settings, ledger: Ledger, gate: Gate, pace: Pace, *, clock: Clock, listener: Listener
) -> Provider:
    """The provider, safe to pay.

    Tried again ← held while the server is down ← to the rate ← within the budget ← on record ← kept waiting ← one
    exchange.
    """
    on_record = Journaled(Waiting(bare, WaitPolicy(), pace.times), ledger, gate, clock)
    limit, named = settings.budget()
    budgeted = Budgeted(on_record, limit, named=named)
    throttled = Throttled(
        budgeted,
        pace.creates,
        pace.others,
        clock=clock,
        sleep_before_create=gate.sleep,
        waited=pace.width.waited,
        trouble=pace.width.trouble,
    )

    def waiting(text: str) -> None:
        listener(Event(Kind.WAITING, text=text))

    def down(text: str) -> None:
        listener(Event(Kind.WARNING, text=text))

    breaker = Breaker(known=ledger.fold.predictions > 0)
    held = Breaking(throttled, breaker, clock=clock, sleep_before_create=gate.sleep, waiting=down)
    return Retrying(held, RetryPolicy(), clock=clock, sleep_before_create=gate.sleep, waiting=waiting)
