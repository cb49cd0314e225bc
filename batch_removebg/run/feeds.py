"""Manifests at URLs, downloaded once before they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from batch_removebg.clock import Clock
from batch_removebg.errors import ItemError, ManifestError, RetryError
from batch_removebg.manifest.inputs import Feed, is_feed
from batch_removebg.model import Item
from batch_removebg.net import fetch
from batch_removebg.resources import Cpu

from .assemble import sources
from .settings import Settings


@asynccontextmanager
async def downloaded(inputs: Sequence[str], settings: Settings, clock: Clock) -> AsyncIterator[list[str]]:
    """The INPUTs, with manifests at URLs as files that last as long as the block; raises ManifestError."""
    async with fetch.lazy_session(public_only=settings.public_only, reuse=False) as session:
        with TemporaryDirectory(prefix="batch-removebg-", ignore_cleanup_errors=True) as folder:
            source, found = sources(session, settings, Cpu(budget=settings.pixels()), clock, clock.sleep), []
            for nth, url in enumerate(inputs):
                if not is_feed(url):
                    found.append(url)
                    continue
                feed, shown = Feed(url), fetch.redacted(url)
                feed.path, feed.shown = Path(folder) / f"{nth}{PurePath(urlsplit(url).path).name[-20:]}", shown
                try:
                    feed.path.write_bytes(await source.read(Item(url, url, shown)))
                except (ItemError, RetryError) as error:
                    raise ManifestError(f"The manifest can't be downloaded: {error}.") from error
                found.append(feed)
            yield found
