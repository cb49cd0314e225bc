"""Our server over a network without weights, in a process of its own: `server.py OPEN_FILES`; prints its URL."""

from __future__ import annotations

import resource
import sys
from functools import partial

import anyio

from batch_removebg.cli.console import Console, logged
from batch_removebg.engine.runtimes import opening
from batch_removebg.server import listen
from batch_removebg.server.listen import ServeSettings, serve
from tests.support.local_doubles import MODEL, Here, LeftHalf


def main() -> None:
    """Serve until a signal comes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
    opening.ensure_weights = lambda *args, **kwargs: None
    listen.NetworkProcess = lambda load, cpu, *_: Here(LeftHalf)
    say = partial(print, flush=True)
    with logged(Console()):
        anyio.run(partial(serve, ServeSettings(port=0, model=MODEL), ready=say, progress=lambda done, total: None))


if __name__ == "__main__":
    main()
