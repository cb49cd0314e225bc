"""A Debian of its own in a folder, with systemd as its first process, which systemd-nspawn boots; the network is ours.

What is written there is in memory, and gone at the end.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

_BOOT = [
    *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--resolv-conf=copy-host"),
    *("--bind-ro=/etc/ssl/certs", "--console=pipe", "--boot"),
]
_NO_UPDATES = [f"systemd.mask={name}.timer" for name in ("apt-daily", "apt-daily-upgrade")]
_BOOTING = 60.0  # seconds


@dataclass(frozen=True)
class Machine:
    """One that has booted."""

    first: int
    """The number, here, of its first process."""

    def inside(self, *command: str) -> list[str]:
        """The command, to be run in the machine by its root."""
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", f"--target={self.first}", "--all", "--wd=/", "env", "-i", path, *command]

    async def does(self, *command: str, said: bytes = b"", expected: int | None = 0) -> str:
        """What a command in the machine says; AssertionError unless it ends as expected (None: any way)."""
        done = await anyio.run_process(self.inside(*command), input=said, stderr=subprocess.STDOUT, check=False)
        text = done.stdout.decode(errors="replace").strip()
        assert expected in (None, done.returncode), text
        return text

    async def write(self, path: str, text: str) -> None:
        """Put a file into the machine."""
        await self.does("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path, said=text.encode())

    async def file(self, path: str, seconds: float = 60.0) -> None:
        """Wait until there is such a file in the machine; TimeoutError."""
        with anyio.fail_after(seconds):
            await self.does("sh", "-c", 'until [ -e "$1" ]; do sleep 0.1; done', "sh", path)

    async def state(self, unit: str) -> dict[str, str]:
        """All that systemd knows of a unit."""
        shown = await self.does("systemctl", "show", unit)
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    async def until(self, unit: str, seconds: float = 60.0, **wanted: str) -> dict[str, str]:
        """What systemd knows of a unit once it is as wanted; AssertionError with its log where it doesn't become so."""
        for _ in range(round(10 * seconds)):
            if wanted.items() <= (state := await self.state(unit)).items():
                return state
            await anyio.sleep(0.1)
        raise AssertionError(await self.does("journalctl", "--no-pager", "-u", unit))


@contextmanager
def booted(tree: Path, *binds: str) -> Iterator[Machine]:
    """The machine in a folder once it runs, with folders of ours to read in it (`/here:/there`); then it is halted."""
    bound = [f"--bind-ro={bind}" for bind in binds]
    command = [*_BOOT, *bound, f"--directory={tree}", *_NO_UPDATES]
    nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield _running(nspawn)
    finally:
        nspawn.terminate()
        nspawn.communicate(timeout=_BOOTING)


def _running(nspawn: subprocess.Popen[bytes]) -> Machine:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    end = time.monotonic() + _BOOTING
    while time.monotonic() < end and nspawn.poll() is None:
        if first := children.read_text("ascii").split():
            asked = Machine(int(first[0])).inside("systemctl", "is-system-running", "--wait")
            if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "running":
                return Machine(int(first[0]))
        time.sleep(0.1)
    nspawn.terminate()
    raise AssertionError(f"the machine did not boot: {nspawn.communicate(timeout=_BOOTING)[0].decode()}")
