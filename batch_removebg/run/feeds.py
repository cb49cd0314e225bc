"""Manifests at URLs, downloaded once before they are read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from batch_removebg.clock import Clock
from batch_removebg.errors import ItemError, ManifestError, Postponed, RetryError
from batch_removebg.manifest.inputs import Feed, is_feed, path_of
from batch_removebg.model import Item
from batch_removebg.net import fetch
from batch_removebg.resources import Cpu
from batch_removebg.storage.spool import loaded

from .assemble import sources, workers_here
from .settings import Settings


@asynccontextmanager
async def downloaded(inputs: Sequence[str], settings: Settings, clock: Clock) -> AsyncIterator[list[str]]:
    """The INPUTs, with manifests at URLs as files that last as long as the block; raises ManifestError."""
    if not any(map(is_feed, inputs)):
        yield list(inputs)
        return
    with TemporaryDirectory(prefix="batch-removebg-", ignore_cleanup_errors=True) as folder:
        async with fetch.lazy_session(public_only=settings.public_only, reuse=False) as session:
            workers, found = workers_here(session, settings, Cpu(budget=settings.pixels())), list(inputs)
            source = sources(workers, clock, clock.sleep)
            for nth, url in enumerate(inputs):
                if is_feed(url):
                    # Without `.gz`: fetched, it is unpacked.
                    feed, name = Feed(url), re.sub(r"(?i)\.gz$|[?#]", "", path_of(url)).rpartition("/")[2]
                    feed.path, feed.shown = Path(folder) / f"{nth}-{name[-20:]}", fetch.redacted(url)
                    try:
                        feed.path.write_bytes(loaded(await source.patiently(Item(url, url, feed.shown))))
                    except (ItemError, Postponed, RetryError) as error:
                        raise ManifestError(f"The manifest can't be downloaded: {error}.") from error
                    found[nth] = feed
        yield found
