"""Workers of a cluster: they read sources, keep alphas and write pictures themselves, in storage that all nodes share.

What passes between them and the run are paths, URLs, digests, recipes and facts. Each function below the classes is
called by an actor, perhaps twice where its answer was lost.
"""

# ruff: noqa: D102  # the methods are Workers', Engine's and Provider's, and explained there

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from batch_removebg.engine import process, weights
from batch_removebg.errors import DiskError, KeyRejected, OutputBroken, SettingsError, SourceError, WeightsMissing
from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Item, Matte, Provider, ProxySpec, Reference
from batch_removebg.net import fetch
from batch_removebg.providers.base import Wrapper
from batch_removebg.providers.replicate import Endpoint, Replicate
from batch_removebg.storage.alpha_cache import AlphaCache
from batch_removebg.storage.atomic import disk_errors, make_folder
from batch_removebg.storage.bucket import outlasted
from batch_removebg.storage.layout import ALPHAS, LEASE, SPOOL
from batch_removebg.storage.objects import Store, opened
from batch_removebg.storage.on_disk import OnDisk
from batch_removebg.storage.spool import Held, Spooled, loaded

from .base import Alpha, Find, Read, kept_alpha
from .ray_cluster import installed
from .ray_pool import RayPool
from .reading import Reader

if TYPE_CHECKING:
    from batch_removebg.engine.network import Network
    from batch_removebg.finish.options import Finish, Finished
    from batch_removebg.imaging.decode import Proxy
    from batch_removebg.imaging.format import Limits
    from batch_removebg.imaging.probe import Measured
    from batch_removebg.net.headers import Header

    Load = partial[Network]  # of `process.opened`, whose first argument says which

_STORAGE = 300.0  # seconds for reading and writing beside the work: shared storage may be out of reach for a while
_ANSWERS = 10.0  # seconds for a cluster's head to take a connection
_TRIES = 7  # of a node to reach the bucket, in about a minute
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # with no settings: RFC 9113, 3.4
_SETTINGS = b"\4"  # the kind of the frame that the other side begins with
_PROBE = "probe"  # a file that shows whether a node reaches OUT
T = TypeVar("T")


class Hidden(SourceError):
    """A file that a node can't read."""


@dataclass(frozen=True, slots=True)
class Source(Spooled):
    """A source, where it lies, and what was seen of it."""

    measured: Measured


@dataclass(frozen=True, slots=True)
class Found(Reference):
    """An alpha that workers find."""

    find: Find


@dataclass(frozen=True, slots=True)
class Cut(Reference):
    """An alpha that the network is to find in a source, by the actor that makes the pictures."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class Place:
    """What a run's actors keep from their start on: bounds, the folders of one OUT, and how the network is loaded."""

    out: Path
    limits: Limits
    fetching: fetch.FetchPolicy
    headers: Sequence[Header] = ()
    forms: Sequence[str] = ()  # formats of the pictures
    bucket: str = ""  # the URL that they go to, unless to `out`
    load: Load | None = None  # can be pickled, and finds the weights on each node; None: an API has the network

    @property
    def spool(self) -> Path:
        return self.out / SPOOL

    def alpha(self, fingerprint: str) -> Found:
        return Found(partial(kept_alpha, AlphaCache(self.out / ALPHAS), fingerprint))

    def keep(self, fingerprint: str, matte: Matte) -> None:
        from batch_removebg.matting.matte import encode_matte

        AlphaCache(self.out / ALPHAS).keep(fingerprint, encode_matte(matte))


