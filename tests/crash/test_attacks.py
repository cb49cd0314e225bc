"""`serve` among strangers: under every attack at once a good client is served, and nothing leaks.

At length (BATCH_REMOVEBG_LONG=1; ATTACK_SECONDS, by default 180) a good client's times and the server's memory are
measured, quiet and under attack, and held against README's bounds.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio.abc import Process

from tests.support.local_doubles import MODEL, picture
from tests.support.long_report import LONG

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(4200)]
SEED = int(os.environ.get("ATTACK_SEED", "1"))
SECONDS = float(os.environ.get("ATTACK_SECONDS", "180"))
ROOM = 1 << 30
"""Bytes of memory beyond those of the quiet server; README's bound."""


@dataclass
class Server:
    """The server's process, and what the system knows of it."""

    process: Process
    port: int
    folder: Path

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def peak(self) -> int:
        """Bytes of memory at the most, so far."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def inputs(self) -> list[Path]:
        return list(self.folder.glob("*/inputs/*"))


@asynccontextmanager
async def server(folder: Path, *, open_files: int) -> AsyncIterator[Server]:
    """A server whose temporary folder lies in `folder`; what it has said to stderr lies there too."""
    with (folder / "stderr").open("wb") as stderr:
        command = [sys.executable, "-m", "tests.crash.server", str(open_files)]
        process = await anyio.open_process(command, stderr=stderr, env=os.environ | {"TMPDIR": str(folder)})
        try:
            assert process.stdout is not None
            said = await process.stdout.receive()
            yield Server(process, int(said.rpartition(b":")[2].partition(b"/")[0]), folder)
        finally:
            with anyio.CancelScope(shield=True):
                process.send_signal(signal.SIGTERM)
                await process.wait()


async def cycle(session: aiohttp.ClientSession, photo: bytes) -> float:
    """The seconds that a good client waits for a cutout: upload, prediction, download; its upload is deleted after."""
    begun = time.perf_counter()
    form = aiohttp.FormData()
    form.add_field("content", photo, filename="a.png")
    async with session.post("/v1/files", data=form) as answer:
        file = await answer.json()
        assert answer.status == 201, file
    sent = {"version": MODEL.sha256, "input": {"image": file["urls"]["get"]}}
    async with session.post("/v1/predictions", json=sent, headers={"Prefer": "wait"}) as answer:
        made = await answer.json()
        assert (answer.status, made["status"]) == (201, "succeeded"), made
    async with session.get(made["output"]) as answer:
        assert (await answer.read()).startswith(b"\x89PNG")
    took = time.perf_counter() - begun
    async with session.delete(f"/v1/files/{file['id']}") as answer:
        assert answer.status == 204
    return took


async def times(port: int, seconds: float) -> list[float]:
    """A good client's waits for so long; every request of it is served."""
    photo, waits, end = picture(800, 600), [], time.monotonic() + seconds
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        while time.monotonic() < end:
            waits.append(await cycle(session, photo))
            await anyio.sleep(0.02)
    return waits


async def settled(served: Server, files: int) -> None:
    """Wait until the server has no inputs left, and no more files open than it had.

    But for the pipes of processes that wait for work.
    """
    with anyio.fail_after(40):
        while served.open_files() > files + 8 or served.inputs():  # noqa: ASYNC110  # another process has no event
            await anyio.sleep(0.2)


async def besieged(tmp_path: Path, *, open_files: int, crowd: int, quiet: float, seconds: float) -> dict[str, float]:
    """The figures of a good client on a server that is attacked."""
    async with server(tmp_path, open_files=open_files) as served:
        await times(served.port, 1)
        before, files, memory = await times(served.port, quiet), served.open_files(), served.peak()
        # In a process of their own: attackers that share a loop with the good client would slow it down themselves.
        command = [sys.executable, "-m", "tests.support.attacks", str(served.port), str(crowd), str(SEED)]
        async with await anyio.open_process(command) as attackers:
            under = await times(served.port, seconds)
            assert attackers.returncode is None
            attackers.kill()
            assert attackers.stdout is not None
            unlike = b"".join([said async for said in attackers.stdout])
        await settled(served, files)
        assert unlike == b""
        peak = served.peak() - memory
    errors = (tmp_path / "stderr").read_text()
    assert "Traceback" not in errors, errors
    assert "a bug" not in errors
    assert errors.count("\n") <= 5 * (1 + seconds // 60), errors
    assert [path.name for path in tmp_path.iterdir()] == ["stderr"]
    p99 = [statistics.quantiles(waits, n=100)[98] for waits in (before, under)]
    return {
        "quiet p99": p99[0],
        "p99 under attack": p99[1],
        "ratio": p99[1] / p99[0],
        "served": len(under),
        "peak": peak,
    }


async def test_under_every_attack_at_once_a_good_client_is_served_and_nothing_leaks(tmp_path: Path) -> None:
    """More than 160 attackers are there, and 128 connections: the limit of open files leaves no room for more."""
    found = await besieged(tmp_path, open_files=448, crowd=10, quiet=2, seconds=6)
    assert found["served"] > 0
    assert found["peak"] < ROOM


@pytest.mark.skipif(not LONG, reason="takes minutes")
async def test_at_length_a_good_client_waits_three_times_as_long_at_most_within_the_memory_that_readme_states(
    tmp_path: Path,
) -> None:
    found = await besieged(tmp_path, open_files=1024, crowd=20, quiet=30, seconds=SECONDS)
    print(f"seed {SEED}, {SECONDS:.0f} s:", ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    assert found["peak"] < ROOM
    assert found["ratio"] < 3
