"""What we are compared with: `python -m tests.bench.peers official|bare URL MANIFEST OUT`. Neither keeps a ledger.

Both have 64 images in flight and write each picture to a file. `official` is the official client's own async calls,
`predictions.async_create` (with its `Prefer: wait`) and `async_wait`, in their leanest order: its `async_run` would ask
for the model's version first, once an image. `bare` is an aiohttp loop that checks nothing at all.
"""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

IN_FLIGHT = 64
VERSION = "95fcc2a26d3899cd6c2691c900465aaeff466285a65c14638cc5f36f34befaf1"

One = Callable[[str, Path], Awaitable[None]]


async def spread(rows: list[tuple[str, str]], out: Path, one: One) -> None:
    """Do each (id, image), so many at a time."""
    left = iter(rows)

    async def worker() -> None:
        for name, image in left:
            await one(image, out / f"{name}.png")

    for folder in {(out / name).parent for name, _ in rows}:
        folder.mkdir(parents=True, exist_ok=True)
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def official(url: str, rows: list[tuple[str, str]], out: Path) -> None:
    import httpx
    from replicate.client import Client

    client = Client(api_token="none", base_url=url)
    async with client._async_client, httpx.AsyncClient(trust_env=False) as plain:

        async def one(image: str, path: Path) -> None:
            prediction = await client.predictions.async_create(version=VERSION, input={"image": image}, wait=True)
            await prediction.async_wait()
            answer = await plain.get(str(prediction.output))
            answer.raise_for_status()
            path.write_bytes(answer.content)

        await spread(rows, out, one)


async def bare(url: str, rows: list[tuple[str, str]], out: Path) -> None:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(image: str, path: Path) -> None:
            body = {"version": VERSION, "input": {"image": image}}
            async with session.post(f"{url}/v1/predictions", json=body, headers={"Prefer": "wait"}) as created:
                output = (await created.json())["output"]
            async with session.get(output) as answer:
                path.write_bytes(await answer.read())

        await spread(rows, out, one)


def main() -> None:
    kind, url, manifest, out = sys.argv[1:]
    with Path(manifest).open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], row["image"]) for row in csv.DictReader(file)]
    asyncio.run({"official": official, "bare": bare}[kind](url, rows, Path(out)))


if __name__ == "__main__":
    main()
