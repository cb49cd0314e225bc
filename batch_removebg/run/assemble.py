"""The parts of a run put together: the chain of wrappers around the provider, and the pipeline around that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_removebg.clock import Clock, stamp
from batch_removebg.engine import weights
from batch_removebg.events import Event, Kind, Listener, ignore
from batch_removebg.finish.presets import Preset, Rule
from batch_removebg.ledger.index.indexed_state import IndexedFold
from batch_removebg.ledger.index.run_items import RunItems
from batch_removebg.ledger.index.schema import FLAGGED
from batch_removebg.ledger.journal import Ledger, look, refiled
from batch_removebg.ledger.results import write_snapshot
from batch_removebg.manifest.reader import Reading, read_rows
from batch_removebg.manifest.text import endable_stdin
from batch_removebg.model import Provider, ProxySpec
from batch_removebg.net import fetch
from batch_removebg.net.urls import scrubbed
from batch_removebg.pipeline.brake import Brake
from batch_removebg.pipeline.cache_key import Recipe
from batch_removebg.pipeline.concurrency import Slots
from batch_removebg.pipeline.context import Context
from batch_removebg.pipeline.dedup import Deduplicator
from batch_removebg.pipeline.download import Downloader
from batch_removebg.pipeline.edits import Edits
from batch_removebg.pipeline.on_hand import OnHand
from batch_removebg.pipeline.pipeline import Pipeline
from batch_removebg.pipeline.planner import Again, Planner
from batch_removebg.pipeline.purchase import Poller, Purchaser
from batch_removebg.pipeline.reader import Reader
from batch_removebg.pipeline.scales import Scales
from batch_removebg.pipeline.sources import Sources
from batch_removebg.pipeline.watchers import Handled
from batch_removebg.providers.adaptive_rate import RateLimit
from batch_removebg.providers.base import BUYING, Operation
from batch_removebg.providers.circuit_breaker import Breaker, Breaking, Hosts, may_buy
from batch_removebg.providers.journaled import Budget, Journaled
from batch_removebg.providers.polling import RunTimes
from batch_removebg.providers.prefer_wait import PreferWait
from batch_removebg.providers.recovery import LostCreates, LostPolicy
from batch_removebg.providers.replicate import GATEWAY_CAN, HOSTED_CAN, Replicate
from batch_removebg.providers.retry import Retrying, RetryPolicy
from batch_removebg.providers.throttle import Throttled
from batch_removebg.providers.wire import key_of
from batch_removebg.resources import Cpu, Memory
from batch_removebg.stop import Gate
from batch_removebg.storage import layout
from batch_removebg.storage.bucket import Bucket
from batch_removebg.storage.naming import Claims
from batch_removebg.storage.outputs import Folder, Outputs
from batch_removebg.workers import reading
from batch_removebg.workers.base import Workers
from batch_removebg.workers.here import Here
from batch_removebg.workers.remote import Fetching, Place, Remote, joined

from .budget import per_minute
from .settings import Settings
from .shards import require_place
from .window import Window, keep

if TYPE_CHECKING:
    import aiohttp

    from batch_removebg.engine.network import Network


_ANSWER_AHEAD = 1 << 16  # aiohttp keeps twice as many bytes of an answer that isn't read yet
_FRESH = 6 * 3600.0  # seconds for which a host isn't asked again whether a picture has changed
_ACTORS_A_CARD = 8  # while one's network runs, the others decode and encode
_OTHERS_AT_ONCE = 16.0
"""Polls and uploads in flight at first: their limit is five times that of creates, and bursts are allowed."""


def shared(settings: Settings) -> Settings:
    """The same with paths that mean the same on all nodes, where workers are those of a cluster."""
    if not settings.away:
        return settings
    model = settings.model
    if model is not None and model.endswith(".onnx"):
        model = str(Path(model).expanduser().absolute())
    return replace(settings, out=settings.out.absolute(), model=model)


@asynccontextmanager
async def _away(settings: Settings) -> AsyncIterator[Remote | None]:
    """The workers of a cluster, where the run has some."""
    if not settings.away:
        yield None
        return
    forms = tuple(finish.format for finish in recipe_of(settings).finishes)
    load = _load(settings) if settings.local else None
    place = Place(
        settings.out, settings.limits(), settings.fetching(), settings.headers(), forms, settings.bucket, load
    )
    gpus = 1 / _ACTORS_A_CARD if settings.local and settings.device == "cuda" else 0.0
    async with joined(settings.workers, place, gpus=gpus) as workers:
        yield workers


def _load(settings: Settings) -> partial[Network]:
    from batch_removebg.engine import process

    batched = not settings.away  # an actor has one picture at a time
    return partial(process.opened, settings.network, settings.device, settings.precision, batched=batched)


@asynccontextmanager
async def provider(
    settings: Settings, clock: Clock, cpu: Cpu, loaded: Callable[[str], Awaitable[object]]
) -> AsyncIterator[tuple[Provider, Workers]]:
    """The bare provider, and the workers; `loaded` is called with what the engine runs on."""
    async with (
        _away(settings) as cluster,
        fetch.lazy_session(public_only=False, read_ahead=_ANSWER_AHEAD) as api,
        fetch.lazy_session(public_only=False, reuse=False) as outputs,
        fetch.lazy_session(public_only=settings.public_only, reuse=False) as foreign,
    ):
        workers: Workers = cluster or workers_here(foreign, settings, cpu)
        if cluster is not None and isinstance(settings.lasting.outputs, Bucket):
            settings.lasting.outputs.send = cluster.sent
        if settings.own is not None:
            yield settings.own, workers
            return
        if settings.local:
            from batch_removebg.engine import process
            from batch_removebg.providers.local import LocalProvider

            engine: process.Engine = cluster or (settings.lasting.engines or process.NetworkProcess)(
                _load(settings), cpu, settings.batch
            )
            async with aclosing(LocalProvider(settings.network, engine, loaded=loaded)) as local:
                yield local, workers
            return
        endpoint = settings.endpoint()
        remote = Replicate(
            endpoint=endpoint,
            name=settings.provider,
            capabilities=HOSTED_CAN if settings.provider == "replicate" else GATEWAY_CAN,
            proxy=ProxySpec(longest=settings.proxy_size),
            fetching=settings.fetching(),
            memory=Memory(settings.answers()),
            scratch=settings.out / layout.STATE,
            clock=clock,
            session=api(),
            foreign=foreign(),
            outputs=outputs(),
        )
        yield remote if cluster is None else Fetching(remote, endpoint, cluster), workers


def looked(settings: Settings) -> IndexedFold:
    """The ledger as it is, without writing anything; to be closed. Raises SettingsError as `require_place`."""
    require_place(settings.out, settings.own_shard)
    return look(settings.out / layout.LEDGER, settings.out / layout.INDEX, start_over=settings.start_over)


def going_on(settings: Settings, fold: IndexedFold, listener: Listener) -> Settings:
    """The settings with the network that OUT was last made with, where none is asked for; raises SettingsError."""
    if not settings.local or settings.model is not None or settings.model_class is not None or settings.start_over:
        return settings
    name = weights.going_on(fold.version or "") if fold.provider == "local" else None
    if name is None or name == settings.network.name:
        return settings
    text = f"goes on with {name}, which {settings.out} was made with; the default is {settings.network.name} now: "
    listener(Event(Kind.NOTE, text=f"{text}--class {weights.DEFAULT} makes all pictures anew"))
    return replace(settings, model=name)


def recipe_of(settings: Settings) -> Recipe:
    """What the pictures of a run are made with."""
    finish, *more = settings.finishes()
    limits = (settings.max_size, settings.max_pixels, settings.public_only)
    who: tuple[str, str, Mapping[str, Any], ProxySpec]
    if (own := settings.own) is not None:
        who = own.name, own.version, {}, own.proxy
    elif settings.local:
        # Device and precision don't identify an alpha: masks differ a little between them, but a run resumed on another
        # machine, or after an installation, must not do everything again.
        who = "local", settings.network.version, {}, settings.network.proxy
    else:
        inputs = {settings.input_field: None, **settings.model_inputs}
        who = settings.provider, settings.model_version, inputs, ProxySpec(longest=settings.proxy_size)
    passes_urls = not (settings.local or settings.fetch_sources)
    return Recipe(*who, finish, passes_urls, limits, tuple(more), settings.part.redo)


def outputs(settings: Settings) -> Outputs:
    """Where the pictures are."""
    return settings.lasting.outputs or Folder(settings.out)


def planner(settings: Settings, reading: RunItems, recipe: Recipe, clock: Clock, edits: Edits) -> Planner:
    """The planner, which knows the names given by earlier runs, and what pictures of a group allow."""
    claims, *more = _claims(settings, recipe, reading)
    ignored = settings.reading().identity.ignored
    reading.fold.refile(refiled(settings.out / layout.LEDGER, recipe.fingerprint, ignored))
    doubted = reading.fold.each(FLAGGED) if settings.escalate else ()
    doubted = ((key, state) for key, state in doubted if state.edited is None)
    doubtful = {key for key, state in doubted if settings.network.doubts(state.flags, state.engine)}
    before = stamp(clock.wall() - _FRESH)
    part, how = settings.part, (settings.retry_failed, settings.force, doubtful, settings.refresh, before)
    again = Again(*how, only=part.only, aside=part.aside, redone=part.redone, anew=part.anew)
    again = replace(again, by_picture=settings.lasting.arrivals is None)
    again.met.update(set(part.aside).intersection(settings.force or ()))
    scales = None
    if settings.scale_group is not None:
        alone = recipe_of(replace(settings, scale_group=None, scale_equal="scale"))
        scales = Scales(recipe, alone, settings.scale_group, settings.scale_equal)
        scales.add(state for _, state in reading.fold.each())
    return Planner(reading.fold, claims, outputs(settings), recipe, again, reading, tuple(more), scales, edits)


def _claims(settings: Settings, recipe: Recipe, reading: RunItems) -> list[Claims]:
    """What gives the pictures their names: one for each preset, in a folder of its own, else one."""
    presets = settings.presets() or (Preset(),)
    return [
        Claims(
            finish.extension,
            settings.name,
            owners=reading.names,
            folder=preset.preset,
            first=preset.name or "",
            patterns=preset.required.get("name", Rule()).any,
        )
        for preset, finish in zip(presets, recipe.finishes, strict=True)
    ]


def on_hand(settings: Settings, fold: IndexedFold, recipe: Recipe, edits: Edits) -> OnHand:
    """What there is of earlier predictions, but for alphas that a better network is to make again."""
    how: dict[str, Any] = {"buy_again": settings.buy_again, "outputs": outputs(settings)}
    doubtful = settings.network.doubtful if settings.escalate else None
    return OnHand(settings.out, fold.made, recipe.copied, doubtful=doubtful, edits=edits, **how)


def reading_of(settings: Settings, listener: Listener) -> Reading:
    """How a run reads its INPUTs, and tells of it."""
    quiet = settings.reading()
    choice = replace(quiet.choice, note=_teller(listener, Kind.NOTE))
    return replace(quiet, choice=choice, warn=_teller(listener, Kind.WARNING))


def workers_here(session: Callable[[], aiohttp.ClientSession], settings: Settings, cpu: Cpu) -> Workers:
    """What works on pixels on this machine."""
    return Here(cpu, reading.Reader(session, settings.fetching(), settings.headers()), settings.limits())


def sources(
    workers: Workers,
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]],
    listener: Listener = ignore,
) -> Sources:
    """What reads files and URLs."""
    return Sources(
        workers,
        retry_delay=lambda tries, error: RetryPolicy().delay(tries, error, clock.random()),
        sleep=sleep,
        clock=clock,
        say=_teller(listener, Kind.WARNING),
    )


def context_of(
    settings: Settings,
    bare: Provider,
    ledger: Ledger,
    workers: Workers,
    *,
    cpu: Cpu,
    clock: Clock,
    listener: Listener,
    stream: bool = False,
) -> Context:
    """What the stages share, before the provider is wrapped."""
    gate = Gate(clock)
    limits, shape = settings.limits(), settings.shape(stream=stream)
    known = not bare.capabilities.billed or ledger.fold.proven == f"{bare.name} {bare.version}"
    brake, read = Brake(gate.close, known), sources(workers, clock, gate.sleep, listener)
    recipe, arrivals = recipe_of(settings), settings.lasting.arrivals
    return Context(bare, ledger, recipe, read, cpu, workers, limits, shape, clock, gate, listener, brake, arrivals)


def pipeline(
    inputs: Sequence[str],
    settings: Settings,
    bare: Context,
    *,
    handle_signals: Handled,
    window: Window | None = None,
    may_send: Callable[[], Awaitable[None]] | None = None,
) -> Pipeline:
    """Everything between the manifest and the ledger; `bare` is the run's context with the provider as it is."""
    pace, out, ledger = Pace(settings, bare.ledger.fold.billed), settings.out, bare.ledger
    context, reading = replace(bare, provider=wrapped(bare, pace, may_send)), reading_of(settings, bare.notify)
    reading = replace(reading, keep=ledger.run_items.table.keep)
    edits = Edits.of(ledger.decisions)
    kept = on_hand(settings, ledger.fold, context.recipe, edits)
    most = context.workers.most if settings.concurrency is None else lambda: inf
    policy = LostPolicy(resend=1 if settings.on_lost == "retry" else 0)
    lost = LostCreates(context.provider, policy, clock=context.clock, known=ledger.fold.has_prediction, key=pace.key)
    stdin = endable_stdin(lambda: context.gate.reason is not None) if context.shape.stream else None
    rows, arrivals = read_rows(inputs, reading, stdin), context.arrivals
    return Pipeline(
        context,
        Reader(
            context,
            planner(settings, ledger.run_items, context.recipe, context.clock, edits),
            rows if arrivals is None else filter(arrivals.ready, rows),
            reading.folders.left_out,
            reading.whole if reading.shard is not None else None,
        ),
        Deduplicator(context, kept, unsettled=ledger.fold.unsettled()),
        Purchaser(context, Poller(context, pace.times, settings.deadline), lost, pace.budget),
        Downloader(context, kept, out=out, hold=settings.hold_flagged),
        Slots(pace.concurrency, lambda: pace.creates.rate, context.clock, most),
        snapshot=partial(write_snapshot, out / layout.RESULTS, ledger),
        handle_signals=handle_signals,
        window=partial(keep, window) if window is not None else None,
        warm=getattr(bare.provider, "open", None) if settings.local else None,
    )


