"""The review server over an OUT, asked as a browser would."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar

from batch_removebg.clock import Clock
from batch_removebg.review.app import Access, make_app
from batch_removebg.review.desk import Desk
from batch_removebg.review.items import Items
from batch_removebg.review.listen import ReviewSettings, listening


@dataclass
class Page:
    """A browser's tab; what is known of OUT is looked up anew for every answer."""

    client: ClientSession
    base: str
    desk: Desk
    access: Access

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.client.get(path, headers=headers, allow_redirects=False) as answer:
            return await _told(answer, status)

    async def post(self, path: str, body: object, status: int = 200, **headers: str) -> Any:
        given = {"X-Review-Token": self.access.change, "Content-Type": "application/json", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(path, data=io.BytesIO(data), headers=given) as answer:
            return await _told(answer, status)

    async def view(self, query: str = "") -> list[str]:
        """The ids of a view's items, in its order."""
        found = await self.get(f"/api/view?{query}")
        return [row["id"] for row in (await self.get(f"/api/view/{found['view']}/items"))["items"]]

    async def number(self, item: str) -> int:
        """An item's number."""
        found = await self.get("/api/view")
        rows = (await self.get(f"/api/view/{found['view']}/items"))["items"]
        return next(int(row["n"]) for row in rows if row["id"] == item)


async def _told(answer: ClientResponse, status: int) -> Any:
    data = await answer.read()
    assert answer.status == status, data[:500]
    return json.loads(data) if answer.content_type == "application/json" else data


@asynccontextmanager
async def served(out: Path, access: Access | None = None, *, known: bool = True) -> AsyncIterator[Page]:
    """The page of an OUT, to a browser that is `known`: it has the cookie."""
    seconds = iter(range(1 << 30))  # a look is never new enough
    clock = replace(Clock(), monotonic=lambda: 10.0 * next(seconds))
    desk, access = Desk(Items(out, clock), clock), access or Access()
    desk.begin(desk.open())
    try:
        settings = ReviewSettings(out, port=0)
        async with (
            listening(make_app(desk, access), settings, lambda _: None) as base,
            ClientSession(base, cookie_jar=CookieJar(unsafe=True)) as client,
        ):
            if known:
                await (await client.get("/", params={"token": access.key}, allow_redirects=False)).read()
            yield Page(client, base, desk, access)
    finally:
        desk.close()
