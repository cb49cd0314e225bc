"""Kept connections that belong to one question at a time: no answer is taken for another's.

On a connection that carries one answer too many, HTTP/1.1 would give it to whatever is asked next.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.connector import Connection


class CleanConnector(aiohttp.TCPConnector):
    """Closes kept connections on which something has arrived that nobody asked for."""

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """See aiohttp's."""
        connection = await super().connect(*args, **kwargs)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(*args, **kwargs)
        return connection


class TracedResponse(aiohttp.ClientResponse):
    """Knows the connection that it came over after it has been read, too."""

    _over: Any = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """See aiohttp's."""
        self._over = connection.transport
        return await super().start(connection)

    def drop(self) -> None:
        """Close the connection: what it carries is no answer to what was asked."""
        if self._over is not None:
            self._over.abort()
