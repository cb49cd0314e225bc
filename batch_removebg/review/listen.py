"""Run the review server: a port, a one-time address, a browser; stop on a signal."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import anyio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from anyio import to_thread

from batch_removebg.clock import Clock
from batch_removebg.errors import SettingsError
from batch_removebg.server.listen import check_address, on_signals

from .app import Access, make_app
from .desk import Desk
from .items import Items

_SHUTDOWN = 0.5  # seconds that answers in progress get to finish
_NEAR = 20  # further ports that are tried where one is taken
_AT_ONCE = 0.5  # seconds that the address waits for what would refuse OUT
Say = Callable[[str], None]

log = logging.getLogger(__name__)
# That a request breaks HTTP is told to who sent it, and is no bug of ours.
log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How the page is served."""

    out: Path
    host: str = "127.0.0.1"
    port: int = 5056  # 0 takes any free one
    key: str | None = field(default=None, repr=False)  # for other machines: what their browsers have to know
    browser: bool = True  # open one, where there is a terminal

    def __post_init__(self) -> None:
        check_address(self.host, self.port, self.key, "review")


async def review(settings: ReviewSettings, *, ready: Say, say: Say, clock: Clock | None = None) -> None:
    """Serve until cancelled or stopped by a signal; raises SettingsError, LedgerError.

    `ready` gets the address once it answers, `say` what else is to be known.
    """
    with anyio.CancelScope() as scope, on_signals(scope.cancel):
        async with serving(settings, say, clock or Clock()) as address:
            ready(address)
            if settings.browser and sys.stderr.isatty():
                await to_thread.run_sync(webbrowser.open, address, abandon_on_cancel=True)
            await anyio.sleep_forever()


@asynccontextmanager
async def serving(settings: ReviewSettings, say: Say, clock: Clock) -> AsyncIterator[str]:
    """The page, served for the length of the block; yields its address with the token."""
    desk = Desk(Items(settings.out, clock), clock)
    desk.begin(desk.open())
    try:
        with anyio.move_on_after(_AT_ONCE):  # what takes longer is told on the page
            await desk.ready()
        access = Access(settings.key, lasting=True) if settings.key else Access()
        async with listening(make_app(desk, access), settings, say) as base:
            desk.apply()
            if desk.read_only:
                say(f"{settings.out} can't be written: look at it, but nothing can be decided")
            try:
                yield f"{base}/?token={quote(access.key, safe='')}"
            finally:
                desk.pictures.close()
    finally:
        desk.close()


@asynccontextmanager
async def listening(app: web.Application, settings: ReviewSettings, say: Say) -> AsyncIterator[str]:
    """The application, answering for the length of the block; yields its base URL. Raises SettingsError."""
    runner = web.AppRunner(
        app,
        handle_signals=False,
        logger=log,
        access_log=None,  # tokens are in addresses
        shutdown_timeout=_SHUTDOWN,
        handler_cancellation=True,  # of pictures that were scrolled past
        auto_decompress=False,
    )
    await runner.setup()
    try:
        bound = _bound(settings, say)
        await web.SockSite(runner, bound).start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _bound(settings: ReviewSettings, say: Say) -> socket.socket:
    """A socket at the port, or at the next free one, which is said; raises SettingsError."""
    host, port = settings.host, settings.port
    for each in range(port, min(port + _NEAR, 65535) + 1):
        try:
            found = socket.create_server((host, each), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and each < port + _NEAR:
                continue
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise SettingsError(f"can't listen on {host}:{each}: {why}; choose another --host or --port") from error
        if each != port:
            say(f"port {port} is taken; this is at {found.getsockname()[1]}")
        return found
    raise SettingsError(f"no port from {port} on is free; choose another --port")