@dataclass(frozen=True, slots=True)
class Remote:
    """Workers that a pool has, and an Engine where they have the network, too."""

    pool: RayPool
    place: Place

    async def read(self, item: Item, known: fetch.Validators) -> Read:
        if item.path is not None:
            item = replace(item, path=item.path.absolute())
        try:
            if item.path is None:
                return await self.ask(self.place.fetching.seconds, look, item, known)
            return await self.pool.together(_STORAGE, look, item, known)
        except Hidden:
            if item.path is not None and os.access(item.path, os.R_OK):
                where = "sources must lie where all nodes reach them, at the same paths"
                raise SettingsError(f"{item.path} can be read here, but not on a node: {where}") from None
            raise

    async def sha256(self, source: Held) -> str:
        return _source(source).sha256

    async def measured(self, source: Held, forms: Sequence[str]) -> Measured:
        return _source(source).measured

    async def proxy(self, seconds: float, source: Held, spec: ProxySpec, fingerprint: str) -> Proxy:
        from batch_removebg.imaging.decode import Proxy

        if self.place.load is not None:
            return Proxy(fingerprint.encode(), "", 0, 0)  # to be made where the network is
        made, at = await self.ask(seconds, shown, source, spec)
        data = await anyio.to_thread.run_sync(at.read)
        at.drop(self.place.spool)
        return replace(made, data=data)

    async def open(self) -> str:
        return await self.ask(process.PATIENCE, used)

    async def matte(self, small: bytes) -> Cut:
        return Cut(small.decode())

    async def bought(self, seconds: float, output: Held, fingerprint: str, width: int, height: int) -> Found:
        if isinstance(output, bytes):  # it came in an answer
            output = await anyio.to_thread.run_sync(Spooled.of, self.place.spool, output)
        found = await self.ask(seconds, kept, output, fingerprint, width, height)
        output.drop(self.place.spool)
        return found

    async def alpha(self, find: Find) -> Found | None:
        return Found(find) if await self.ask(0.0, there, find) else None

    async def finished(self, seconds: float, source: Held, alpha: Alpha, wanted: Sequence[Finish]) -> list[Finished]:
        seconds += process.PATIENCE * isinstance(alpha, Cut)
        return await self.ask(seconds, made, source, alpha, wanted)

    async def sent(self, key: str, picture: Spooled, **how: Any) -> None:
        """Put a picture into the bucket; as `Store.put`."""
        await self.ask(0.0, sent, key, picture, how)
        picture.drop(self.place.spool)

    def most(self) -> float:
        return 2 * self.pool.at_once + 2  # some wait, so that a cluster grows

    def let_go(self, source: Held) -> None:
        _source(source).drop(self.place.spool)

    def hurry(self) -> None:
        self.pool.hurry()

    def close(self) -> None:
        self.pool.close()

    async def ask(self, seconds: float, function: Callable[..., T], *args: Any) -> T:
        return await self.pool.isolated(seconds + _STORAGE, function, *args)


class Fetching(Wrapper):
    """A Provider of an API whose outputs workers fetch."""

    def __init__(self, inner: Provider, endpoint: Endpoint, workers: Remote) -> None:
        super().__init__(inner)
        self._fetch = partial(workers.ask, workers.place.fetching.seconds, output, endpoint)

    async def fetch(self, url: str) -> bytes | Matte | Reference:
        inside = isinstance(url, OnDisk) or url.startswith("data:")  # an answer, which has come already
        return await (self.inner.fetch(url) if inside else self._fetch(url))


@asynccontextmanager
async def joined(address: str, place: Place, *, gpus: float) -> AsyncIterator[Remote]:
    """Workers that have shown that they reach OUT and, if asked to, can load the network; raises SettingsError.

    `address`: `ray` for a cluster on this machine that ends with the block, or where one is. `gpus`: of each actor.
    """
    await anyio.to_thread.run_sync(require, address)
    token, version = token_hex(16), import_module("batch_removebg").__version__
    shutil.rmtree(place.spool, ignore_errors=True)  # what a run left that was killed
    make_folder(place.spool)
    with disk_errors(place.spool):
        (place.spool / _PROBE).write_text(token, "ascii")
    try:
        begin = partial(ready, place, token, place.load)
        async with RayPool.opened(address, version=version, gpus=gpus, load=begin) as pool:
            yield Remote(pool, place)
    finally:
        shutil.rmtree(place.spool, ignore_errors=True)


def require(address: str) -> None:
    """Raise SettingsError where Ray is missing, or nothing answers at the address. Blocks for seconds."""
    installed(address)
    if address == "ray":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWERS) as asked:
            asked.sendall(_GREETING)
            said = asked.recv(4)
    except (OSError, OverflowError) as error:  # Ray would try for minutes
        raise SettingsError(f"--workers {address}: nothing answers there ({error})") from error
    if said[3:] != _SETTINGS and "RAY_USE_TLS" not in os.environ:
        raise SettingsError(f"--workers {address}: what answers there isn't Ray; its head has port 6379 as a rule")


