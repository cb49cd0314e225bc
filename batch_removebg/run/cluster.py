"""What a run needs whose workers are those of a cluster. Light, as `options` is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .options import Options

AHEAD = 256  # items in flight, so that a cluster that grows finds work; those that wait take next to nothing
_ADDRESS = re.compile(r"here|ray|(ray://)?([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)


def faults(options: Options, *, own: bool) -> Iterator[str]:
    """What of the options goes without a cluster alone; `own`: a provider of somebody's own."""
    given = f"--workers {options.workers}"
    if not _ADDRESS.fullmatch(options.workers):
        yield f"{given}: give here, ray (a cluster on this machine), HOST:PORT or ray://HOST:PORT"
    elif options.workers != "here" and own:
        yield f"{given} goes without a provider of one's own, which is in this process alone"
    elif options.workers != "here" and options.provider != "local" and not options.fetch_sources:
        yield f"{given} needs --fetch-sources: cutouts of URLs that the API fetches would all come through this machine"
