"""A server's silence is borne for so long, in time that this process could listen."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from batch_removebg.net.patience import Patience

pytestmark = pytest.mark.anyio


async def test_silence_ends_the_wait() -> None:
    with pytest.raises(TimeoutError), Patience(0.02, 10.0).kept():
        await anyio.sleep_forever()


async def test_what_is_heard_begins_the_wait_anew_but_not_for_longer_than_all_of_it() -> None:
    patience, heard = Patience(10.0, 0.1), 0

    async def listen() -> None:
        nonlocal heard
        with patience.kept():
            while True:
                await anyio.sleep(0.01)
                patience.heard()
                heard += 1

    with pytest.raises(TimeoutError):
        await listen()
    assert heard > 1


async def test_the_wait_goes_on_from_block_to_block_and_leaves_nothing_behind() -> None:
    patience = Patience(10.0, 0.1)

    async def listen() -> None:
        for _ in range(1000):
            with patience.kept():
                await anyio.sleep(0.03)

    with pytest.raises(TimeoutError):
        await listen()


async def test_what_has_come_while_the_process_stood_still_is_read_before_time_is_up() -> None:
    arrived = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"x")
        await writer.drain()
        arrived.set_result(None)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"?")
        with Patience(0.4, 0.4).kept():
            await arrived
            time.sleep(0.6)  # noqa: ASYNC251  # as a suspended machine, or a stopped process: every timer is overdue
            assert await reader.read(1) == b"x"
        writer.close()
        await writer.wait_closed()
