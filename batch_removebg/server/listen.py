"""Run the server: load the network, listen, store files in a temporary folder, stop on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from aiohttp import web
from anyio import from_thread, to_thread

from batch_removebg import systemd
from batch_removebg.clock import Clock
from batch_removebg.engine import devices, network, weights
from batch_removebg.engine.cutout import render
from batch_removebg.engine.fetch_weights import Progress
from batch_removebg.engine.process import Engine, NetworkProcess
from batch_removebg.engine.runtimes import opening
from batch_removebg.errors import DiskError, LockedError, SettingsError
from batch_removebg.events import ignore
from batch_removebg.imaging.format import Limits
from batch_removebg.net import fetch
from batch_removebg.resources import Cpu, cores, open_files
from batch_removebg.storage.atomic import make_folder
from batch_removebg.storage.lock import locked

from .answers import State
from .app import is_loopback, make_app
from .blob_store import KEEP, BlobStore
from .guests import HEADERS, Connection, Guests
from .jobs import Jobs

INPUT_POLICY = fetch.FetchPolicy(size=100 << 20, seconds=60.0, public_only=True)
_SHUTDOWN = 2.0  # seconds that answers in progress get to finish
_LINGERING = 5.0  # seconds for which the rest of a refused body is read, so that its client comes to see the answer
_FOLDER = "batch-removebg-"  # what the names of temporary folders begin with
_CONNECTIONS = 512  # at most; fewer where fewer files may be open
_BACKLOG = 128  # connections that the system accepts before we do
_OWN_FILES = 64  # sockets and files beside those of clients
Say = Callable[[str], None]
log = logging.getLogger(__name__)
_ROOM = 2 << 30  # bytes of requests that are being read, on the disk; of JSON, in memory, a sixteenth


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the server runs."""

    host: str = "127.0.0.1"
    port: int = 5055  # 0 takes any free port
    token: str | None = field(default=None, repr=False)  # that clients must send; None: no key, on loopback only
    model: weights.Weights = field(default_factory=lambda: weights.known(weights.CLASSES[weights.DEFAULT]))
    device: devices.Device = "auto"
    precision: devices.Precision = "auto"
    workers: int = field(default_factory=cores)  # predictions computed at a time
    room: int = 100  # predictions queued or running; a create beyond them gets 503
    max_file: int = 100 << 20  # bytes of the largest upload; a JSON body may have 1 MiB more
    limits: Limits = field(default_factory=Limits)
    fetching: fetch.FetchPolicy = INPUT_POLICY  # of what is fetched for clients
    data_dir: Path | None = None  # where the folder of uploads and results is made; None: with the system's others
    keep: float = KEEP  # seconds that uploads and results are kept, infinite: while the server runs and has room

    def __post_init__(self) -> None:
        check_address(self.host, self.port, self.token, "serve")
        if not self.keep > 0:
            raise SettingsError(f"--keep {self.keep:g}: give seconds above 0, or forever")
        devices.check(self.device, self.precision)


def check_address(host: str, port: int, key: str | None, what: str) -> None:
    """Raise SettingsError for a port that is none, and for an address that others reach without a key."""
    if not 0 <= port <= 65535:
        raise SettingsError(f"--port {port}: give 0 to 65535; 0 takes a free one")
    if not key and not is_loopback(host):
        raise SettingsError(
            f"{host} can be reached from other machines, so a key is needed: put one into an environment variable and "
            f"name it with --token-env, or {what} on 127.0.0.1"
        )


async def serve(
    settings: ServeSettings, *, ready: Say, progress: Progress, loaded: Say = ignore, asked: Say = ignore
) -> None:
    """Serve until cancelled or stopped by SIGINT or SIGTERM, in the main thread; raises SettingsError.

    `ready` gets the base URL (`http://HOST:PORT/v1`) once it answers, `loaded` what the network runs on, `asked` a line
    for each request once it is answered.
    """

    def cancellable(done: int, total: int | None) -> None:
        from_thread.check_cancelled()
        progress(done, total)

    device, precision = settings.device, settings.precision
    download = partial(opening.ensure_weights, progress=cancellable, device=device, precision=precision)

    def stop() -> None:
        systemd.stopping(_SHUTDOWN)
        scope.cancel()

    with anyio.CancelScope() as scope, on_signals(stop):
        await to_thread.run_sync(download, settings.model)
        load, batch = (
            partial(network.opened, settings.model, device, precision, batched=True),
            devices.at_once(device, settings.model.size),
        )
        with closing(NetworkProcess(load, Cpu(), batch)) as engine:
            async with serving(settings, engine=engine, asked=asked) as url:
                ready(url)  # first: scripts wait for its line
                systemd.tell(READY=1, STATUS=f"listening on {url}")
                loaded(await engine.open())
                await systemd.alive()


@contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` for SIGINT and SIGTERM during the block, in the main thread."""
    loop = asyncio.get_running_loop()
    numbers = () if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM)  # there, Ctrl-C cancels the main task
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def serving(
    settings: ServeSettings,
    *,
    engine: Engine,
    clock: Clock | None = None,
    asked: Say = ignore,
) -> AsyncIterator[str]:
    """A server over `engine` that runs for the length of the block; yields its base URL."""
    clock, used = clock or Clock(), await engine.open()
    if settings.data_dir is not None:
        await to_thread.run_sync(make_folder, settings.data_dir)
    await to_thread.run_sync(sweep, clock, settings.data_dir)
    # Private to this user: mode 0700. Another start may be about to sweep it once it isn't locked any more.
    temporary = partial(tempfile.TemporaryDirectory, prefix=_FOLDER, ignore_cleanup_errors=True)
    with (
        temporary(dir=settings.data_dir) as folder,
        locked(Path(folder), clock=clock),
    ):
        inputs, outputs = (BlobStore(Path(folder, name), clock.wall, settings.keep) for name in ("inputs", "outputs"))
        work = partial(render, Cpu(threads=settings.workers), engine, settings.model.proxy, settings.limits)
        async with (
            fetch.open_session(public_only=settings.fetching.public_only) as session,
            Jobs(work, inputs, outputs, workers=settings.workers, clock=clock, room=settings.room) as jobs,
        ):

            async def fetched(url: str) -> bytes:
                return (await fetch.get(session, url, fetching=settings.fetching)).body

            state = State(jobs, fetched, settings.model, clock.wall(), settings.token, settings.max_file, used)
            async with _listening(make_app(state), settings.host, settings.port, asked) as url:
                yield url


def sweep(clock: Clock, where: Path | None = None) -> None:
    """Remove the folders that killed servers of this user have left: those whose lock is free, though it was taken."""
    for holder in Path(where or tempfile.gettempdir()).glob(f"{_FOLDER}*/holder.json"):
        folder = holder.parent
        with suppress(LockedError, DiskError, OSError):  # it is in use, or another start sweeps it, too
            if folder.lstat().st_uid == getattr(os, "getuid", lambda: 0)() and not folder.is_symlink():
                with locked(folder, clock=clock):
                    shutil.rmtree(folder, ignore_errors=True)


class _Access:
    """Says of each request when it was answered, whose it was, and how it went; names that are keys are left out."""

    enabled = True

    def __init__(self, say: Say, *_: object) -> None:
        self._say = say

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """See aiohttp's AbstractAccessLogger."""
        path = re.sub("(?<=^/v1/outputs/)[^/]+", "…", request.path)
        client, status = request.remote or "-", response.status
        self._say(f"{Clock().stamp()} {client} {request.method} {path} {status} {time * 1000:.0f} ms")


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int, asked: Say) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    loop = asyncio.get_running_loop()
    # A request may need two files: its connection, and what it sends or is sent.
    guests = Guests(min(_CONNECTIONS, max(16, (open_files() - _BACKLOG - _OWN_FILES) // 2)), _ROOM)
    connect = partial(
        Connection,
        guests,
        runner.server,
        loop=loop,
        access_log=log,
        access_log_class=partial(_Access, asked),
        keepalive_timeout=HEADERS,
        lingering_time=_LINGERING,
        max_headers=64,
        auto_decompress=False,
    )
    try:
        server = await loop.create_server(connect, host, port, backlog=_BACKLOG)
    except OSError as error:
        # asyncio's text for a failed bind repeats the address; a name that can't be resolved has no errno.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise SettingsError(f"can't listen on {host}:{port}: {reason}; choose another --host or --port") from error
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        with anyio.CancelScope(shield=True):
            server.close()
            await runner.cleanup()