def ready(place: Place, token: str, load: Load | None) -> tuple[Place]:
    """What each function gets first; raises SettingsError where a node can't do the run's work."""
    try:
        same = (place.spool / _PROBE).read_text("ascii") == token
        Spooled.of(place.spool, b"").drop(place.spool)
    except (OSError, DiskError):
        same = False
    if not same:
        raise SettingsError(f"{place.out} isn't there, or can't be written: --out must lie where all nodes reach it")
    for part in load.args[0].parts if load is not None else ():
        if weights.find(part) is None:
            bring = f"put {part.path} there" if part.own else f"run `batch-removebg models pull {part.name}` there"
            raise WeightsMissing(f"the weights of {part.name} aren't there, or are damaged: {bring}")
    if place.bucket:
        _stored(place, lambda store, prefix: outlasted(asyncio.sleep, lambda: store.head(f"{prefix}{LEASE}"), _TRIES))
    if load is not None:
        process.network(load)
    return (place,)


def look(place: Place, item: Item, known: fetch.Validators) -> Read:
    """A source, hashed and measured; what comes from the web waits in a file."""
    from batch_removebg.imaging import probe

    async def read() -> fetch.Fetched:
        async with fetch.lazy_session(public_only=place.fetching.public_only, reuse=False) as session:
            return await Reader(session, place.fetching, place.headers).read(item, known)

    try:
        found = asyncio.run(read())
    except SourceError as error:
        if item.path is None or os.access(item.path, os.R_OK):
            raise
        raise Hidden(str(error)) from error
    if found.unchanged:
        return Read(b"", found.validators, unchanged=True)
    data = found.body
    measured = probe.measure(data, place.limits, place.forms)
    path = item.path or Spooled.of(place.spool, data).path
    return Read(Source(path, sha256_hex(data), len(data), measured), found.validators)


def shown(place: Place, source: Spooled, spec: ProxySpec) -> tuple[Proxy, Spooled]:
    """What a provider is shown of a source, and where its bytes are."""
    from batch_removebg.imaging.decode import proxy

    made = proxy(source.read(), spec, place.limits)
    return replace(made, data=b""), Spooled.of(place.spool, made.data)


def used(place: Place) -> str:
    """What the network runs on."""
    assert place.load is not None  # noqa: S101  # else nobody asks
    return process.used(place.load)


def output(place: Place, endpoint: Endpoint, url: str) -> Spooled:
    """An output of an API, fetched."""

    async def fetched() -> bytes:
        async with (
            fetch.lazy_session(public_only=False, reuse=False) as own,
            fetch.lazy_session(public_only=place.fetching.public_only, reuse=False) as foreign,
        ):
            return await Replicate(own(), endpoint, foreign=foreign(), fetching=place.fetching).fetch(url)

    return Spooled.of(place.spool, asyncio.run(fetched()))


def kept(place: Place, output: Spooled, fingerprint: str, width: int, height: int) -> Found:
    """The alpha in an output, kept."""
    from batch_removebg.matting.matte import matte_of

    place.keep(fingerprint, matte_of(output.read(), width=width, height=height, limits=place.limits))
    return place.alpha(fingerprint)


def there(_: Place, find: Find) -> bool:
    """Whether an alpha is found."""
    return find() is not None


def made(place: Place, source: Spooled, alpha: Found | Cut, wanted: Sequence[Finish]) -> list[Finished]:
    """The pictures, each in a durable file that waits for its name."""
    from batch_removebg.finish import finish

    data = source.read()
    matte = _cut(place, data, alpha) if isinstance(alpha, Cut) else alpha.find()
    if matte is None:
        raise OutputBroken("the kept alpha is gone, or damaged")
    pictures = finish.finish(data, matte, wanted, place.limits)
    return [replace(one, data=Spooled.of(place.spool, loaded(one.data), durable=True)) for one in pictures]


def sent(place: Place, key: str, picture: Spooled, how: Mapping[str, Any]) -> None:
    """Put a picture into the bucket."""
    _stored(place, lambda store, _: store.put(key, picture.read(), **how))


def _cut(place: Place, data: bytes, alpha: Cut) -> Matte:
    """The alpha that the network finds in a source, kept."""
    from batch_removebg.engine import network
    from batch_removebg.imaging.decode import proxy

    assert place.load is not None  # noqa: S101  # else there is nothing to cut
    small = proxy(data, place.load.args[0].shown, place.limits).data
    matte = network.matte(process.network(place.load), small)
    place.keep(alpha.fingerprint, matte)
    return matte


def _stored(place: Place, what: Callable[[Store, str], Coroutine[Any, Any, object]]) -> None:
    try:
        asyncio.run(what(*opened(f"{place.bucket}/")))
    except KeyRejected as error:
        raise KeyRejected(f"on a node of the cluster, whose own environment counts: {error}") from error


def _source(source: Held) -> Source:
    assert isinstance(source, Source)  # noqa: S101  # there are no others in such a run
    return source
