"""What systemd is told, at a socket of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from batch_removebg import systemd
from batch_removebg.engine.runtimes import opening
from batch_removebg.server import listen
from tests.support.local_doubles import Here, LeftHalf

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there is no systemd")


class Manager:
    """systemd's end of the protocol."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def told(self) -> list[str]:
        """The datagrams that came since the last call."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["in a folder", "abstract"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are too long for a socket's name
        address = f"{folder}/notify" if request.param == "in a folder" else f"@batch-removebg-{os.getpid()}"
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        manager = Manager(address.replace("@", "\0"))
        yield manager
        manager.close()


def test_states_are_lines_of_one_datagram_and_no_value_makes_another_line(manager: Manager) -> None:
    systemd.tell(READY=1, STATUS="two\nlines\x00… READY=0")
    assert manager.told() == ["READY=1\nSTATUS=two lines\x00… READY=0"]


def test_what_ends_says_how_long_it_may_take_with_a_margin(manager: Manager) -> None:
    systemd.stopping(30.0)
    assert manager.told() == ["STOPPING=1\nSTATUS=finishing\nEXTEND_TIMEOUT_USEC=45000000"]


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/nowhere/at/all", "@nobody-listens", "/" * 200])
def test_without_a_manager_that_listens_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.tell(READY=1)


def test_a_manager_that_reads_nothing_holds_nobody_up_for_good(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_PATIENCE", 0.001)
    for _ in range(2000):
        systemd.tell(WATCHDOG=1)
    assert 0 < len(manager.told()) < 2000


@pytest.mark.anyio
async def test_signs_of_life_come_at_half_of_the_time_that_is_asked(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            scope.cancel()
        await anyio.lowlevel.checkpoint()

    with anyio.CancelScope() as scope:
        await systemd.alive(sleep)
    assert (waits, manager.told()) == ([15.0] * 3, ["WATCHDOG=1"] * 3)


@pytest.mark.anyio
@pytest.mark.parametrize(("wait", "pid"), [(None, None), ("", None), ("soon", None), ("30000000", "1")])
async def test_nobody_who_has_not_asked_us_gets_signs_of_life(
    manager: Manager, wait: str | None, pid: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", wait), ("WATCHDOG_PID", pid)):
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    with anyio.move_on_after(0.01) as scope:
        await systemd.alive()
    assert (scope.cancelled_caught, manager.told()) == (True, [])


@pytest.mark.anyio
async def test_the_server_says_that_it_is_ready_once_it_answers_then_that_it_lives_and_at_a_signal_that_it_ends(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "ensure_weights", lambda model, **asked: None)
    monkeypatch.setattr(listen, "NetworkProcess", lambda load, cpu, *_: Here(LeftHalf))
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    told: list[str] = []
    alive = systemd.alive

    async def signalled() -> None:
        told.extend(manager.told())
        os.kill(os.getpid(), signal.SIGTERM)
        await alive()

    monkeypatch.setattr(systemd, "alive", signalled)
    urls: list[str] = []
    await listen.serve(listen.ServeSettings(port=0), ready=urls.append, progress=lambda done, total: None)
    assert told == [f"READY=1\nSTATUS=listening on {urls[0]}"]
    assert manager.told() == ["WATCHDOG=1", "STOPPING=1\nSTATUS=finishing\nEXTEND_TIMEOUT_USEC=17000000"]