class Pace:
    """What a run learns about the server, and adapts to; it begins with what is known before the first answer."""

    def __init__(self, settings: Settings, billed: int = 0) -> None:
        window = inf if settings.local else 1.0  # the local engine refuses nothing
        self.key = partial(key_of, ignored=settings.reading().identity.ignored)
        pace = per_minute(settings, settings.own_shard)
        self.creates = RateLimit(pace / 60 if pace else None, window=window)
        self.others = RateLimit(window=max(window, _OTHERS_AT_ONCE))
        self.times = RunTimes()
        self.concurrency = settings.adaptive_concurrency()
        self.budget = Budget(*settings.budget(billed))
        given = settings.give_up_after
        self.breaker = Breaker() if given is None else Breaker(outage=given, stranger=given)


def wrapped(context: Context, pace: Pace, may_send: Callable[[], Awaitable[None]] | None = None) -> Provider:
    """The context's provider, safe to spend money with: each wrapper in the list wraps those before it."""
    clock, gate, ledger, concurrency = context.clock, context.gate, context.ledger, pace.concurrency

    async def pause(operation: Operation, seconds: float) -> None:
        await (gate.sleep if operation in BUYING else clock.sleep)(seconds)

    warn, wait = _teller(context.notify, Kind.WARNING), _teller(context.notify, Kind.WAITING)
    breaker, hosts = replace(pace.breaker, known=ledger.fold.predictions > 0), Hosts()
    wrappers: list[Callable[[Provider], Provider]] = [
        lambda inner: PreferWait(inner, pace.times),
        lambda inner: Journaled(inner, ledger, gate, clock, pace.key, pace.budget, may_send),
        lambda inner: Throttled(
            inner,
            pace.creates,
            pace.others,
            clock=clock,
            pause=pause,
            waited=concurrency.waited,
            answered=concurrency.answered,
            trouble=concurrency.trouble,
            may_buy=lambda now, under_way: context.brake.may_buy(now, under_way) and may_buy(hosts, now),
        ),
        lambda inner: Breaking(inner, breaker, clock=clock, pause=pause, waiting=warn, hosts=hosts),
        lambda inner: Retrying(inner, RetryPolicy(), clock=clock, pause=pause, waiting=wait),
    ]
    provider = context.provider
    for wrap in wrappers:
        provider = wrap(provider)
    return provider


def _teller(listener: Listener, kind: Kind) -> Callable[[str], None]:
    return lambda text: listener(Event(kind, text=scrubbed(text)))
